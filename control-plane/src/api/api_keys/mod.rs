//! Customers' keys.

mod change;
pub mod create;
pub mod delete;
pub mod expire;
mod expiry;
pub mod get;
mod grants;
mod ip_ranges;
pub mod list;
pub mod new;
pub mod rotate;
pub mod update;
pub mod usage;
pub mod validate;

use serde::{Serialize, Serializer, ser::Error as _};
use shared::{
    Rfc3339, Timestamp,
    api_key::ApiKeyObject,
    id::ApiKeyId,
    record::{Grant, Record},
};
use utoipa::ToSchema;

use crate::storage::api_keys::ApiKey;

/// A key, as those see it who manage it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ManagedApiKey)]
pub struct ShownApiKey {
    #[serde(flatten)]
    #[schema(value_type = ApiKeyObject)]
    key: KeyOfRecord,
    /// The management key that created it.
    created_by: String,
    /// The key whose place it took when that was rotated. Left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_from: Option<ApiKeyId>,
    /// The key that took its place when it was rotated. Left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_to: Option<ApiKeyId>,
    /// When it was revoked. Left out if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Rfc3339>,
    /// Why it was revoked. Left out if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_reason: Option<String>,
    /// True of a revoked key if the edge has yet to be told. Left out otherwise.
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

    /// The same, of which the edge has yet to be told.
    pub fn propagating(self) -> Self {
        Self { propagating: Some(true), ..self }
    }
}

/// A key that answers show as an [`ApiKeyObject`], which borrows from it.
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
