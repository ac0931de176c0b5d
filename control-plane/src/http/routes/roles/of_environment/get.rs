use axum::{Json, extract::State};

use crate::{
    http::{
        Error,
        extract::{
            access::ReadRoles,
            path::{InPath, RoleSlug},
        },
    },
    objects::roles::Role,
    service::roles,
    state::AppState,
};

/// Get an environment role.
///
/// Finds the role by its slug.
#[utoipa::path(get, path = "/authorization/roles/{slug}", tag = "roles",
    operation_id = "getEnvironmentRole", security(("management_key" = ["roles:read"])),
    params(("slug" = String, Path)),
    responses((status = 200, body = Role)))]
pub async fn get(
    State(state): State<AppState>,
    ReadRoles(caller): ReadRoles,
    InPath(RoleSlug(slug)): InPath<RoleSlug>,
) -> Result<Json<Role>, Error> {
    let mut reader = state.database.read().await?;
    let role = roles::get_of_environment(reader.conn(), &caller.environment, &slug).await?;
    Ok(Json(role.into()))
}
