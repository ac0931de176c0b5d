use axum::{extract::State, http::StatusCode};
use shared::{error::ErrorBody, id::OrganizationId};

use crate::{
    http::{
        Error,
        extract::{
            access::WriteRoles,
            path::{InPaths, RoleSlug},
        },
    },
    service::{commit, roles},
    state::AppState,
    storage::Priority,
};

/// Delete an organization role.
///
/// A role that members have cannot be deleted.
#[utoipa::path(delete, path = "/authorization/organizations/{organization_id}/roles/{slug}", tag = "roles",
    operation_id = "deleteOrganizationRole", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    responses(
        (status = 204, description = "The role is deleted."),
        (status = 409, description = "Members of the organization have this role.", body = ErrorBody),
    ))]
pub async fn delete(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
) -> Result<StatusCode, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let change = roles::delete_of_organization(&mut transaction, &caller.environment, &organization, &slug).await?;
    commit(transaction, change, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn a_role_that_a_user_has_stays(db: Db) {
            let server = Server::new(db).await;
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            let path = format!("/authorization/organizations/{organization}/roles");
            server.post(&path, json!({"name": "Own", "slug": "org-own"})).await.expect(201);
            let membership = server.membership(&organization, &user, Some("org-own")).await;
            let role = format!("{path}/org-own");
            assert_eq!(server.delete(&role).await.error(409), "role_has_assignments");
            let membership = format!("/user_management/organization_memberships/{membership}");
            server.put(&membership, json!({"role_slug": "member"})).await.expect(200);
            server.delete(&role).await.expect(204);
            assert_eq!(server.delete(&role).await.error(404), "entity_not_found");
            assert_eq!(server.get(&role).await.error(404), "entity_not_found");
        }
    }
}
