use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{
            access::WriteRoles,
            path::{InPaths, PermissionSlug, RoleSlug},
        },
        routes::roles::update_permissions,
    },
    objects::roles::Role,
    service::roles::PermissionsUpdate,
    state::AppState,
    storage::roles::Of,
};

/// Remove a permission from an organization role.
///
/// The API keys of the role's users lose it. Returns the role, once the edge has the change.
#[utoipa::path(delete, tag = "roles",
    path = "/authorization/organizations/{organization_id}/roles/{slug}/permissions/{permission_slug}",
    operation_id = "removeOrganizationRolePermission", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path), ("permission_slug" = String, Path)),
    responses((status = 200, body = Role), EdgePending))]
pub async fn remove_permission(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug), PermissionSlug(permission))): InPaths<(
        OrganizationId,
        RoleSlug,
        PermissionSlug,
    )>,
) -> Result<Json<Role>, Error> {
    let (of, update) = (Of::Organization(&organization), PermissionsUpdate::Remove(permission));
    update_permissions(&state, &caller, of, &slug, update).await
}
