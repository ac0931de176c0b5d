use axum::{Json, extract::State};

use crate::{
    api::{Error, access::ReadRoles, roles::RoleList},
    app::App,
    storage::roles,
};

/// List the roles of the environment, oldest first.
#[utoipa::path(get, path = "/authorization/roles", tag = "roles",
    operation_id = "listEnvironmentRoles", security(("management_key" = ["roles:read"])), responses((status = 200, body = RoleList)))]
pub async fn list(State(app): State<App>, ReadRoles(caller): ReadRoles) -> Result<Json<RoleList>, Error> {
    let roles = roles::list_of_environment(app.db.read().await?.conn(), &caller.environment).await?;
    Ok(Json(RoleList::new(roles)))
}
