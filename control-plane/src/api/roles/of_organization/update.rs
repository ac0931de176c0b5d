use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    api::{
        Error,
        access::WriteRoles,
        body::JsonBody,
        path::{InPaths, RoleSlug},
        roles::{Role, UpdateRole, describe},
    },
    app::App,
    storage::roles::Of,
};

/// Update what people read of a role of an organization's own.
#[utoipa::path(patch, path = "/authorization/organizations/{organization_id}/roles/{slug}", tag = "roles",
    operation_id = "updateOrganizationRole", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    request_body = UpdateRole,
    responses((status = 200, body = Role)))]
pub async fn update(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
    JsonBody(body): JsonBody<UpdateRole>,
) -> Result<Json<Role>, Error> {
    describe(&app, &caller.environment, Of::Organization(&organization), &slug, body).await.map(Json)
}
