use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Deserialize;
use shared::{
    Rfc3339, Timestamp,
    error::ErrorBody,
    id::{ApiKeyId, EnvironmentId},
};
use utoipa::ToSchema;

use super::{ShownApiKey, change, expiry, grants::require_permissions, ip_ranges, new};
use crate::{
    api::{
        EdgePending, Error,
        access::WriteApiKeys,
        body::{JsonBody, or_null},
        fields::{Checks, merge_metadata},
        path::InPath,
    },
    app::App,
    storage::{
        Failure, Priority, Writer,
        api_keys::{self, ApiKey},
        key_terms::Terms,
    },
};

/// What to change of a key. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateApiKey {
    /// What people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// The slugs of all that it may do from now on. What it may not do yet must be a permission of this environment.
    #[serde(default)]
    #[schema(max_items = 100)]
    permissions: Option<Vec<String>>,
    /// Whether it is accepted at all. It can be switched off for the time being.
    #[serde(default)]
    enabled: Option<bool>,
    /// Until when it is refused. Null: it is accepted at once.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Rfc3339>)]
    not_before: Option<Option<Rfc3339>>,
    /// All the addresses and ranges that it may be used from. None, or null: from anywhere.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    ip_allow_list: Option<Option<Vec<String>>>,
    /// Entries to add or replace; a null entry is removed, and null instead of entries removes all.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// From when on it is refused. In the past: from now on. Null: never. As with `POST /api_keys/{id}/expire`, the
    /// organization's policy holds, and an expired key is never revived.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Rfc3339>)]
    expires_at: Option<Option<Rfc3339>>,
}

/// Update an API key.
///
/// It answers once the edge has been told.
#[utoipa::path(patch, path = "/api_keys/{id}", tag = "api_keys",
    operation_id = "updateApiKey", security(("management_key" = ["api_keys:write"])),
    params(("id" = ApiKeyId, Path)),
    request_body = UpdateApiKey,
    responses(
        (status = 200, body = ShownApiKey),
        (status = 409, description = "Its expiry was to be changed, and it has expired already", body = ErrorBody),
        EdgePending,
    ))]
pub async fn update(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    JsonBody(body): JsonBody<UpdateApiKey>,
) -> Result<Json<ShownApiKey>, Error> {
    let mut checks = Checks::default();
    let changes = Changes::read(&mut checks, body);
    checks.finish()?;

    let priority = if changes.enabled == Some(false) { Priority::Revocation } else { Priority::Normal };
    let mut transaction = app.db.write_as(priority).await?;
    let key = lock(&mut transaction, &caller.environment, &id, changes.permissions.as_deref()).await?;
    let now = app.clock.now();
    let mut terms = key.terms();
    if let Some(wanted) = changes.expires_at.filter(|wanted| *wanted != key.expires_at) {
        let policy = change::policy(&mut transaction, &key).await?;
        terms.expires_at = expiry::changed(&policy, &key, change::is_told(&app, &key), wanted, now)?;
    }
    changes.apply(&mut terms)?;
    Ok(Json(change::write(&app, transaction, key, &terms, now).await?))
}

/// What a request wants, with nothing wrong in it as far as it can be seen without the key.
struct Changes {
    name: Option<String>,
    permissions: Option<Vec<String>>,
    enabled: Option<bool>,
    not_before: Option<Option<Timestamp>>,
    ip_allow_list: Option<Vec<ipnet::IpNet>>,
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    expires_at: Option<Option<Timestamp>>,
}

impl Changes {
    fn read(checks: &mut Checks, body: UpdateApiKey) -> Self {
        if let Some(name) = &body.name {
            new::check_name(checks, name);
        }
        let moment = |at: Option<Rfc3339>| at.map(|Rfc3339(at)| at);
        Self {
            name: body.name,
            permissions: body.permissions.map(|slugs| new::check_permissions(checks, slugs)),
            enabled: body.enabled,
            not_before: body.not_before.map(moment),
            ip_allow_list: body.ip_allow_list.map(|texts| ip_ranges::read(checks, &texts.unwrap_or_default())),
            metadata: body.metadata,
            expires_at: body.expires_at.map(moment),
        }
    }

