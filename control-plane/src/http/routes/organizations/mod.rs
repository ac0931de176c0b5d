//! Organizations: the customers of the product.

pub mod create;
pub mod delete;
pub mod expiry_policy;
pub mod get;
pub mod get_by_external_id;
pub mod list;
pub mod update;
