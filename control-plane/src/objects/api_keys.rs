//! API keys.

use serde::{Serialize, Serializer, ser::Error as _};
use shared::{
    Rfc3339, Timestamp,
    api_key::ApiKeyObject,
    id::ApiKeyId,
    record::{Grant, Record},
};
use utoipa::ToSchema;

use crate::storage::api_keys::ApiKey;

/// An API key, with the fields for its management.
#[derive(Debug, Serialize, ToSchema)]
pub struct ManagedApiKey {
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

impl ManagedApiKey {
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

    /// The same, which is on its way to the edge or not.
    #[must_use]
    pub fn with_propagating(self, is_propagating: bool) -> Self {
        Self { propagating: is_propagating.then_some(true), ..self }
    }
}

impl From<ApiKey> for ManagedApiKey {
    fn from(row: ApiKey) -> Self {
        // The time of a record is not shown.
        let now = row.updated_at;
        Self::new(row, now)
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
