//! The permissions that customers may put on keys.

pub mod get;
pub mod set;
