//! Roles: what users may do in their organizations. An environment has roles for all of its organizations, and each
//! organization can have roles of its own.

pub mod of_environment;
pub mod of_organization;
mod view;
