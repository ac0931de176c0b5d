use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        Error,
        extract::{access::ReadRoles, path::InPath},
        routes::roles::view::RoleList,
    },
    service::roles,
    state::AppState,
};

/// List the roles that members of an organization can have: the environment's, then its own, each oldest first.
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
