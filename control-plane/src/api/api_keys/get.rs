use axum::{Json, extract::State};
use shared::{api_key::ApiKeyObject, id::ApiKeyId};

use super::ShownApiKey;
use crate::{
    api::{Error, access::ReadApiKeys, path::InPath},
    app::App,
    storage::api_keys,
};

/// Get an API key.
#[utoipa::path(get, path = "/api_keys/{id}", tag = "api_keys",
    params(("id" = ApiKeyId, Path)),
    responses((status = 200, body = ApiKeyObject)))]
pub async fn get(
    State(app): State<App>,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(id): InPath<ApiKeyId>,
) -> Result<Json<ShownApiKey>, Error> {
    let row = api_keys::get(app.db.read().await?.conn(), &caller.environment, &id).await?;
    let row = row.ok_or_else(|| Error::not_found("API key", id.as_str()))?;
    Ok(Json(ShownApiKey::new(row, app.clock.now())))
}
