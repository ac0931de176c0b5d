//! Customers' keys.

pub mod create;
pub mod delete;
pub mod expire;
pub mod get;
pub mod list;
pub mod rotate;
pub mod update;
pub mod usage;
pub mod validate;
pub mod view;
