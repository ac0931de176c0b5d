use axum::{Json, extract::State};
use serde::Deserialize;
use shared::{Rfc3339, Timestamp, api_key::ApiKeyObject, error::ErrorBody, id::ApiKeyId};
use utoipa::ToSchema;

use super::ShownApiKey;
use crate::{
    api::{
        EdgePending, Error,
        access::WriteApiKeys,
        body::{OptionalJsonBody, or_null},
        path::InPath,
    },
    app::App,
    edge::{acknowledge::Committed, changes::Subject},
    storage::{
        api_keys::{self, ApiKey},
        key_terms,
        outbox::Kind,
    },
};

/// When a key is to expire.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExpireApiKey {
    /// From when on it is refused. Left out or in the past: from now on. Null: never.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Rfc3339>)]
    expires_at: Option<Option<Rfc3339>>,
}

/// Expire an API key now or later, or take a later expiry back. An expired key is never revived.
///
/// It answers once the edge has been told.
#[utoipa::path(post, path = "/api_keys/{id}/expire", tag = "api_keys",
    params(("id" = ApiKeyId, Path)),
    request_body(content = Option<ExpireApiKey>),
    responses(
        (status = 200, body = ApiKeyObject),
        (status = 409, description = "It has expired already", body = ErrorBody),
        EdgePending,
    ))]
pub async fn expire(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    OptionalJsonBody(body): OptionalJsonBody<ExpireApiKey>,
) -> Result<Json<ShownApiKey>, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write().await?;
    let before = key_terms::lock(transaction.conn(), environment, &id).await?;
    let before = before.ok_or_else(|| Error::not_found("API key", id.as_str()))?;
    let now = app.clock.now();
    let wanted = new_expiry(body.expires_at, now);
    let has_expired = before.expires_at.is_some_and(|expires_at| expires_at <= now);
    if has_expired && (app.edge.is_none() || !is_repeated(&before, wanted, now)) {
        return Err(Error::conflict("api_key_already_expired", "The API key has expired already."));
    }
    let version = match has_expired {
        true => before.version,
        false => key_terms::set_expiry(transaction.conn(), &id, wanted, now).await?,
    };
    let row = api_keys::get(transaction.conn(), environment, &id).await?;
    let row = row.ok_or_else(|| Error::not_found("API key", id.as_str()))?;
    let committed = match has_expired {
        true => {
            // It would hold the row, and on SQLite the file, while this waits.
            drop(transaction);
            Committed { subject: Subject::Key(Kind::ApiKey, id.to_string()), version }
        }
        false => app.commit_change(transaction, Kind::ApiKey, id.as_str(), version).await?,
    };
    app.acknowledge(&committed).await?;
    Ok(Json(ShownApiKey::new(row, now)))
}

/// Whether a call asks for what an earlier one did, whose caller was not told yet that the edge has it.
fn is_repeated(before: &ApiKey, wanted: Option<Timestamp>, now: Timestamp) -> bool {
    !before.acknowledged && wanted.is_some_and(|at| at <= now)
}

fn new_expiry(wanted: Option<Option<Rfc3339>>, now: Timestamp) -> Option<Timestamp> {
    match wanted {
        None => Some(now),
        Some(None) => None,
        Some(Some(Rfc3339(at))) => Some(at.max(now)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
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
            for body in [json!({}), json!({"expires_at": null}), json!({"expires_at": "2099-01-01T00:00:00Z"})] {
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

    #[test]
    fn the_past_is_now_and_null_is_never() {
        let (past, now, future) = (1, 2, 3);
        let at = |millis| Timestamp::from_millis(millis);
        assert_eq!(new_expiry(None, at(now)), Some(at(now)));
        assert_eq!(new_expiry(Some(None), at(now)), None);
        assert_eq!(new_expiry(Some(Some(Rfc3339(at(past)))), at(now)), Some(at(now)));
        assert_eq!(new_expiry(Some(Some(Rfc3339(at(future)))), at(now)), Some(at(future)));
    }
}
