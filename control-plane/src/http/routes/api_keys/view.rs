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

/// A key, for those who manage it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ManagedApiKey)]
pub struct ShownApiKey {
    #[serde(flatten)]
    #[schema(value_type = ApiKeyObject)]
    key: KeyOfRecord,
    /// The id of the management key that created it.
    created_by: String,
    /// The key that this one replaced by rotation. Left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_from: Option<ApiKeyId>,
    /// The key that replaced this one by rotation. Left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_to: Option<ApiKeyId>,
    /// When the key was revoked. Left out if it is not revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Rfc3339>,
    /// Why the key was revoked. Left out if it is not revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_reason: Option<String>,
    /// True if the key is revoked and that is not effective at the edge yet. Left out otherwise.
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

/// A key that was just created: the only response that shows its text.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    key: ShownApiKey,
    /// The key itself. It is shown only once: hand it to the customer now.
    value: String,
}

impl CreatedApiKey {
    /// The response to whoever creates it.
    pub fn new(created: Created, now: Timestamp) -> Self {
        Self { key: ShownApiKey::new(created.row, now), value: created.text.expose().to_owned() }
    }
}
