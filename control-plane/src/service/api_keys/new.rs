//! New keys: what a request may say of one, and how one is made, whoever owns it.

use std::collections::BTreeMap;

use shared::{
    Rfc3339, Timestamp,
    digest::Digest,
    entropy::Entropy,
    error::FieldError,
    id::{ApiKeyId, EnvironmentId, ManagementKeyId},
    key::{self, KeyText},
    record::Owner,
};

use super::{grants::require_member, ip_ranges};
use crate::{
    events::{EventType, changes},
    service::{
        Change, Entity, Error, Result, Transaction,
        fields::{Checks, NAME_MAX_LENGTH, PERMISSIONS_MAX, without_repeats},
    },
    storage::{
        api_keys::{self as rows, ApiKey, ApiKeySettings, NewApiKey},
        environments,
        expiry_policies::{self, ExpiryPolicy},
        organizations, users,
    },
};

/// The longest metadata of a key, as JSON. It is part of the key's record at the edge.
pub const METADATA_MAX_BYTES: usize = 2048;

/// What a request says of a new key.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub name: String,
    pub permissions: Option<Vec<String>>,
    pub expires_at: Option<Rfc3339>,
    pub not_before: Option<Rfc3339>,
    pub ip_allow_list: Option<Vec<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
}

impl Fields {
    pub fn check(self) -> Result<ApiKeySettings> {
        let mut checks = Checks::default();
        check_name(&mut checks, &self.name);
        let permissions = check_permissions(&mut checks, self.permissions.unwrap_or_default());
        let ip_allow_list = ip_ranges::parse_all(&mut checks, &self.ip_allow_list.unwrap_or_default());
        let metadata = self.metadata.unwrap_or_default();
        check_metadata(&mut checks, &metadata);
        checks.finish()?;
        Ok(ApiKeySettings {
            name: self.name,
            permissions,
            ip_allow_list,
            metadata,
            expires_at: self.expires_at.map(|Rfc3339(at)| at),
            not_before: self.not_before.map(|Rfc3339(at)| at),
            ..ApiKeySettings::default()
        })
    }
}

/// The name of a key.
pub(super) fn check_name(checks: &mut Checks, name: &str) {
    checks.text("name", name, NAME_MAX_LENGTH);
}

/// The permissions of a key, each of them once.
pub(super) fn check_permissions(checks: &mut Checks, slugs: Vec<String>) -> Vec<String> {
    let slugs = without_repeats(slugs);
    checks.slugs("permissions", &slugs, PERMISSIONS_MAX);
    slugs
}

/// The metadata of a key, all of it.
pub(super) fn check_metadata(checks: &mut Checks, metadata: &BTreeMap<String, String>) {
    checks.metadata(metadata);
    let length = serde_json::to_string(metadata).map_or(usize::MAX, |json| json.len());
    let message = format!("must have at most {METADATA_MAX_BYTES} bytes as JSON");
    checks.require(length <= METADATA_MAX_BYTES, "metadata", "too_long", message);
}

/// Who creates a key, and where.
#[derive(Debug, Clone, Copy)]
pub struct Creator<'a> {
    /// The environment.
    pub environment: &'a EnvironmentId,
    /// The management key of the caller.
    pub management_key: &'a ManagementKeyId,
}

/// A key that was just created: the only moment at which its text is known.
pub struct CreatedApiKey {
    /// Its row.
    pub row: ApiKey,
    /// Its text.
    pub text: KeyText,
}

/// Locks the owner of a new key, who must be a member if it is a user, and returns the expiry policy of the organization.
pub(super) async fn lock_owner(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    owner: &Owner,
) -> Result<ExpiryPolicy> {
    let organization = owner.organization();
    if !organizations::hold(transaction.conn(), environment, organization).await? {
        return Err(Error::NotFound(Entity::Organization));
    }
    if let Owner::User { id, .. } = owner
        && !users::hold(transaction.conn(), environment, id).await?
    {
        return Err(Error::NotFound(Entity::User));
    }
    require_member(transaction, environment, owner).await?;
    Ok(expiry_policies::get(transaction.conn(), environment, organization).await?.unwrap_or_default())
}

/// Inserts a key, which may replace an old one.
pub(super) async fn insert(
    transaction: &mut Transaction,
    creator: Creator<'_>,
    owner: &Owner,
    settings: &ApiKeySettings,
    old: Option<&ApiKey>,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(CreatedApiKey, Change)> {
    check_not_before(settings)?;
    let Creator { environment, management_key: created_by } = creator;
    let missing = |what| Error::Internal(anyhow::anyhow!("{what} is missing"));
    let tenant = environments::get(transaction.conn(), environment).await?;
    let tenant = tenant.ok_or_else(|| missing("the environment of the caller"))?;

    let id = ApiKeyId::generate(now, entropy);
    // A replacement keeps the prefix, even if new keys of the environment have another one by now.
    let prefix = old.and_then(|old| key::mask_prefix(&old.obfuscated_value)).unwrap_or(tenant.key_prefix);
    let text = KeyText::generate(&prefix, entropy);
    let key = NewApiKey {
        id: &id,
        environment_id: environment,
        owner,
        digest: &Digest::of(text.expose()),
        obfuscated_value: &key::mask(text.expose()),
        settings,
        rotated_from: old.map(|old| &old.id),
        created_by,
        now,
    };
    rows::insert(transaction.conn(), &key).await?;
    let row = rows::get(transaction.conn(), environment, &id).await?;
    let row = row.ok_or_else(|| missing("a key that was just inserted"))?;
    let event = changes::api_key(EventType::ApiKeyCreated, &row)?;
    let change = Change::api_key_created(&row.id, row.version, event);
    Ok((CreatedApiKey { row, text }, change))
}

/// There must be a time at which the key is valid.
pub(super) fn check_not_before(settings: &ApiKeySettings) -> std::result::Result<(), FieldError> {
    let in_order = settings.not_before.zip(settings.expires_at).is_none_or(|(start, end)| start < end);
    if in_order {
        return Ok(());
    }
    Err(FieldError::new("not_before", "invalid", "must be before the time at which the key expires"))
}
