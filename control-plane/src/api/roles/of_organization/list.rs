use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    api::{Error, access::ReadRoles, path::InPath, roles::RoleList},
    app::App,
    storage::{organizations, roles},
};

/// List the roles that an organization has: the environment's, then its own, each oldest first.
#[utoipa::path(get, path = "/authorization/organizations/{organization_id}/roles", tag = "roles",
    operation_id = "listOrganizationRoles", security(("management_key" = ["roles:read"])),
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, body = RoleList)))]
pub async fn list(
    State(app): State<App>,
    ReadRoles(caller): ReadRoles,
    InPath(organization): InPath<OrganizationId>,
) -> Result<Json<RoleList>, Error> {
    let environment = &caller.environment;
    let mut db = app.db.read().await?;
    if organizations::get(db.conn(), environment, &organization).await?.is_none() {
        return Err(Error::not_found("Organization"));
    }
    let mut all = roles::list_of_environment(db.conn(), environment).await?;
    all.extend(roles::list_of_organization(db.conn(), &organization).await?);
    Ok(Json(RoleList::new(all)))
}
