use axum::{Json, extract::State};
use shared::{error::ErrorBody, id::ApiKeyId};

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteApiKeys, body::OptionalJsonBody, path::InPath},
    },
    objects::api_keys::ManagedApiKey,
    service::{
        api_keys::{self, ExpireApiKey},
        commit,
    },
    state::AppState,
    storage::Priority,
};

/// Set when an API key expires.
///
/// Without a body, or without `expires_at`, the key expires now. An expired key stays expired. Returns once the edge has the change.
#[utoipa::path(post, path = "/api_keys/{id}/expire", tag = "api_keys",
    operation_id = "expireApiKey", security(("management_key" = ["api_keys:write"])),
    params(("id" = ApiKeyId, Path)),
    request_body(content = Option<ExpireApiKey>),
    responses(
        (status = 200, body = ManagedApiKey),
        (status = 409, description = "The API key has expired.", body = ErrorBody),
        EdgePending,
    ))]
pub async fn expire(
    State(state): State<AppState>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    OptionalJsonBody(body): OptionalJsonBody<ExpireApiKey>,
) -> Result<Json<ManagedApiKey>, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let (key, change) = api_keys::expire(&mut transaction, &caller.environment, &id, body, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(ManagedApiKey::new(key, now)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn now_later_never_and_never_again(db: Db) {
            let server = Server::new(db).await;
            let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
            let path = format!("/api_keys/{}/expire", id_of(&key));
            let value = key["value"].as_str().unwrap();
            let later = START.plus_millis(1000).to_string();
            assert_eq!(server.post(&path, json!({"expires_at": later})).await.expect(200)["expires_at"], later);
            assert_eq!(server.post(&path, json!({"expires_at": null})).await.expect(200)["expires_at"], json!(null));
            server.advance(2000);
            assert!(server.validate(value).await["api_key"].is_object());
            // No body at all is the same as an empty one.
            let expired = server.send("POST", &path, axum::body::Body::empty()).await.expect(200);
            assert_eq!(expired["expires_at"], START.plus_millis(2000).to_string());
            assert_eq!(server.validate(value).await["code"], "expired");
            for body in [json!({}), json!(null), json!({"expires_at": null}), json!({"expires_at": "2099-01-01T00:00:00Z"})] {
                assert_eq!(server.post(&path, body).await.error(409), "api_key_already_expired");
            }
            assert_eq!(server.get(&format!("/api_keys/{}", id_of(&key))).await.expect(200), expired);
        }

        async fn a_moment_that_is_none_is_refused(db: Db) {
            let server = Server::new(db).await;
            let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
            let path = format!("/api_keys/{}/expire", id_of(&key));
            for moment in [json!("soon"), json!(1), json!("1969-12-31T23:59:59Z"), json!("10000-01-01T00:00:00Z")] {
                assert_eq!(server.post(&path, json!({"expires_at": moment})).await.fields(), ["expires_at"], "{moment}");
            }
            assert_eq!(server.get(&format!("/api_keys/{}", id_of(&key))).await.expect(200)["expires_at"], json!(null));
        }
    }
}
