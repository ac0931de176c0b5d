//! New keys: what a request can ask of one, and how one is made, whoever's it is to be.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use shared::{
    Rfc3339, Timestamp,
    digest::Digest,
    error::{ApiError, FieldError},
    id::{ApiKeyId, EnvironmentId},
    key::{self, KeyText},
    record::Owner,
};
use utoipa::ToSchema;

use super::{
    ShownApiKey, expiry,
    grants::{require_member, require_permissions},
    ip_ranges,
};
use crate::{
    api::{
        Error,
        access::Caller,
        fields::{Checks, NAME_MAX_LENGTH, PERMISSIONS_MAX, without_repeats},
        idempotency::{Answer, Claim, Idempotency},
    },
    app::App,
    entropy::OsEntropy,
    storage::{
        Writer,
        api_keys::{self, ApiKey, NewApiKey},
        environments,
        expiry_policies::{self, ExpiryPolicy},
        key_terms::Terms,
        organizations,
        outbox::Kind,
        users,
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
    /// What the key is to be, if that can be at all. Whether it can be here and now, [`make`] finds out.
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
    checks.slugs("permissions", &slugs, PERMISSIONS_MAX);
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

/// Creates a key, unless this is a creation repeated, and answers with its text.
pub async fn create(
    app: &App,
    caller: &Caller,
    owner: &Owner,
    terms: Terms,
    idempotency: Idempotency,
) -> Result<Answer, Error> {
    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let claimed = match idempotency.claim(transaction.conn(), now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => return Ok(answer),
    };
    let made = make(&mut transaction, caller, owner, terms, now).await?;
    let (id, version) = (made.row.id.clone(), made.row.version);
    let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &CreatedApiKey::new(made, now)).await?;
    let committed = app.commit_creation(transaction, Kind::ApiKey, id.as_str(), version).await?;
    app.await_creation(&committed).await;
    Ok(answer)
}

/// Makes a key, which is there once the transaction is committed, by [`App::commit_creation`](crate::app::App::commit_creation).
/// Its organization and its permissions stay until then.
async fn make(
    transaction: &mut Writer,
    caller: &Caller,
    owner: &Owner,
    mut terms: Terms,
    now: Timestamp,
) -> Result<Made, Error> {
    let environment = &caller.environment;
    let policy = hold_owner(transaction, environment, owner).await?;
    require_permissions(transaction, environment, owner, &terms.permissions, &[]).await?;
    terms.expires_at = expiry::of_new_key(&policy, terms.expires_at, None, now)?;
    insert(transaction, caller, owner, &terms, None, now).await
}

/// Makes the key that takes the place of another one, which is locked; and before it its owner and its permissions were.
pub async fn make_successor(
    transaction: &mut Writer,
    caller: &Caller,
    old: &ApiKey,
    policy: &ExpiryPolicy,
    mut terms: Terms,
    now: Timestamp,
) -> Result<Made, Error> {
    let lifetime = old.expires_at.map(|at| at.as_millis() - old.created_at.as_millis());
    terms.expires_at = expiry::of_new_key(policy, terms.expires_at, lifetime, now)?;
    insert(transaction, caller, &old.owner(), &terms, Some(old), now).await
}

/// How long the keys of this owner live, who will be there, and a member, until the transaction ends.
pub async fn hold_owner(
    transaction: &mut Writer,
    environment: &EnvironmentId,
    owner: &Owner,
) -> Result<ExpiryPolicy, Error> {
    let organization = owner.organization();
    if !organizations::hold(transaction.conn(), environment, organization).await? {
        return Err(Error::not_found("Organization"));
    }
    if let Owner::User { id, .. } = owner
        && !users::hold(transaction.conn(), environment, id).await?
    {
        return Err(Error::not_found("User"));
    }
    require_member(transaction, environment, owner).await?;
    Ok(expiry_policies::get(transaction.conn(), environment, organization).await?.unwrap_or_default())
}

async fn insert(
    transaction: &mut Writer,
    caller: &Caller,
    owner: &Owner,
    terms: &Terms,
    old: Option<&ApiKey>,
    now: Timestamp,
) -> Result<Made, Error> {
    let environment_id = &caller.environment;
    check_not_before(terms)?;
    let environment = environments::get(transaction.conn(), environment_id).await?;
    let environment = environment.ok_or_else(ApiError::unauthorized)?;

    let id = ApiKeyId::generate(now, &mut OsEntropy);
    // The prefix stays, even if the environment gives new keys another one by now.
    let prefix = old.and_then(|old| key::mask_prefix(&old.obfuscated_value)).unwrap_or(environment.key_prefix);
    let text = KeyText::generate(&prefix, &mut OsEntropy);
    let key = NewApiKey {
        id: &id,
        environment_id,
        owner,
        digest: &Digest::of(text.expose()),
        obfuscated_value: &key::mask(text.expose()),
        terms,
        rotated_from: old.map(|old| &old.id),
        created_by: &caller.grant.id,
        now,
    };
    api_keys::insert(transaction.conn(), &key).await?;
    let row = api_keys::get(transaction.conn(), environment_id, &id).await?;
    let row = row.ok_or_else(|| Error::Internal(anyhow::anyhow!("a key that was just inserted is not there")))?;
    Ok(Made { row, text })
}

/// There is a time at which the key is accepted.
pub fn check_not_before(terms: &Terms) -> Result<(), FieldError> {
    let in_order = terms.not_before.zip(terms.expires_at).is_none_or(|(start, end)| start < end);
    if in_order {
        return Ok(());
    }
    Err(FieldError::new("not_before", "invalid", "must lie before the moment from which on the key is refused"))
}
