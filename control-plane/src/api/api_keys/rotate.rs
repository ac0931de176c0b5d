use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use shared::{
    Rfc3339, Timestamp,
    error::ErrorBody,
    id::{ApiKeyId, EnvironmentId},
};
use utoipa::ToSchema;

use super::{
    change, expiry,
    new::{self, CreatedApiKey},
};
use crate::{
    api::{
        EdgePending, Error,
        access::WriteApiKeys,
        body::OptionalJsonBody,
        fields::Checks,
        idempotency::{Answer, Claim, IdempotencyKey, Idempotent},
        path::InPath,
    },
    app::App,
    storage::{
        Failure, Writer,
        api_keys::{self, ApiKey},
        expiry_policies::ExpiryPolicy,
        key_terms::{self, Terms},
        outbox::{self, Kind, Route},
        permissions,
    },
};

/// For how long the old key is accepted beside the new one, if nobody says: a day.
const OVERLAP_DEFAULT_SECONDS: i64 = 24 * 60 * 60;
/// For how long it can be: 30 days.
const OVERLAP_MAX_SECONDS: i64 = 30 * 24 * 60 * 60;

/// How a key is to be rotated.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RotateApiKey {
    /// For how many seconds the old key is still accepted; 0: it is refused at once. It never lives longer than before.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000, default = 86400)]
    overlap_seconds: Option<i64>,
    /// From when on the new key is refused; it must lie in the future, and no further than the organization's policy allows. Left out
    /// or null: after the default lifetime of the policy, if there is one; else the new key lives as long as the old one was to.
    #[serde(default)]
    expires_at: Option<Rfc3339>,
    /// What people call the new key. Left out or null: the same as the old one.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
}

/// Rotate an API key: create a new one that may do the same, and let the old one expire.
///
/// The new key has the owner, the prefix, the permissions, the addresses, `not_before`, the metadata of the old one, and is disabled
/// if that is. It answers once the edge has been told when the old key expires. If that takes too long, the same call, repeated with
/// the same management key, is answered with the same new key, with an `Idempotency-Key` or without one.
#[utoipa::path(post, path = "/api_keys/{id}/rotate", tag = "api_keys",
    operation_id = "rotateApiKey", security(("management_key" = ["api_keys:write"])),
    params(("id" = ApiKeyId, Path), IdempotencyKey),
    request_body(content = Option<RotateApiKey>),
    responses(
        (status = 201, body = CreatedApiKey),
        (status = 409, description = "It has expired, or was rotated already", body = ErrorBody),
        EdgePending,
    ))]
pub async fn rotate(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    Idempotent(OptionalJsonBody(body), idempotency): Idempotent<OptionalJsonBody<RotateApiKey>>,
) -> Result<Answer, Error> {
    let overlap = check(&body)?;
    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let is_named = idempotency.is_named();
    let claimed = match idempotency.or_itself().claim(transaction.conn(), now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => {
            let old = api_keys::get(transaction.conn(), &caller.environment, &id).await?;
            drop(transaction);
            take_up(&app, old.as_ref(), &id, is_named).await?;
            return Ok(answer);
        }
    };
    let (old, policy) = lock(&mut transaction, &caller.environment, &id).await?;
    require_rotatable(&old, now)?;
    let terms = Terms {
        name: body.name.unwrap_or_else(|| old.name.clone()),
        expires_at: body.expires_at.map(|Rfc3339(at)| at),
        ..old.terms()
    };
    let made = new::make_successor(&mut transaction, &caller, &old, &policy, terms, now).await?;
    let new_id = made.row.id.clone();
    outbox::add(transaction.conn(), Kind::ApiKey, new_id.as_str(), made.row.version, Route::FeedFirst, now).await?;
    let end = now.plus_millis(overlap * 1000);
    let end = old.expires_at.map_or(end, |sooner| sooner.min(end));
    let version = key_terms::note_rotation(transaction.conn(), &old.id, &new_id, end, now).await?;
    let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &CreatedApiKey::new(made, now)).await?;
    let committed = app.commit_change(transaction, Kind::ApiKey, id.as_str(), version).await?;
    app.acknowledge(&committed).await?;
    Ok(answer)
}

/// Takes up the wait of an earlier call that rotated the key. Once its caller, or another, was told that the edge has that, a call
/// is that one repeated only if it says so.
async fn take_up(app: &App, old: Option<&ApiKey>, id: &ApiKeyId, is_named: bool) -> Result<(), Error> {
    match old {
        Some(old) if !change::is_told(app, old) => Ok(app.acknowledge(&change::earlier(id, old.version)).await?),
        _ if is_named => Ok(()),
        Some(_) => Err(already_rotated()),
        None => Err(Error::not_found("API key")),
    }
}

fn already_rotated() -> Error {
    Error::conflict("api_key_already_rotated", "Another API key has taken the place of this one already.")
}

fn check(body: &RotateApiKey) -> Result<i64, Error> {
    let overlap = body.overlap_seconds.unwrap_or(OVERLAP_DEFAULT_SECONDS);
    let mut checks = Checks::default();
    let message = format!("must be from 0 to {OVERLAP_MAX_SECONDS}");
    checks.require((0..=OVERLAP_MAX_SECONDS).contains(&overlap), "overlap_seconds", "invalid", message);
    if let Some(name) = &body.name {
        new::check_name(&mut checks, name);
    }
    checks.finish()?;
    Ok(overlap)
}

fn require_rotatable(key: &ApiKey, now: Timestamp) -> Result<(), Error> {
    if key.rotated_to.is_some() {
        return Err(already_rotated());
    }
    if key.expires_at.is_some_and(|at| at <= now) { Err(expiry::already_expired()) } else { Ok(()) }
}

/// Locks the key; and before it its organization and its permissions, which the new key is to have: whoever deletes one of those
/// takes them in that order too.
async fn lock(
    transaction: &mut Writer,
    environment: &EnvironmentId,
    id: &ApiKeyId,
) -> Result<(ApiKey, ExpiryPolicy), Error> {
    let seen = api_keys::get(transaction.conn(), environment, id).await?;
    let seen = seen.ok_or_else(|| Error::not_found("API key"))?;
    let policy = new::hold_owner(transaction, environment, &seen.owner()).await?;
    let held = permissions::hold(transaction.conn(), environment, &seen.permissions.0).await?;
    let key = change::lock(transaction, environment, id).await?;
    // Another call has just given it one more.
    if key.permissions.0.iter().any(|slug| !held.contains(slug)) {
        return Err(Error::Unavailable(Failure::Overloaded));
    }
    Ok((key, policy))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
