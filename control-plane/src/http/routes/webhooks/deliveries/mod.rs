//! Deliveries: the log of what was sent.

pub mod get;
pub mod list;
pub mod replay;
