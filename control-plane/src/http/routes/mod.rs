//! The handlers: one folder for each resource, one file for each verb.

pub mod api_key_permissions;
pub mod api_keys;
pub mod events;
pub mod memberships;
pub mod operations;
pub mod organizations;
pub mod permissions;
pub mod roles;
pub mod usage;
pub mod user_api_keys;
pub mod users;
pub mod webhooks;
