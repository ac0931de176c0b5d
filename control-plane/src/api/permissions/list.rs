use axum::{Json, extract::State};
use shared::id::PermissionId;

use super::Permission;
use crate::{
    api::{
        Error,
        access::ReadPermissions,
        list::{List, ListParams, Query},
    },
    app::App,
    storage::permissions,
};

/// List permissions.
#[utoipa::path(get, path = "/authorization/permissions", tag = "permissions",
    operation_id = "listPermissions", security(("management_key" = ["permissions:read"])),
    params(ListParams),
    responses((status = 200, body = List<Permission>)))]
pub async fn list(
    State(app): State<App>,
    ReadPermissions(caller): ReadPermissions,
    query: Query,
) -> Result<Json<List<Permission>>, Error> {
    let wanted = query.page::<PermissionId>()?;
    let page = permissions::list(app.db.read().await?.conn(), &caller.environment, &wanted.page).await?;
    Ok(Json(wanted.answer(page, |row| row.id.as_str(), Permission::from)))
}
