use axum::{extract::State, http::StatusCode};
use shared::{error::ErrorBody, id::ApiKeyId};

use super::view::CreatedApiKey;
use crate::{
    entropy::OsEntropy,
    http::{
        EdgePending, Error,
        extract::{
            access::WriteApiKeys,
            body::OptionalJsonBody,
            idempotency::{Answer, Claim, IdempotencyKey, Idempotent},
            path::InPath,
        },
    },
    service::{
        api_keys::{self, RotateApiKey},
        commit,
    },
    state::AppState,
    storage::Priority,
};

/// Rotate an API key.
///
/// Creates a new key with the owner, prefix, permissions, IP allow list, `not_before` and metadata of the old key, and
/// lets the old key expire after an overlap. If the old key is disabled, so is the new one. Only this response, and that
/// of a repeated request, contains the new key, in `value`. Returns once the edge has the expiry of the old key. If the response
/// is 503 `edge_propagation_pending`, repeat the same call with the same management key: it returns the same new key,
/// with or without an `Idempotency-Key`.
#[utoipa::path(post, path = "/api_keys/{id}/rotate", tag = "api_keys",
    operation_id = "rotateApiKey", security(("management_key" = ["api_keys:write"])),
    params(("id" = ApiKeyId, Path), IdempotencyKey),
    request_body(content = Option<RotateApiKey>),
    responses(
        (status = 201, body = CreatedApiKey),
        (status = 400, description = "The body is not valid JSON, `Idempotency-Key` is invalid, or the key's user is not an active member of the organization.", body = ErrorBody),
        (status = 409, description = "The API key has expired, or another key has replaced it already.", body = ErrorBody),
        EdgePending,
    ))]
