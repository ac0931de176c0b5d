use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        Error,
        extract::{
            access::ReadRoles,
            path::{InPaths, RoleSlug},
        },
    },
    objects::roles::Role,
    service::roles,
    state::AppState,
};

/// Get a role of an organization.
///
/// Finds the roles that its members can have: its own and those of the environment.
#[utoipa::path(get, path = "/authorization/organizations/{organization_id}/roles/{slug}", tag = "roles",
    operation_id = "getOrganizationRole", security(("management_key" = ["roles:read"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    responses((status = 200, body = Role)))]
pub async fn get(
    State(state): State<AppState>,
    ReadRoles(caller): ReadRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
) -> Result<Json<Role>, Error> {
    let mut reader = state.database.read().await?;
    let role = roles::get_of_organization(reader.conn(), &caller.environment, &organization, &slug).await?;
    Ok(Json(role.into()))
}