    /// All but the expiry, which depends on more than these.
    fn apply(self, terms: &mut Terms) -> Result<(), Error> {
        if let Some(not_before) = self.not_before.filter(|not_before| *not_before != terms.not_before) {
            terms.not_before = not_before;
            new::check_not_before(terms)?;
        }
        if let Some(metadata) = self.metadata {
            merge_metadata(&mut terms.metadata, metadata);
            let mut checks = Checks::default();
            new::check_metadata(&mut checks, &terms.metadata);
            checks.finish()?;
        }
        terms.name = self.name.unwrap_or_else(|| std::mem::take(&mut terms.name));
        terms.permissions = self.permissions.unwrap_or_else(|| std::mem::take(&mut terms.permissions));
        terms.ip_allow_list = self.ip_allow_list.unwrap_or_else(|| std::mem::take(&mut terms.ip_allow_list));
        terms.disabled = self.enabled.map_or(terms.disabled, |enabled| !enabled);
        Ok(())
    }
}

/// Locks the key, and before it the permissions that it is to have: who deletes a permission takes them in that order too.
async fn lock(
    transaction: &mut Writer,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    permissions: Option<&[String]>,
) -> Result<ApiKey, Error> {
    let Some(wanted) = permissions else { return change::lock(transaction, environment, id).await };
    let seen = api_keys::get(transaction.conn(), environment, id).await?;
    let seen = seen.ok_or_else(|| Error::not_found("API key"))?;
    let owner = seen.owner();
    require_permissions(transaction, environment, &owner, wanted, &seen.permissions.0).await?;
    let key = change::lock(transaction, environment, id).await?;
    let is_lost = |slug: &String| seen.permissions.0.contains(slug) && !key.permissions.0.contains(slug);
    // Another call has just taken from it what it was to keep.
    if wanted.iter().any(is_lost) { Err(Error::Unavailable(Failure::Overloaded)) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    /// A server with a key, the key as it is shown, its path and its text.
    async fn world(db: Db, body: Value) -> (Server, Value, String, String) {
        let server = Server::new(db).await;
        server.permissions(&["a", "b", "c"]).await;
        let mut key = server.api_key(&server.organization().await, body).await;
        let value = key.as_object_mut().unwrap().remove("value").unwrap();
        let path = format!("/api_keys/{}", id_of(&key));
        server.advance(1000);
        (server, key, path, value.as_str().unwrap().to_owned())
    }

    conformance! {
        async fn what_is_left_out_stays_and_what_is_null_is_cleared(db: Db) {
            let (server, created, path, value) = world(db, json!({
                "name": "k", "permissions": ["a", "b"], "expires_at": "2030-01-01T00:00:00Z", "not_before": "2020-01-01T00:00:00Z",
                "ip_allow_list": ["192.0.2.7", "2001:DB8::/32"], "metadata": {"a": "1", "b": "2"},
            })).await;
            assert_eq!(created["ip_allow_list"], json!(["192.0.2.7/32", "2001:db8::/32"]));
            let changed = server.patch(&path, json!({"name": "K", "metadata": {"a": null, "c": "3"}, "unknown": 1})).await.expect(200);
            let mut expected = created.clone();
            expected["name"] = json!("K");
            expected["metadata"] = json!({"b": "2", "c": "3"});
            expected["updated_at"] = json!(START.plus_millis(1000).to_string());
            assert_eq!(changed, expected);
            assert_eq!(server.get(&path).await.expect(200), expected);
            let cleared = json!({"not_before": null, "ip_allow_list": null, "metadata": null, "expires_at": null, "permissions": []});
            let cleared = server.patch(&path, cleared).await.expect(200);
            for field in ["not_before", "ip_allow_list", "metadata"] {
                assert!(created[field] != Value::Null && cleared.get(field).is_none(), "{field}");
            }
            assert_eq!((&cleared["expires_at"], &cleared["permissions"]), (&json!(null), &json!([])));
            let mut validated = cleared;
            validated.as_object_mut().unwrap().remove("created_by");
            assert_eq!(server.validate(&value).await, json!({"api_key": validated}));
        }

        async fn each_restriction_holds_at_once_and_can_be_lifted(db: Db) {
            let (server, _, path, value) = world(db, json!({"name": "k"})).await;
            let disabled = server.patch(&path, json!({"enabled": false})).await.expect(200);
            assert_eq!(disabled["enabled"], false);
            assert_eq!(server.validate(&value).await["code"], "disabled");
            let enabled = server.patch(&path, json!({"enabled": true, "not_before": "2099-01-01T00:00:00Z"})).await.expect(200);
            assert!(enabled.get("enabled").is_none(), "{enabled}");
            assert_eq!(server.validate(&value).await["code"], "not_yet_valid");
            let limited = json!({"not_before": null, "ip_allow_list": ["192.0.2.0/24"]});
            server.patch(&path, limited).await.expect(200);
            assert_eq!(server.validate(&value).await["code"], "ip_not_allowed");
            server.patch(&path, json!({"ip_allow_list": []})).await.expect(200);
            assert!(server.validate(&value).await["api_key"].is_object());
        }

        async fn a_change_of_nothing_is_none(db: Db) {
            let body = json!({"name": "k", "permissions": ["a"], "not_before": "2020-01-01T00:00:00Z", "metadata": {"a": "1"}});
            let (server, created, path, _) = world(db, body.clone()).await;
            for same in [json!({}), body, json!({"enabled": true, "expires_at": null, "ip_allow_list": []})] {
                assert_eq!(server.patch(&path, same).await.expect(200), created);
            }
        }

        async fn what_cannot_be_is_refused_and_changes_nothing(db: Db) {
            let (server, created, path, _) = world(db, json!({"name": "k", "metadata": {"a": "x".repeat(600)}})).await;
            let long = || "x".repeat(600);
            for (body, fields) in [
                (json!({"name": " "}), vec!["name"]),
                (json!({"permissions": ["a", "z"]}), vec!["permissions.1"]),
                (json!({"permissions": ["A"]}), vec!["permissions.0"]),
                (json!({"enabled": "no"}), vec!["enabled"]),
                (json!({"not_before": 5}), vec!["not_before"]),
                (json!({"not_before": "2030-01-01T00:00:00Z", "expires_at": "2029-01-01T00:00:00Z"}), vec!["not_before"]),
                (json!({"ip_allow_list": ["10.0.0.1/8"]}), vec!["ip_allow_list.0"]),
                (json!({"name": "", "ip_allow_list": ["x"]}), vec!["name", "ip_allow_list.0"]),
                (json!({"metadata": {"a": 1}}), vec!["metadata.a"]),
                (json!({"metadata": {"b": long(), "c": long(), "d": long()}}), vec!["metadata"]),
                (json!({"expires_at": "soon"}), vec!["expires_at"]),
            ] {
                assert_eq!(server.patch(&path, body.clone()).await.fields(), fields, "{body}");
            }
            assert_eq!(server.get(&path).await.expect(200), created);
        }

        async fn the_past_is_now_and_an_expired_key_is_never_revived(db: Db) {
            let (server, _, path, value) = world(db, json!({"name": "k"})).await;
            let expired = server.patch(&path, json!({"expires_at": "2001-01-01T00:00:00Z"})).await.expect(200);
            assert_eq!(expired["expires_at"], START.plus_millis(1000).to_string());
            assert_eq!(server.validate(&value).await["code"], "expired");
            server.advance(1000);
            for expires_at in [json!(null), json!("2099-01-01T00:00:00Z"), json!("2001-01-01T00:00:00Z")] {
                assert_eq!(server.patch(&path, json!({"expires_at": expires_at})).await.error(409), "api_key_already_expired");
            }
            // All else of it can be changed, and its expiry may be named as it is.
            let renamed = server.patch(&path, json!({"name": "old", "expires_at": expired["expires_at"]})).await.expect(200);
            assert_eq!((&renamed["name"], &renamed["expires_at"]), (&json!("old"), &expired["expires_at"]));
        }

        async fn a_revoked_key_cannot_be_changed(db: Db) {
            let (server, _, path, _) = world(db, json!({"name": "k"})).await;
            server.delete(&path).await.expect(204);
            for body in [json!({"name": "K"}), json!({"permissions": ["a"]}), json!({})] {
                assert_eq!(server.patch(&path, body).await.error(404), "entity_not_found");
            }
        }
    }
}