pub async fn rotate(
    State(state): State<AppState>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    Idempotent(OptionalJsonBody(body), idempotency): Idempotent<OptionalJsonBody<RotateApiKey>>,
) -> Result<Answer, Error> {
    let (rotation, entropy) = (body.check()?, &mut OsEntropy);
    let has_key = idempotency.is_named();
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let claimed = match idempotency.or_itself().claim(&mut transaction, now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => {
            let change = api_keys::resume_rotate(&mut transaction, &caller.environment, &id, has_key).await?;
            commit(transaction, change, now).await?;
            return Ok(answer);
        }
    };
    let (created, change) = api_keys::rotate(&mut transaction, caller.creator(), &id, rotation, now, entropy).await?;
    let view = CreatedApiKey::new(created, now);
    let answer = claimed.keep(&mut transaction, StatusCode::CREATED, &view, entropy).await?;
    commit(transaction, change, now).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    const HOUR: i64 = 60 * 60 * 1000;

    fn at(millis: i64) -> Value {
        json!(START.plus_millis(millis).to_string())
    }

    /// A server with a key of this description, that was made an hour ago, and its path.
    async fn world(db: Db, body: Value) -> (Server, Value, String) {
        let server = Server::new(db).await;
        server.permissions(&["a", "b"]).await;
        let key = server.api_key(&server.organization().await, body).await;
        let path = format!("/api_keys/{}", id_of(&key));
        server.advance(HOUR);
        (server, key, path)
    }

    conformance! {
        async fn the_new_key_may_do_the_same_and_the_old_one_too_for_a_while(db: Db) {
            let (server, old, path) = world(db, json!({
                "name": "k", "permissions": ["b", "a"], "not_before": at(0), "ip_allow_list": ["192.0.2.0/24"], "metadata": {"a": "1"},
            })).await;
            let new = server.post(&format!("{path}/rotate"), json!({"overlap_seconds": 3600})).await.expect(201);
            for field in ["object", "owner", "name", "permissions", "not_before", "ip_allow_list", "metadata", "expires_at", "created_by"] {
                assert_eq!(new[field], old[field], "{field}");
            }
            for field in ["id", "value", "obfuscated_value", "created_at", "updated_at"] {
                assert_ne!(new[field], old[field], "{field}");
            }
            assert_eq!(new["rotated_from"], old["id"]);
            let shown = server.get(&path).await.expect(200);
            assert_eq!((&shown["rotated_to"], &shown["expires_at"]), (&new["id"], &at(2 * HOUR)));
            assert_eq!(server.get(&format!("/api_keys/{}", id_of(&new))).await.expect(200)["rotated_from"], old["id"]);
            let refusal = async |key: &Value| {
                let body = json!({"value": key["value"], "ip": "192.0.2.1"});
                server.post("/api_keys/validations", body).await.expect(200)["code"].clone()
            };
            assert_eq!((refusal(&old).await, refusal(&new).await), (json!(null), json!(null)));
            server.advance(HOUR);
            assert_eq!((refusal(&old).await, refusal(&new).await), (json!("expired"), json!(null)));
        }

        async fn the_old_key_never_lives_longer_and_lives_a_day_if_nobody_says(db: Db) {
            let (server, _, path) = world(db, json!({"name": "k", "expires_at": at(2 * HOUR)})).await;
            // No body at all is the same as an empty one.
            let new = server.send("POST", &format!("{path}/rotate"), axum::body::Body::empty()).await.expect(201);
            assert_eq!(server.get(&path).await.expect(200)["expires_at"], at(2 * HOUR));
            assert_eq!(new["expires_at"], at(3 * HOUR), "as long as the old one was to live");
            let path = format!("/api_keys/{}", id_of(&server.api_key(&server.organization().await, json!({"name": "k"})).await));
            server.post(&format!("{path}/rotate"), json!({"expires_at": at(9 * HOUR), "name": "new"})).await.expect(201);
            assert_eq!(server.get(&path).await.expect(200)["expires_at"], at(25 * HOUR));
        }

        async fn without_an_overlap_the_old_key_is_refused_at_once(db: Db) {
            let (server, old, path) = world(db, json!({"name": "k"})).await;
            let new = server.post(&format!("{path}/rotate"), json!({"overlap_seconds": 0, "name": "new", "expires_at": at(9 * HOUR)})).await.expect(201);
            assert_eq!((&new["name"], &new["expires_at"]), (&json!("new"), &at(9 * HOUR)));
            assert_eq!(server.validate(old["value"].as_str().unwrap()).await["code"], "expired");
            assert!(server.validate(new["value"].as_str().unwrap()).await["api_key"].is_object());
        }

        async fn the_prefix_stays_though_the_environment_has_another_by_now(db: Db) {
            let (server, old, path) = world(db, json!({"name": "k"})).await;
            crate::storage::testing::execute(&server.db, "UPDATE environments SET key_prefix = 'other'").await;
            let new = server.post(&format!("{path}/rotate"), json!({})).await.expect(201);
            for key in [&old, &new] {
                assert!(key["value"].as_str().unwrap().starts_with("lk_test_"), "{}", key["obfuscated_value"]);
            }
        }

        async fn a_disabled_key_is_rotated_into_a_disabled_one(db: Db) {
            let (server, _, path) = world(db, json!({"name": "k"})).await;
            server.patch(&path, json!({"enabled": false})).await.expect(200);
            let new = server.post(&format!("{path}/rotate"), json!({})).await.expect(201);
            assert_eq!(new["enabled"], false);
            assert_eq!(server.validate(new["value"].as_str().unwrap()).await["code"], "disabled");
        }

        async fn a_key_is_rotated_once_and_not_after_its_end(db: Db) {
            let (server, key, path) = world(db, json!({"name": "k"})).await;
            let rotate = async |path: &str| server.post(&format!("{path}/rotate"), json!({})).await;
            let next = format!("/api_keys/{}", id_of(&rotate(&path).await.expect(201)));
            assert_eq!(rotate(&path).await.error(409), "api_key_already_rotated");
            server.post(&format!("{next}/expire"), json!({})).await.expect(200);
            assert_eq!(rotate(&next).await.error(409), "api_key_already_expired");
            server.delete(&path).await.expect(204);
            assert_eq!(rotate(&path).await.error(404), "entity_not_found");
            let keys = format!("/organizations/{}/api_keys?include=revoked", key["owner"]["id"].as_str().unwrap());
            assert_eq!(ids_of(&server.get(&keys).await.expect(200)).len(), 2);
        }

        async fn with_an_idempotency_key_a_repeated_call_gets_the_same_key(db: Db) {
            let (server, key, path) = world(db, json!({"name": "k"})).await;
            let rotate = format!("{path}/rotate");
            let body = json!({"overlap_seconds": 0});
            let (_, first) = server.post_with("Idempotency-Key", "x", &rotate, &body).await;
            first.expect(201);
            assert_eq!(server.post_with("Idempotency-Key", "x", &rotate, &body).await.1, first);
            let other = server.post_with("Idempotency-Key", "x", &rotate, &json!({"overlap_seconds": 1})).await.1;
            assert_eq!(other.error(422), "idempotency_key_reused");
            for (name, value) in [("Idempotency-Key", "y"), ("X-Nothing", "x")] {
                for body in [&body, &json!({"overlap_seconds": 1})] {
                    let again = server.post_with(name, value, &rotate, body).await.1;
                    assert_eq!(again.error(409), "api_key_already_rotated");
                }
            }
            let keys = format!("/organizations/{}/api_keys", key["owner"]["id"].as_str().unwrap());
            assert_eq!(ids_of(&server.get(&keys).await.expect(200)).len(), 2);
        }

        async fn the_policy_of_the_organization_holds_for_the_new_key(db: Db) {
            let (server, key, path) = world(db, json!({"name": "k"})).await;
            let policy = format!("/organizations/{}/api_key_expiry_policy", key["owner"]["id"].as_str().unwrap());
            server.put(&policy, json!({"max_lifetime_seconds": 7200, "default_lifetime_seconds": null})).await.expect(200);
            let rotate = async |path: &str, body| server.post(&format!("{path}/rotate"), body).await;
            assert_eq!(rotate(&path, json!({"expires_at": at(3 * HOUR + 1)})).await.fields(), ["expires_at"]);
            let new = rotate(&path, json!({})).await.expect(201);
            assert_eq!(new["expires_at"], at(3 * HOUR), "no longer than it may");
            server.put(&policy, json!({"max_lifetime_seconds": null, "default_lifetime_seconds": 60})).await.expect(200);
            let new = rotate(&format!("/api_keys/{}", id_of(&new)), json!({})).await.expect(201);
            assert_eq!(new["expires_at"], at(HOUR + 60_000));
        }

        async fn what_cannot_be_is_refused_and_changes_nothing(db: Db) {
            let (server, key, path) = world(db, json!({"name": "k"})).await;
            for (body, field) in [
                (json!({"overlap_seconds": -1}), "overlap_seconds"), (json!({"overlap_seconds": 2_592_001}), "overlap_seconds"),
                (json!({"overlap_seconds": i64::MAX}), "overlap_seconds"), (json!({"overlap_seconds": 1.5}), "overlap_seconds"),
                (json!({"expires_at": at(HOUR)}), "expires_at"), (json!({"name": ""}), "name"),
            ] {
                assert_eq!(server.post(&format!("{path}/rotate"), body.clone()).await.fields(), [field], "{body}");
            }
            let mut expected = key;
            expected.as_object_mut().unwrap().remove("value");
            assert_eq!(server.get(&path).await.expect(200), expected);
        }
    }
}
