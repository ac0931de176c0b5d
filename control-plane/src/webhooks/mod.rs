//! One attempt to deliver an event to an endpoint of a customer. The layers above know which deliveries are due, and
//! store the results.
//!
//! ```text
//! url::parse_endpoint_url        when an endpoint is created or changed
//!
//! secret ──► signature::sign ──► sender::Sender::send ──► Attempt ──► schedule::next_attempt_at
//!                                    └─ address::AddressPolicy: asked about each address before connecting
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`secret`] | the secret of an endpoint, which signs its deliveries |
//! | [`signature`] | the headers that prove who sent a delivery, for two kinds of client |
//! | [`address`] | which IP addresses may be connected to |
//! | [`url`] | which URLs an endpoint may have |
//! | [`schedule`] | when a failed delivery is tried again |
//! | [`sender`] | the HTTP client |
//!
//! Customers choose the URLs, so no URL and no response is trusted. The invariants:
//!
//! - No connection is opened to an address that the policy refuses, whatever name or spelling leads to it.
//! - An attempt ends at its deadline, and keeps a bounded part of the response.
//! - Nothing here logs a secret, a header or a URL.

pub mod address;
pub mod schedule;
pub mod secret;
pub mod sender;
pub mod signature;
pub mod url;
