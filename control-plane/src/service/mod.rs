//! The use cases: each exists once, and is called alike by the HTTP routes, the command line and the background tasks.
//!
//! A use case that changes something is a function that takes a [`Transaction`] and returns a [`Change`]:
//!
//! ```text
//! let mut transaction = database.begin(actor, Priority::Revocation).await?;
//! let change = organizations::delete(&mut transaction, environment, id, now).await?;
//! commit(transaction, change, now).await?;
//! ```
//!
//! A [`Transaction`] can be committed only with its [`Change`]: [`commit`] writes the events and the outbox rows in the same
//! transaction, and returns once the edge has the change. ([`commit_without_waiting`] does not wait. It is for the restore and the
//! first run.) Nothing outside this module can make a [`Change`].
//!
//! | module | use cases |
//! | --- | --- |
//! | [`api_keys`] | create, list, update, expire, rotate, revoke and validate customers' keys |
//! | [`organizations`], [`expiry_policies`] | customers, and how long their keys may live |
//! | [`users`], [`memberships`] | who belongs to which organization, with which role |
//! | [`permissions`], [`offered_permissions`], [`roles`] | what keys and users may do |
//! | [`environments`], [`management_keys`] | tenants, and the keys of their back ends |
//! | [`usage`] | how often keys were validated |
//! | [`events`], [`webhooks`] | what happened, and where it is sent |
//!
//! Nothing here knows HTTP. The time and the randomness are arguments. Rows are locked in this order, so that no two
//! transactions wait for each other: organization, user, membership, permissions, offered permissions, role, API keys in the
//! order of their ids.

pub mod api_keys;
mod change;
pub mod environments;
mod error;
pub mod events;
pub mod expiry_policies;
mod fields;
pub mod management_keys;
pub mod memberships;
pub mod offered_permissions;
pub mod organizations;
pub mod permissions;
pub mod roles;
mod targets;
mod transaction;
pub mod usage;
pub mod users;
pub mod webhooks;

pub use change::Change;
pub use error::{Entity, Error, Refusal, Result};
pub use fields::{Checks, is_external_id};
pub use transaction::{Database, Transaction, Wakes, commit, commit_without_waiting};
