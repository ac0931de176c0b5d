//! Permissions: what the product offers, and keys carry.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;
