//! Webhooks: events that are sent to the product's own servers.

mod deliveries;
mod endpoints;
mod replays;

pub use deliveries::{get_delivery, list_deliveries, replay_delivery};
pub use endpoints::{
    CreateWebhookEndpoint, CreatedEndpoint, DisableReason, EndpointChanges, NewEndpoint, RotateWebhookSecret,
    UpdateWebhookEndpoint, create, delete, disable, end_overlap, get, list, rotate_secret, signing_secrets, update,
};
pub use replays::{BegunReplay, ReplayEvents, continue_replays, replay};
