//! The API key object, as every answer shows it.

use std::{borrow::Cow, collections::BTreeMap};

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    Rfc3339,
    record::{ApiKeyGrant, Owner, Record},
};

/// A customer's key, without its text. The fields that WorkOS clients know are always present, nulls included, because they
/// insist on it. Those that only we have come after them, and each is left out as long as it says nothing.
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
    /// False if it is refused for the time being. Left out otherwise.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(feature = "server", schema(required = false))]
    pub enabled: bool,
    /// Until when it is refused. Left out if it was accepted from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Rfc3339>,
    /// The addresses and ranges that it may be used from. Left out if that is anywhere.
    #[serde(skip_serializing_if = "<[IpNet]>::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false))]
    pub ip_allow_list: &'a [IpNet],
    /// The product's own notes. Left out if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "server", schema(required = false))]
    pub metadata: &'a BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_true(value: &bool) -> bool {
    *value
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
            enabled: !record.disabled,
            not_before: record.not_before.map(Rfc3339),
            ip_allow_list: &key.ip_allow_list,
            metadata: &key.metadata,
        }
    }
}
