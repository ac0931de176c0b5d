use axum::{Json, extract::State};

use crate::{
    http::{Error, extract::access::ReadPermissions},
    service::offered_permissions::{self, ApiKeyPermissions},
    state::AppState,
};

/// Get the permissions that are offered for API keys.
///
/// They are the permissions that customers can put on keys of organizations and on keys of users.
#[utoipa::path(get, path = "/authorization/api_key_permissions", tag = "permissions",
    operation_id = "getApiKeyPermissions", security(("management_key" = ["permissions:read"])),
    responses((status = 200, body = ApiKeyPermissions)))]
pub async fn get(
    State(state): State<AppState>,
    ReadPermissions(caller): ReadPermissions,
) -> Result<Json<ApiKeyPermissions>, Error> {
    let offered = offered_permissions::get(state.database.read().await?.conn(), &caller.environment).await?;
    Ok(Json(offered))
}
