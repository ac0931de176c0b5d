//! Webhooks: events that are sent to the product's own servers.

mod deliveries;
mod endpoints;
mod replays;
mod secrets;

pub use deliveries::{get_delivery, list_deliveries, replay_delivery};
pub use endpoints::{
    CreateWebhookEndpoint, CreatedEndpoint, DisableReason, EndpointChanges, NewEndpoint, RotateWebhookSecret,
    UpdateWebhookEndpoint, create, delete, disable, end_overlap, get, list, rotate_secret, update,
};
pub use replays::{BegunReplay, ReplayEvents, continue_replays, replay};
pub use secrets::{SecretsInspection, inspect_secrets, reencrypt_secrets, signing_secrets};
