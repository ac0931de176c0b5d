//! New keys: what a request can ask of one, and how one is made, whoever's it is to be.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Rfc3339, Timestamp,
    api_key::ApiKeyObject,
    digest::Digest,
    error::ApiError,
    id::ApiKeyId,
    key::{self, KeyText},
    record::Owner,
};
use utoipa::ToSchema;

use super::{
    ShownApiKey,
    grants::{require_member, require_permissions},
    ip_ranges,
};
use crate::{
    api::{
        Error,
        access::Caller,
        fields::{Checks, NAME_MAX_LENGTH, PERMISSIONS_MAX, without_repeats},
    },
    entropy::OsEntropy,
    storage::{
        Writer,
        api_keys::{self, ApiKey, NewApiKey},
        environments,
        key_terms::Terms,
        organizations, users,
    },
};

/// The longest metadata of a key, as JSON. It is part of the key's record at the edge.
pub const METADATA_MAX_BYTES: usize = 2048;

/// What a request says of a new key.
#[derive(Debug, Default)]
pub struct Fields {
    pub name: String,
    pub permissions: Option<Vec<String>>,
    pub expires_at: Option<Rfc3339>,
    pub not_before: Option<Rfc3339>,
    pub ip_allow_list: Option<Vec<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
}

impl Fields {
    /// What the key is to be, if that can be at all. Whether it can be now and here, [`make`] finds out.
    pub fn check(self) -> Result<Terms, Error> {
        let mut checks = Checks::default();
        check_name(&mut checks, &self.name);
        let permissions = check_permissions(&mut checks, self.permissions.unwrap_or_default());
        let ip_allow_list = ip_ranges::read(&mut checks, &self.ip_allow_list.unwrap_or_default());
        let metadata = self.metadata.unwrap_or_default();
        check_metadata(&mut checks, &metadata);
        checks.finish()?;
        Ok(Terms {
            name: self.name,
            permissions,
            ip_allow_list,
            metadata,
            expires_at: self.expires_at.map(|Rfc3339(at)| at),
            not_before: self.not_before.map(|Rfc3339(at)| at),
            ..Terms::default()
        })
    }
}

/// The name of a key.
pub fn check_name(checks: &mut Checks, name: &str) {
    checks.text("name", name, NAME_MAX_LENGTH);
}

/// The permissions of a key, each of them once.
pub fn check_permissions(checks: &mut Checks, slugs: Vec<String>) -> Vec<String> {
    let slugs = without_repeats(slugs);
    let few = slugs.len() <= PERMISSIONS_MAX;
    checks.require(few, "permissions", "too_long", format!("must be at most {PERMISSIONS_MAX}"));
    for (at, slug) in slugs.iter().enumerate().take(PERMISSIONS_MAX) {
        checks.slug(&format!("permissions.{at}"), slug);
    }
    slugs
}

/// The metadata of a key, all of it.
pub fn check_metadata(checks: &mut Checks, metadata: &BTreeMap<String, String>) {
    checks.metadata(metadata);
    let length = serde_json::to_string(metadata).map_or(usize::MAX, |json| json.len());
    let message = format!("must have at most {METADATA_MAX_BYTES} bytes as JSON");
    checks.require(length <= METADATA_MAX_BYTES, "metadata", "too_long", message);
}

/// A key that was just made: the only moment at which its text is known.
pub struct Made {
    /// Its row.
    pub row: ApiKey,
    /// Its text.
    pub text: KeyText,
}

/// A key that was just created: the only answer that ever shows its text.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    #[schema(value_type = ApiKeyObject)]
    key: ShownApiKey,
    /// The key itself. It is shown this once and stored nowhere: hand it on now.
    value: String,
}

impl CreatedApiKey {
    /// What its creator is answered.
    pub fn new(made: Made, now: Timestamp) -> Self {
        Self { key: ShownApiKey::new(made.row, now), value: made.text.expose().to_owned() }
    }
}

/// Makes a key, which is there once the transaction is committed, by [`App::commit_creation`](crate::app::App::commit_creation).
/// Its organization and its permissions stay until then.
pub async fn make(
    transaction: &mut Writer,
    caller: &Caller,
    owner: &Owner,
    terms: &Terms,
    now: Timestamp,
) -> Result<Made, Error> {
    let (environment_id, organization) = (&caller.environment, owner.organization());
    if !organizations::hold(transaction.conn(), environment_id, organization).await? {
        return Err(Error::not_found("Organization", organization.as_str()));
    }
    if let Owner::User { id, .. } = owner
        && !users::hold(transaction.conn(), environment_id, id).await?
    {
        return Err(Error::not_found("User", id.as_str()));
    }
    require_permissions(transaction, environment_id, owner, &terms.permissions, &[]).await?;
    require_member(transaction, environment_id, owner).await?;
    check_times(terms, now)?;
    let environment = environments::get(transaction.conn(), environment_id).await?;
    let environment = environment.ok_or_else(ApiError::unauthorized)?;

    let id = ApiKeyId::generate(now, &mut OsEntropy);
    let text = KeyText::generate(&environment.key_prefix, &mut OsEntropy);
    let key = NewApiKey {
        id: &id,
        environment_id,
        owner,
        digest: &Digest::of(text.expose()),
        obfuscated_value: &key::mask(text.expose()),
        terms,
        created_by: &caller.grant.id,
        now,
    };
    api_keys::insert(transaction.conn(), &key).await?;
    let row = api_keys::get(transaction.conn(), environment_id, &id).await?;
    let row = row.ok_or_else(|| Error::Internal(anyhow::anyhow!("a key that was just inserted is not there")))?;
    Ok(Made { row, text })
}

fn check_times(terms: &Terms, now: Timestamp) -> Result<(), Error> {
    let mut checks = Checks::default();
    checks.require(terms.expires_at.is_none_or(|at| at > now), "expires_at", "invalid", "must lie in the future");
    check_not_before(&mut checks, terms);
    checks.finish()
}

/// There is a time at which the key is accepted.
pub fn check_not_before(checks: &mut Checks, terms: &Terms) {
    let in_order = terms.not_before.zip(terms.expires_at).is_none_or(|(start, end)| start < end);
    checks.require(in_order, "not_before", "invalid", "must lie before the moment at which the key expires");
}
