use axum::{extract::State, http::StatusCode};
use shared::{error::ErrorBody, id::OrganizationId};

use crate::{
    api::{
        Error,
        access::WriteRoles,
        path::{InPaths, RoleSlug},
        roles::{hold, not_found},
    },
    app::App,
    storage::{
        Priority,
        roles::{self, Of},
    },
};

/// Delete a role of an organization's own, if no user has it.
#[utoipa::path(delete, path = "/authorization/organizations/{organization_id}/roles/{slug}", tag = "roles",
    operation_id = "deleteOrganizationRole", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "A user has it", body = ErrorBody),
    ))]
pub async fn delete(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
) -> Result<StatusCode, Error> {
    let (environment, of) = (&caller.environment, Of::Organization(&organization));
    let mut transaction = app.db.write_as(Priority::Revocation).await?;
    hold(&mut transaction, environment, of).await?;
    let role = roles::lock(transaction.conn(), environment, of, &slug).await?.ok_or_else(not_found)?;
    if roles::is_assigned(transaction.conn(), &role.id).await? {
        let message = "Users have this role. Give them another one first.";
        return Err(Error::conflict("role_has_assignments", message));
    }
    roles::delete(transaction.conn(), &role.id).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
