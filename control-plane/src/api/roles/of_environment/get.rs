use axum::{Json, extract::State};

use crate::{
    api::{
        Error,
        access::ReadRoles,
        path::{InPath, RoleSlug},
        roles::{Role, not_found},
    },
    app::App,
    storage::roles::{self, Of},
};

/// Get a role of the environment.
#[utoipa::path(get, path = "/authorization/roles/{slug}", tag = "roles",
    operation_id = "getEnvironmentRole", security(("management_key" = ["roles:read"])),
    params(("slug" = String, Path)),
    responses((status = 200, body = Role)))]
pub async fn get(
    State(app): State<App>,
    ReadRoles(caller): ReadRoles,
    InPath(RoleSlug(slug)): InPath<RoleSlug>,
) -> Result<Json<Role>, Error> {
    let role = roles::get(app.db.read().await?.conn(), &caller.environment, Of::Environment, &slug).await?;
    role.map(|row| Json(row.into())).ok_or_else(not_found)
}
