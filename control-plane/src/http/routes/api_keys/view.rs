use serde::Serialize;
use shared::Timestamp;
use utoipa::ToSchema;

use crate::{
    http::{extract::query::Wanted, list::List},
    objects::api_keys::ManagedApiKey,
    service::api_keys::{ApiKeyPage, CreatedApiKey as Created},
    storage::api_keys::ApiKey,
};

/// A page of keys, as they are now.
pub fn list(wanted: &Wanted, keys: ApiKeyPage, now: Timestamp) -> List<ManagedApiKey> {
    let ApiKeyPage { page, propagating } = keys;
    let show = |row: ApiKey| {
        let is_propagating = propagating.contains(row.id.as_str());
        ManagedApiKey::new(row, now).with_propagating(is_propagating)
    };
    List::new(wanted, page, |row| row.id.as_str(), show)
}

/// A new API key. Only the response that creates it contains its value.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    key: ManagedApiKey,
    /// The key itself. Latchkey cannot show it again, so give it to your customer now.
    value: String,
}

impl CreatedApiKey {
    /// The response to whoever creates it.
    pub fn new(created: Created, now: Timestamp) -> Self {
        Self { key: ManagedApiKey::new(created.row, now), value: created.text.expose().to_owned() }
    }
}
