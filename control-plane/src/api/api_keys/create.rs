use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use shared::{
    Rfc3339, Timestamp,
    api_key::ApiKeyObject,
    digest::Digest,
    error::{ApiError, ErrorBody, FieldError},
    id::{ApiKeyId, EnvironmentId, OrganizationId},
    key::{self, KeyText},
    record::Version,
};
use utoipa::ToSchema;

use super::ShownApiKey;
use crate::{
    api::{
        Error,
        access::{Caller, WriteApiKeys},
        body::JsonBody,
        fields::{Checks, NAME_MAX_LENGTH, PERMISSIONS_MAX},
        path::InPath,
    },
    app::App,
    entropy::OsEntropy,
    storage::{
        self,
        api_keys::{self, NewApiKey},
        environments, organizations, outbox, permissions,
    },
};

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateApiKey {
    /// What people call it.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// The slugs of what it may do: permissions of this environment, 100 at most.
    #[serde(default)]
    #[schema(max_items = 100)]
    permissions: Option<Vec<String>>,
    /// From when on it is refused; it must lie in the future. Left out or null: never.
    #[serde(default)]
    expires_at: Option<Rfc3339>,
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

/// Create an organization's API key.
#[utoipa::path(post, path = "/organizations/{organization_id}/api_keys", tag = "api_keys",
    params(("organization_id" = OrganizationId, Path)),
    request_body = CreateApiKey,
    responses(
        (status = 201, body = CreatedApiKey),
        (status = 400, description = "Not JSON", body = ErrorBody),
        (status = 404, description = "No such organization", body = ErrorBody),
        (status = 413, body = ErrorBody),
        (status = 422, body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(organization): InPath<OrganizationId>,
    JsonBody(body): JsonBody<CreateApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>), Error> {
    let wanted = check(body, app.clock.now())?;
    let (key, text) = insert(&app, &caller, &organization, &wanted).await?;
    app.publisher.notify();
    Ok((StatusCode::CREATED, Json(CreatedApiKey { key, value: text.expose().to_owned() })))
}

struct WantedKey {
    name: String,
    permissions: Vec<String>,
    expires_at: Option<Timestamp>,
}

fn check(body: CreateApiKey, now: Timestamp) -> Result<WantedKey, Error> {
    let permissions = without_repeats(body.permissions.unwrap_or_default());
    let expires_at = body.expires_at.map(|Rfc3339(at)| at);
    let mut checks = Checks::default();
    checks.text("name", &body.name, NAME_MAX_LENGTH);
    let few = permissions.len() <= PERMISSIONS_MAX;
    checks.require(few, "permissions", "too_long", format!("must be at most {PERMISSIONS_MAX}"));
    for (at, slug) in permissions.iter().enumerate().take(PERMISSIONS_MAX) {
        checks.slug(&format!("permissions.{at}"), slug);
    }
    checks.require(expires_at.is_none_or(|at| at > now), "expires_at", "invalid", "must lie in the future");
    checks.finish()?;
    Ok(WantedKey { name: body.name, permissions, expires_at })
}

fn without_repeats(slugs: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    slugs.into_iter().filter(|slug| seen.insert(slug.clone())).collect()
}

async fn insert(
    app: &App,
    caller: &Caller,
    organization: &OrganizationId,
    wanted: &WantedKey,
) -> Result<(ShownApiKey, KeyText), Error> {
    let environment_id = &caller.environment;
    let mut transaction = app.db.write().await?;
    if !organizations::hold(transaction.conn(), environment_id, organization).await? {
        return Err(Error::not_found("Organization", organization.as_str()));
    }
    require_permissions(&mut transaction, environment_id, &wanted.permissions).await?;
    let environment = environments::get(transaction.conn(), environment_id).await?;
    let environment = environment.ok_or_else(ApiError::unauthorized)?;

    let now = app.clock.now();
    let id = ApiKeyId::generate(now, &mut OsEntropy);
    let text = KeyText::generate(&environment.key_prefix, &mut OsEntropy);
    let key = NewApiKey {
        id: &id,
        environment_id,
        organization_id: organization,
        name: &wanted.name,
        digest: &Digest::of(text.expose()),
        obfuscated_value: &key::mask(text.expose()),
        permissions: &wanted.permissions,
        expires_at: wanted.expires_at,
        created_by: &caller.grant.id,
        now,
    };
    api_keys::insert(transaction.conn(), &key).await?;
    outbox::add(transaction.conn(), outbox::Kind::ApiKey, id.as_str(), Version::first(now), now).await?;
    let row = api_keys::get(transaction.conn(), environment_id, &id).await?;
    let row = row.ok_or_else(|| Error::Internal(anyhow::anyhow!("a key that was just inserted is not there")))?;
    transaction.commit().await?;
    Ok((ShownApiKey::new(row, now), text))
}

/// Every permission must be one of the environment's, and stays so until the transaction ends.
async fn require_permissions(
    transaction: &mut storage::Writer,
    environment: &EnvironmentId,
    slugs: &[String],
) -> Result<(), Error> {
    if slugs.is_empty() {
        return Ok(());
    }
    let known = permissions::hold(transaction.conn(), environment, slugs).await?;
    let unknown = slugs.iter().enumerate().filter(|(_, slug)| !known.contains(slug));
    let errors: Vec<FieldError> = unknown
        .map(|(at, slug)| {
            FieldError::new(format!("permissions.{at}"), "not_found", format!("there is no permission `{slug}`"))
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(ApiError::unprocessable(errors).into()) }
}
