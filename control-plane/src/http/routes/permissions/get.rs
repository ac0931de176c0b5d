use axum::{Json, extract::State};

use crate::{
    http::{
        Error,
        extract::{
            access::ReadPermissions,
            path::{InPath, PermissionSlug},
        },
    },
    objects::permissions::Permission,
    service::permissions,
    state::AppState,
};

/// Get a permission.
///
/// Finds the permission by its slug.
#[utoipa::path(get, path = "/authorization/permissions/{slug}", tag = "permissions",
    operation_id = "getPermission", security(("management_key" = ["permissions:read"])),
    params(("slug" = String, Path)),
    responses((status = 200, body = Permission)))]
pub async fn get(
    State(state): State<AppState>,
    ReadPermissions(caller): ReadPermissions,
    InPath(PermissionSlug(slug)): InPath<PermissionSlug>,
) -> Result<Json<Permission>, Error> {
    let permission = permissions::get(state.database.read().await?.conn(), &caller.environment, &slug).await?;
    Ok(Json(permission.into()))
}
