//! How often keys were validated.

pub mod get;
pub mod ingest;
pub mod view;
