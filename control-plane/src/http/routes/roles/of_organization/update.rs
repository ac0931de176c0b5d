use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        Error,
        extract::{
            access::WriteRoles,
            body::JsonBody,
            path::{InPaths, RoleSlug},
        },
    },
    objects::roles::Role,
    service::{
        commit,
        roles::{self, UpdateRole},
    },
    state::AppState,
    storage::{Priority, roles::Of},
};

/// Update an organization role.
///
/// Changes its name and its description.
#[utoipa::path(patch, path = "/authorization/organizations/{organization_id}/roles/{slug}", tag = "roles",
    operation_id = "updateOrganizationRole", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    request_body = UpdateRole,
    responses((status = 200, body = Role)))]
pub async fn update(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
    JsonBody(body): JsonBody<UpdateRole>,
) -> Result<Json<Role>, Error> {
    let (of, changes) = (Of::Organization(&organization), body.check()?);
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (role, change) = roles::update(&mut transaction, &caller.environment, of, &slug, &changes, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(role.into()))
}
