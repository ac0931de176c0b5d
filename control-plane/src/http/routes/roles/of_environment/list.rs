use axum::{Json, extract::State};

use crate::{
    http::{Error, extract::access::ReadRoles},
    objects::roles::RoleList,
    service::roles,
    state::AppState,
};

/// List the environment roles.
///
/// Oldest first, in a single page.
#[utoipa::path(get, path = "/authorization/roles", tag = "roles",
    operation_id = "listEnvironmentRoles", security(("management_key" = ["roles:read"])),
    responses((status = 200, body = RoleList)))]
pub async fn list(State(state): State<AppState>, ReadRoles(caller): ReadRoles) -> Result<Json<RoleList>, Error> {
    let mut reader = state.database.read().await?;
    let roles = roles::list_of_environment(reader.conn(), &caller.environment).await?;
    Ok(Json(RoleList::new(roles)))
}
