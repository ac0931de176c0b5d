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
    service::roles::SetRolePermissions,
    state::AppState,
    storage::roles::Of,
};

/// Set the permissions of an organization role.
///
/// Replaces all permissions of the role. They limit the API keys of its users. Returns once the edge has the change.
#[utoipa::path(put, tag = "roles",
    path = "/authorization/organizations/{organization_id}/roles/{slug}/permissions",
    operation_id = "setOrganizationRolePermissions", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), ("slug" = String, Path)),
    request_body = SetRolePermissions,
    responses((status = 200, body = Role), EdgePending))]
pub async fn set_permissions(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPaths((organization, RoleSlug(slug))): InPaths<(OrganizationId, RoleSlug)>,
    JsonBody(body): JsonBody<SetRolePermissions>,
) -> Result<Json<Role>, Error> {
    let (of, update) = (Of::Organization(&organization), body.check()?);
    update_permissions(&state, &caller, of, &slug, update).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn a_role_of_its_own_counts_in_its_organization(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "b"]).await;
            let organization = server.organization().await;
            let path = format!("/authorization/organizations/{organization}/roles");
            server.post(&path, json!({"name": "Own", "slug": "org-own"})).await.expect(201);
            let role = format!("{path}/org-own");
            server.put(&format!("{role}/permissions"), json!({"permissions": ["a"]})).await.expect(200);
            server.post(&format!("{role}/permissions"), json!({"slug": "b"})).await.expect(200);
            let user = server.user(json!({})).await;
            server.membership(&organization, &user, Some("org-own")).await;
            let key = server.user_api_key(&user, json!({"name": "k", "organization_id": organization, "permissions": ["a", "b"]})).await;
            let worth = async || server.validate(key["value"].as_str().unwrap()).await["api_key"]["permissions"].clone();
            assert_eq!(worth().await, json!(["a", "b"]));
            let removed = server.delete(&format!("{role}/permissions/a")).await.expect(200);
            assert_eq!(removed["permissions"], json!(["b"]));
            assert_eq!(worth().await, json!(["b"]));
            server.advance(1000);
            assert_eq!(server.delete(&format!("{role}/permissions/a")).await.expect(200), removed, "it has it no more");
            assert_eq!(server.patch(&role, json!({"name": "Mine"})).await.expect(200)["name"], "Mine");
        }

        async fn the_environments_roles_are_not_changed_from_an_organization(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a"]).await;
            let role = format!("/authorization/organizations/{}/roles/member", server.organization().await);
            let permissions = format!("{role}/permissions");
            for reply in [
                server.put(&permissions, json!({"permissions": ["a"]})).await, server.post(&permissions, json!({"slug": "a"})).await,
                server.delete(&format!("{permissions}/a")).await, server.patch(&role, json!({})).await, server.delete(&role).await,
            ] {
                assert_eq!(reply.error(404), "entity_not_found");
            }
        }
    }
}
