//! The roles of an organization: the environment's, and its own, which alone can be changed here.

pub mod add_permission;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod remove_permission;
pub mod set_permissions;
pub mod update;
