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
        routes::roles::view::Role,
    },
    service::{
        commit,
        roles::{self, AddRolePermission},
    },
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
    let (mut transaction, now) = state.begin(update.priority()).await?;
    let (role, change) =
        roles::update_permissions(&mut transaction, &caller.environment, of, &slug, update, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(role.into()))
}
