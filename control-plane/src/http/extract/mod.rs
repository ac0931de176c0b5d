//! What handlers take from a request.
//!
//! | module | what it extracts |
//! | --- | --- |
//! | [`access`] | who calls, and whether the caller has the scope that the handler names |
//! | [`body`] | JSON bodies |
//! | [`idempotency`] | the `Idempotency-Key`, and the stored response of a repeated request |
//! | [`now`] | the time of the request |
//! | [`path`] | ids and slugs in the path |
//! | [`query`] | the query string, and the page that it asks for |

pub mod access;
pub mod body;
pub mod idempotency;
pub mod now;
pub mod path;
pub mod query;
