use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        Error,
        extract::{access::ReadRoles, path::InPath},
    },
    objects::roles::RoleList,
    service::roles,
    state::AppState,
};

/// List the roles of an organization.
///
/// Returns all roles that its members can have: first those of the environment, then its own, each oldest first, in a
/// single page.
#[utoipa::path(get, path = "/authorization/organizations/{organization_id}/roles", tag = "roles",
    operation_id = "listOrganizationRoles", security(("management_key" = ["roles:read"])),
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, body = RoleList)))]
pub async fn list(
    State(state): State<AppState>,
    ReadRoles(caller): ReadRoles,
    InPath(organization): InPath<OrganizationId>,
) -> Result<Json<RoleList>, Error> {
    let mut reader = state.database.read().await?;
    let roles = roles::list_of_organization(reader.conn(), &caller.environment, &organization).await?;
    Ok(Json(RoleList::new(roles)))
}
