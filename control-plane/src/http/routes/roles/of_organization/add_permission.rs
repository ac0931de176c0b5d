use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{
            access::WriteRoles,
            body::JsonBody,
            path::{InPaths, RoleSlug},
        },
        routes::roles::update_permissions,
    },
    objects::roles::Role,
    service::roles::AddRolePermission,
    state::AppState,
    storage::roles::Of,
};

/// Add a permission to an organization role.
///
/// Returns once the edge has the change.
#[utoipa::path(post, tag = "roles",
    path = "/authorization/organizations/{organization_id}/roles/{slug}/permissions",
    operation_id = "addOrganizationRolePermission", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    request_body = AddRolePermission,
    responses((status = 200, body = Role), EdgePending))]
pub async fn add_permission(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
    JsonBody(body): JsonBody<AddRolePermission>,
) -> Result<Json<Role>, Error> {
    let (of, update) = (Of::Organization(&organization), body.check()?);
    update_permissions(&state, &caller, of, &slug, update).await
}
