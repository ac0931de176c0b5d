//! Webhook endpoints and deliveries.

pub mod create;
pub mod delete;
pub mod deliveries;
pub mod end_overlap;
pub mod get;
pub mod list;
pub mod replay;
pub mod rotate_secret;
#[cfg(test)]
mod tests;
pub mod update;
