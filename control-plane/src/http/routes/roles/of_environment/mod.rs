//! The roles of an environment, for all of its organizations.

pub mod add_permission;
pub mod create;
pub mod get;
pub mod list;
pub mod set_permissions;
pub mod update;
