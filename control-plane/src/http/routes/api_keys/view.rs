use serde::{Serialize, Serializer, ser::Error as _};
use shared::{
    Rfc3339, Timestamp,
    api_key::ApiKeyObject,
    id::ApiKeyId,
    record::{Grant, Record},
};
use utoipa::ToSchema;

use crate::{
    http::{extract::query::Wanted, list::List},
    service::api_keys::{ApiKeyPage, CreatedApiKey as Created},
    storage::api_keys::ApiKey,
};

/// An API key, with the fields for its management.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ManagedApiKey)]
pub struct ShownApiKey {
    #[serde(flatten)]
    #[schema(value_type = ApiKeyObject)]
    key: KeyOfRecord,
    /// The id of the management key that created the key.
    created_by: String,
    /// The id of the key that this key replaced by rotation. Omitted if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_from: Option<ApiKeyId>,
    /// The id of the key that replaced this key by rotation. Omitted if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_to: Option<ApiKeyId>,
    /// When the key was revoked. Omitted if it is not revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Rfc3339>,
    /// Why the key was revoked: the `reason` of the call (`deleted` by default), `organization_deleted`, `user_deleted`
    /// or `membership_deleted`. Omitted if it is not revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_reason: Option<String>,
    /// True if the key is revoked, but not yet at the edge. Omitted otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    propagating: Option<bool>,
}

impl ShownApiKey {
    /// The row, as it is now.
    pub fn new(mut row: ApiKey, now: Timestamp) -> Self {
        Self {
            created_by: std::mem::take(&mut row.created_by),
            rotated_from: row.rotated_from.take(),
            rotated_to: row.rotated_to.take(),
            revoked_at: row.revoked_at.map(Rfc3339),
            revoked_reason: row.revoked_reason.clone(),
            propagating: None,
            key: KeyOfRecord(row.into_record(now)),
        }
    }

    /// A page of rows, as they are now.
    pub fn list(wanted: &Wanted, keys: ApiKeyPage, now: Timestamp) -> List<Self> {
        let ApiKeyPage { page, propagating } = keys;
        let show = |row: ApiKey| {
            let propagating = propagating.contains(row.id.as_str()).then_some(true);
            Self { propagating, ..Self::new(row, now) }
        };
        List::new(wanted, page, |row| row.id.as_str(), show)
    }
}

/// A key that is shown as an [`ApiKeyObject`], which borrows from it.
#[derive(Debug)]
struct KeyOfRecord(Record);

impl Serialize for KeyOfRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.grant {
            Grant::ApiKey(key) => ApiKeyObject::new(&self.0, key).serialize(serializer),
            Grant::ManagementKey(_) => Err(S::Error::custom("a management key is not an API key")),
        }
    }
}

/// A new API key. Only the response that creates it contains its value.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    key: ShownApiKey,
    /// The key itself. Latchkey cannot show it again, so give it to your customer now.
    value: String,
}

impl CreatedApiKey {
    /// The response to whoever creates it.
    pub fn new(created: Created, now: Timestamp) -> Self {
        Self { key: ShownApiKey::new(created.row, now), value: created.text.expose().to_owned() }
    }
}
