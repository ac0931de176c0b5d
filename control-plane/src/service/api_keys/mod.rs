//! Customers' keys, of organizations and of users: one verb, one file.

mod create;
mod expire;
mod expiry;
mod expiry_events;
mod get;
mod grants;
mod ip_ranges;
mod list;
mod new;
mod restore;
mod revoke;
mod rotate;
mod settings;
mod update;
mod usage;
mod validate;
mod versions_at_edge;

pub use create::{CreateApiKey, CreateUserApiKey, create};
pub use expire::{ExpireApiKey, expire};
pub use expiry_events::{ExpiryReminders, report_expiries};
pub use get::get;
pub use list::{ApiKeyPage, list_of_organization, list_of_user};
pub use new::{CreatedApiKey, Creator, METADATA_MAX_BYTES};
pub use restore::restore;
pub use revoke::{DEFAULT_REASON, REASON_MAX_LENGTH, check_reason, revoke, revoke_if_active};
pub use rotate::{RotateApiKey, Rotation, resume_rotate, rotate};
pub use update::{ApiKeyChanges, UpdateApiKey, update};
pub use usage::{require_known, usage};
pub use validate::validate;
pub use versions_at_edge::{VersionsAtEdge, versions_at_edge};
