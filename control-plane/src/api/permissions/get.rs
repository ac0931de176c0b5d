use axum::{Json, extract::State};

use super::Permission;
use crate::{
    api::{
        Error,
        access::ReadPermissions,
        path::{InPath, PermissionSlug},
    },
    app::App,
    storage::permissions,
};

/// Get a permission.
#[utoipa::path(get, path = "/authorization/permissions/{slug}", tag = "permissions",
    operation_id = "getPermission", security(("management_key" = ["permissions:read"])),
    params(("slug" = String, Path)),
    responses((status = 200, body = Permission)))]
pub async fn get(
    State(app): State<App>,
    ReadPermissions(caller): ReadPermissions,
    InPath(PermissionSlug(slug)): InPath<PermissionSlug>,
) -> Result<Json<Permission>, Error> {
    let permission = permissions::get(app.db.read().await?.conn(), &caller.environment, &slug).await?;
    permission.map(|row| Json(row.into())).ok_or_else(|| Error::not_found("Permission"))
}
