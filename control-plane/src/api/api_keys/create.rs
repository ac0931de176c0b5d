use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use shared::{
    Rfc3339, Timestamp,
    api_key::ApiKeyObject,
    digest::Digest,
    error::{ApiError, FieldError},
    id::{ApiKeyId, EnvironmentId, OrganizationId},
    key::{self, KeyText},
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
    edge::acknowledge::Committed,
    entropy::OsEntropy,
    storage::{
        self,
        api_keys::{self, NewApiKey},
        environments, organizations,
        outbox::Kind,
        permissions,
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
    responses((status = 201, body = CreatedApiKey)))]
pub async fn create(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(organization): InPath<OrganizationId>,
    JsonBody(body): JsonBody<CreateApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>), Error> {
    let wanted = check(body, app.clock.now())?;
    let (key, text, committed) = insert(&app, &caller, &organization, &wanted).await?;
    app.await_creation(&committed).await;
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
) -> Result<(ShownApiKey, KeyText, Committed), Error> {
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
        user_id: None,
        name: &wanted.name,
        digest: &Digest::of(text.expose()),
        obfuscated_value: &key::mask(text.expose()),
        permissions: &wanted.permissions,
        expires_at: wanted.expires_at,
        created_by: &caller.grant.id,
        now,
    };
    api_keys::insert(transaction.conn(), &key).await?;
    let row = api_keys::get(transaction.conn(), environment_id, &id).await?;
    let row = row.ok_or_else(|| Error::Internal(anyhow::anyhow!("a key that was just inserted is not there")))?;
    let committed = app.commit_creation(transaction, Kind::ApiKey, id.as_str(), row.version).await?;
    Ok((ShownApiKey::new(row, now), text, committed))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn the_key_is_shown_once_and_then_masked(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["posts:read", "posts:write"]).await;
            let organization = server.organization().await;
            let mut created = server.api_key(&organization, json!({
                "name": "Production", "permissions": ["posts:write", "posts:read", "posts:write"],
                "expires_at": "2030-01-01T01:00:00+01:00",
            })).await;
            let value = created.as_object_mut().unwrap().remove("value").unwrap();
            let value = value.as_str().unwrap();
            assert_eq!(created, json!({
                "object": "api_key",
                "id": created["id"],
                "owner": {"type": "organization", "id": organization},
                "name": "Production",
                "obfuscated_value": format!("lk_test_…{}", &value[value.len() - 4..]),
                "last_used_at": null,
                "expires_at": "2030-01-01T00:00:00.000Z",
                "permissions": ["posts:write", "posts:read"],
                "created_at": START.to_string(),
                "updated_at": START.to_string(),
            }));
            let path = format!("/api_keys/{}", id_of(&created));
            assert_eq!(server.get(&path).await.expect(200), created);
            let list = server.get(&format!("/organizations/{organization}/api_keys")).await.expect(200);
            assert_eq!(list["data"], json!([created]));
            assert_eq!(server.validate(value).await, json!({"api_key": created}));
        }

        async fn what_cannot_be_is_refused_and_makes_nothing(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a"]).await;
            let keys = format!("/organizations/{}/api_keys", server.organization().await);
            for (body, fields) in [
                (json!({"name": "k", "permissions": ["a", "b"]}), vec!["permissions.1"]),
                (json!({"name": "k", "permissions": ["A b"]}), vec!["permissions.0"]),
                (json!({"name": "k", "permissions": "a"}), vec!["permissions"]),
                (json!({"name": "k", "permissions": [null]}), vec!["permissions[0]"]),
                (json!({"name": "k", "permissions": (0..101).map(|n| n.to_string()).collect::<Vec<_>>()}), vec!["permissions"]),
                (json!({"name": "k", "expires_at": START.to_string()}), vec!["expires_at"]),
                (json!({"name": "k", "expires_at": "tomorrow"}), vec!["expires_at"]),
                (json!({"name": "k", "expires_at": 1}), vec!["expires_at"]),
                (json!({"name": "  "}), vec!["name"]),
                (json!({"name": null}), vec!["name"]),
            ] {
                assert_eq!(server.post(&keys, body.clone()).await.fields(), fields, "{body}");
            }
            assert_eq!(server.get(&keys).await.expect(200)["data"], json!([]));
        }

        async fn an_organization_that_is_not_there_gets_no_key(db: Db) {
            let server = Server::new(db).await;
            for id in ["org_01KF0JZ4G0000000000000000A", "org_x", "user_01KF0JZ4G0000000000000000A", "%00", "%ff"] {
                let reply = server.post(&format!("/organizations/{id}/api_keys"), json!({"name": "k"})).await;
                assert_eq!(reply.error(404), "entity_not_found", "{id}");
            }
        }
    }
}
