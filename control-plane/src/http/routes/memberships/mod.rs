//! Memberships: which user belongs to which organization, with which role.

pub mod create;
pub mod deactivate;
pub mod delete;
pub mod get;
pub mod list;
pub mod reactivate;
pub mod update;
