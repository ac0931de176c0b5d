use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    api::{
        EdgePending, Error,
        access::WriteRoles,
        path::{InPaths, PermissionSlug, RoleSlug},
        roles::{Change, Role, change_permissions},
    },
    app::App,
    storage::roles::Of,
};

/// Let a role of an organization's own allow one thing less. The keys of its users lose it.
///
/// It answers once the edge has been told.
#[utoipa::path(delete, tag = "roles",
    path = "/authorization/organizations/{organization_id}/roles/{slug}/permissions/{permission_slug}",
    operation_id = "removeOrganizationRolePermission", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path), ("permission_slug" = String, Path)),
    responses((status = 200, body = Role), EdgePending))]
pub async fn remove_permission(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug), PermissionSlug(permission))): InPaths<(
        OrganizationId,
        RoleSlug,
        PermissionSlug,
    )>,
) -> Result<Json<Role>, Error> {
    let (of, change) = (Of::Organization(&organization), Change::Remove(permission));
    change_permissions(&app, &caller.environment, of, &slug, change).await.map(Json)
}
