//! The API key object, as every answer shows it.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    Rfc3339,
    record::{ApiKeyGrant, Owner, Record},
};

/// A customer's key, without its text. Every field is always present, nulls included, because clients insist on it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = ApiKey))]
pub struct ApiKeyObject<'a> {
    /// Always `api_key`.
    pub object: &'static str,
    /// Its id.
    pub id: &'a str,
    /// Whose it is.
    pub owner: &'a Owner,
    /// What people call it.
    pub name: &'a str,
    /// What people may see of its text.
    pub obfuscated_value: &'a str,
    /// When it was last used. The edge knows this only as of the record's sealing.
    pub last_used_at: Option<Rfc3339>,
    /// From when on it is refused.
    pub expires_at: Option<Rfc3339>,
    /// The slugs of what it may do: of a user's key, what the user's role allows too.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub permissions: Cow<'a, [String]>,
    /// When it was created.
    pub created_at: Rfc3339,
    /// When it was last changed.
    pub updated_at: Rfc3339,
}

impl<'a> ApiKeyObject<'a> {
    /// The object of this record.
    #[must_use]
    pub fn new(record: &'a Record, key: &'a ApiKeyGrant) -> Self {
        Self {
            object: "api_key",
            id: key.id.as_str(),
            owner: &key.owner,
            name: &record.name,
            obfuscated_value: &record.obfuscated_value,
            last_used_at: key.last_used_at.map(Rfc3339),
            expires_at: record.expires_at.map(Rfc3339),
            permissions: key.effective_permissions(),
            created_at: Rfc3339(record.created_at),
            updated_at: Rfc3339(record.updated_at),
        }
    }
}
