use axum::{Json, extract::State};
use serde::Deserialize;
use shared::{Rfc3339, error::ErrorBody, id::ApiKeyId};
use utoipa::ToSchema;

use super::{ShownApiKey, change, expiry};
use crate::{
    api::{
        EdgePending, Error,
        access::WriteApiKeys,
        body::{OptionalJsonBody, or_null},
        path::InPath,
    },
    app::App,
    storage::{Priority, key_terms::Terms},
};

/// When a key is to expire.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExpireApiKey {
    /// From when on it is refused. Left out or in the past: from now on. Null: never. Later than the organization's policy allows is
    /// refused, unless the key expires sooner by it than before.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Rfc3339>)]
    expires_at: Option<Option<Rfc3339>>,
}

/// Expire an API key now or later, or take a later expiry back. An expired key is never revived.
///
/// It answers once the edge has been told.
#[utoipa::path(post, path = "/api_keys/{id}/expire", tag = "api_keys",
    operation_id = "expireApiKey", security(("management_key" = ["api_keys:write"])),
    params(("id" = ApiKeyId, Path)),
    request_body(content = Option<ExpireApiKey>),
    responses(
        (status = 200, body = ShownApiKey),
        (status = 409, description = "It has expired already", body = ErrorBody),
        EdgePending,
    ))]
pub async fn expire(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    OptionalJsonBody(body): OptionalJsonBody<ExpireApiKey>,
) -> Result<Json<ShownApiKey>, Error> {
    let mut transaction = app.db.write_as(Priority::Revocation).await?;
    let key = change::lock(&mut transaction, &caller.environment, &id).await?;
    let now = app.clock.now();
    let wanted = body.expires_at.unwrap_or(Some(Rfc3339(now))).map(|Rfc3339(at)| at);
    let policy = change::policy(&mut transaction, &key).await?;
    let expires_at = expiry::changed(&policy, &key, change::is_told(&app, &key), wanted, now)?;
    let terms = Terms { expires_at, ..key.terms() };
    Ok(Json(change::write(&app, transaction, key, &terms, now).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
