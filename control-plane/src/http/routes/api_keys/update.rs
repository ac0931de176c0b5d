use axum::{Json, extract::State};
use shared::{error::ErrorBody, id::ApiKeyId};

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteApiKeys, body::JsonBody, path::InPath},
    },
    objects::api_keys::ManagedApiKey,
    service::{
        api_keys::{self, UpdateApiKey},
        commit,
    },
    state::AppState,
};

/// Update an API key.
///
/// Omitted fields keep their values. Returns once the edge has the change.
#[utoipa::path(patch, path = "/api_keys/{id}", tag = "api_keys",
    operation_id = "updateApiKey", security(("management_key" = ["api_keys:write"])),
    params(("id" = ApiKeyId, Path)),
    request_body = UpdateApiKey,
    responses(
        (status = 200, body = ManagedApiKey),
        (status = 409, description = "The API key has expired, so its expiry cannot be changed.", body = ErrorBody),
        EdgePending,
    ))]
pub async fn update(
    State(state): State<AppState>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    JsonBody(body): JsonBody<UpdateApiKey>,
) -> Result<Json<ManagedApiKey>, Error> {
    let changes = body.check()?;
    let (mut transaction, now) = state.begin(caller.actor(), changes.priority()).await?;
    let (key, change) = api_keys::update(&mut transaction, &caller.environment, &id, changes, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(ManagedApiKey::new(key, now)))
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use serde_json::{Value, json};
    use tokio::time::timeout;

    use crate::{
        storage::{
            Db,
            testing::{conformance, set_expiry},
        },
        testing::server::*,
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

        async fn key_that_expires_while_an_update_waits_stays_expired(db: Db) {
            let (server, key, path, _) = world(db.clone(), json!({"name": "k"})).await;
            let id = id_of(&key).parse().unwrap();
            let mut ahead = db.write().await.unwrap();
            let expiry = set_expiry(ahead.conn(), &id, None, START).await.unwrap();
            let mut update = pin!(server.patch(&path, json!({"expires_at": null, "name": "Again"})));
            assert!(timeout(Duration::from_millis(100), &mut update).await.is_err(), "it waits: {expiry:?}");
            server.advance(1000);
            let now = server.state.clock.now();
            set_expiry(ahead.conn(), &id, Some(now), now).await.unwrap();
            ahead.commit().await.unwrap();
            assert_eq!(update.await.error(409), "api_key_already_expired");
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
