//! Users: people who hold keys of their own in an organization.

pub mod create;
pub mod delete;
pub mod get;
pub mod get_by_external_id;
pub mod list;
pub mod update;
