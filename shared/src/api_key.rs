//! The API key object, as every answer shows it.

use std::{borrow::Cow, collections::BTreeMap};

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    Rfc3339,
    record::{ApiKeyGrant, Owner, Record},
};

/// An API key of an organization or of a user, without its value.
///
/// `enabled`, `not_before`, `ip_allow_list` and `metadata` are omitted while they have no effect.
// WorkOS's clients insist on the fields that they know, so those are always present, nulls included.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = ApiKey))]
pub struct ApiKeyObject<'a> {
    /// Always `api_key`.
    pub object: &'static str,
    /// The id of the key.
    pub id: &'a str,
    /// The organization or the user that owns the key.
    pub owner: &'a Owner,
    /// The display name.
    pub name: &'a str,
    /// The prefix and the last four characters of the value, such as `lk_live_…G1yY`. Safe to display.
    pub obfuscated_value: &'a str,
    /// When a validation last accepted the key. Null if none has. The edge can return an older time.
    #[cfg_attr(feature = "server", schema(required))]
    pub last_used_at: Option<Rfc3339>,
    /// When the key expires. Null if it does not expire.
    #[cfg_attr(feature = "server", schema(required))]
    pub expires_at: Option<Rfc3339>,
    /// The slugs of the key's permissions. A user's key has its effective permissions here, which the user's role can
    /// limit.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub permissions: Cow<'a, [String]>,
    /// When the key was created.
    pub created_at: Rfc3339,
    /// When the key was last changed.
    pub updated_at: Rfc3339,
    /// False while the key is disabled. Omitted while it is enabled.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(feature = "server", schema(required = false))]
    pub enabled: bool,
    /// When the key becomes valid. Omitted if it is valid from its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Rfc3339>,
    /// The IP addresses and CIDR ranges that the key can be used from. Omitted if there is no limit.
    #[serde(skip_serializing_if = "<[IpNet]>::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false))]
    pub ip_allow_list: &'a [IpNet],
    /// Your own key-value pairs. Omitted if there are none.
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
