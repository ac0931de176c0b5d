//! The JSON object of each resource. Responses and events show the same one.

pub mod api_keys;
pub mod memberships;
pub mod organizations;
pub mod permissions;
pub mod roles;
pub mod users;
pub mod webhooks;
