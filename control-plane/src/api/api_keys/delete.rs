use axum::{extract::State, http::StatusCode};
use shared::{error::ErrorBody, id::ApiKeyId};

use crate::{
    api::{Error, access::WriteApiKeys, path::InPath},
    app::App,
    storage::{api_keys, outbox},
};

/// Revoke an API key for ever.
#[utoipa::path(delete, path = "/api_keys/{id}", tag = "api_keys",
    params(("id" = ApiKeyId, Path)),
    responses((status = 204, description = "Revoked"), (status = 404, body = ErrorBody)))]
pub async fn delete(
    State(app): State<App>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
) -> Result<StatusCode, Error> {
    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let version = api_keys::revoke(transaction.conn(), &caller.environment, &id, "deleted", now).await?;
    let version = version.ok_or_else(|| Error::not_found("API key", id.as_str()))?;
    outbox::add(transaction.conn(), outbox::Kind::ApiKey, id.as_str(), version, now).await?;
    transaction.commit().await?;
    app.publisher.notify();
    Ok(StatusCode::NO_CONTENT)
}
