//! Customers' keys that users hold, each in one organization.

pub mod create;
pub mod list;
