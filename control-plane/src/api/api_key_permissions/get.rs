use axum::{Json, extract::State};

use super::ApiKeyPermissions;
use crate::{
    api::{Error, access::ReadPermissions},
    app::App,
    storage::environments,
};

/// Get the permissions that customers may put on keys.
#[utoipa::path(get, path = "/authorization/api_key_permissions", tag = "permissions",
    operation_id = "getApiKeyPermissions", security(("management_key" = ["permissions:read"])),
    responses((status = 200, body = ApiKeyPermissions)))]
pub async fn get(
    State(app): State<App>,
    ReadPermissions(caller): ReadPermissions,
) -> Result<Json<ApiKeyPermissions>, Error> {
    let offered = environments::offered(app.db.read().await?.conn(), &caller.environment).await?;
    Ok(Json(offered.into()))
}
