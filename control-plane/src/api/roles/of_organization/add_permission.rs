use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    api::{
        EdgePending, Error,
        access::WriteRoles,
        body::JsonBody,
        path::{InPaths, RoleSlug},
        roles::{AddRolePermission, Role, change_permissions},
    },
    app::App,
    storage::roles::Of,
};

/// Let a role of an organization's own allow one thing more.
///
/// It answers once the edge has been told.
#[utoipa::path(post, path = "/authorization/organizations/{organization_id}/roles/{slug}/permissions", tag = "roles",
    operation_id = "addOrganizationRolePermission", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    request_body = AddRolePermission,
    responses((status = 200, body = Role), EdgePending))]
pub async fn add_permission(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
    JsonBody(body): JsonBody<AddRolePermission>,
) -> Result<Json<Role>, Error> {
    let (of, change) = (Of::Organization(&organization), body.change()?);
    change_permissions(&app, &caller.environment, of, &slug, change).await.map(Json)
}
