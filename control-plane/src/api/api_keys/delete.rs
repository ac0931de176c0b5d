use axum::{extract::State, http::StatusCode};
use shared::id::ApiKeyId;

use crate::{
    api::{EdgePending, Error, access::WriteApiKeys, path::InPath},
    app::App,
    edge::{acknowledge::Committed, changes::Subject},
    storage::{api_keys, outbox::Kind},
};

/// Revoke an API key for ever.
///
/// It answers once the edge has been told.
#[utoipa::path(delete, path = "/api_keys/{id}", tag = "api_keys",
    params(("id" = ApiKeyId, Path)),
    responses((status = 204, description = "Revoked"), EdgePending))]
pub async fn delete(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
) -> Result<StatusCode, Error> {
    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let version = api_keys::revoke(transaction.conn(), &caller.environment, &id, "deleted", now).await?;
    let committed = match version {
        Some(version) => app.commit_change(transaction, Kind::ApiKey, id.as_str(), version).await?,
        None => {
            let pending = api_keys::unacknowledged_revocation(transaction.conn(), &caller.environment, &id).await?;
            let version = pending.filter(|_| app.edge.is_some());
            let version = version.ok_or_else(|| Error::not_found("API key", id.as_str()))?;
            drop(transaction);
            Committed { subject: Subject::Key(Kind::ApiKey, id.to_string()), version }
        }
    };
    app.acknowledge(&committed).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn a_revoked_key_is_refused_at_once_and_shown_no_more(db: Db) {
            let server = Server::new(db).await;
            let organization = server.organization().await;
            let key = server.api_key(&organization, json!({"name": "k"})).await;
            let path = format!("/api_keys/{}", id_of(&key));
            assert_eq!(server.delete(&path).await, Reply { status: 204, text: String::new() });
            assert_eq!(server.validate(key["value"].as_str().unwrap()).await["code"], "revoked");
            assert_eq!(server.get(&path).await.error(404), "entity_not_found");
            assert_eq!(server.delete(&path).await.error(404), "entity_not_found");
            assert_eq!(server.post(&format!("{path}/expire"), json!({})).await.error(404), "entity_not_found");
            let list = server.get(&format!("/organizations/{organization}/api_keys")).await.expect(200);
            assert_eq!(list["data"], json!([]));
        }
    }
}
