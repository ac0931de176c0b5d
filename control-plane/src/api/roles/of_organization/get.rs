use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    api::{
        Error,
        access::ReadRoles,
        path::{InPaths, RoleSlug},
        roles::{Role, for_member},
    },
    app::App,
};

/// Get a role that an organization has: its own, or the environment's.
#[utoipa::path(get, path = "/authorization/organizations/{organization_id}/roles/{slug}", tag = "roles",
    operation_id = "getOrganizationRole", security(("management_key" = ["roles:read"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    responses((status = 200, body = Role)))]
pub async fn get(
    State(app): State<App>,
    ReadRoles(caller): ReadRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
) -> Result<Json<Role>, Error> {
    for_member(&app, &caller.environment, &organization, &slug).await.map(Json)
}
