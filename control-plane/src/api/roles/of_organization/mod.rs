//! The roles that an organization has: the environment's, and those of its own, which alone can be changed here.

pub mod add_permission;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod remove_permission;
pub mod set_permissions;
pub mod update;
