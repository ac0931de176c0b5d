//! Customers' keys that users hold, each within an organization.

pub mod create;
pub mod list;
