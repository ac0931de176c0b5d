use axum::{Json, extract::State};
use shared::id::PermissionId;

use crate::{
    http::{
        Error,
        extract::{
            access::ReadPermissions,
            query::{ListParams, Query},
        },
        list::List,
    },
    objects::permissions::Permission,
    service::permissions,
    state::AppState,
};

/// List permissions.
///
/// Returns the permissions of the environment, newest first by default.
#[utoipa::path(get, path = "/authorization/permissions", tag = "permissions",
    operation_id = "listPermissions", security(("management_key" = ["permissions:read"])),
    params(ListParams),
    responses((status = 200, body = List<Permission>)))]
pub async fn list(
    State(state): State<AppState>,
    ReadPermissions(caller): ReadPermissions,
    query: Query,
) -> Result<Json<List<Permission>>, Error> {
    let wanted = query.page::<PermissionId>()?;
    let mut reader = state.database.read().await?;
    let page = permissions::list(reader.conn(), &caller.environment, &wanted.page).await?;
    Ok(Json(List::new(&wanted, page, |row| row.id.as_str(), Permission::from)))
}
