use axum::{Json, extract::State};

use crate::{
    http::{
        EdgePending, Error,
        extract::{
            access::WriteRoles,
            body::JsonBody,
            path::{InPath, RoleSlug},
        },
        routes::roles::update_permissions,
    },
    objects::roles::Role,
    service::roles::SetRolePermissions,
    state::AppState,
    storage::roles::Of,
};

/// Set the permissions of an environment role.
///
/// Replaces all permissions of the role. They limit the API keys of its users. Returns once the edge has the change.
#[utoipa::path(put, tag = "roles",
    path = "/authorization/roles/{slug}/permissions",
    operation_id = "setEnvironmentRolePermissions", security(("management_key" = ["roles:write"])),
    params(("slug" = String, Path)),
    request_body = SetRolePermissions,
    responses((status = 200, body = Role), EdgePending))]
pub async fn set_permissions(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPath(RoleSlug(slug)): InPath<RoleSlug>,
    JsonBody(body): JsonBody<SetRolePermissions>,
) -> Result<Json<Role>, Error> {
    let (of, update) = (Of::Environment, body.check()?);
    update_permissions(&state, &caller, of, &slug, update).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn keys_are_worth_what_the_role_allows_now(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "b", "posts:read", "posts:*"]).await;
            server.role("editor", &["a", "b", "posts:*"]).await;
            let organization = server.organization().await;
            let mut keys = vec![];
            for slugs in [json!(["a", "b"]), json!(["posts:read"]), json!(["posts:*"])] {
                let user = server.user(json!({})).await;
                server.membership(&organization, &user, Some("editor")).await;
                keys.push(server.user_api_key(&user, json!({"name": "k", "organization_id": organization, "permissions": slugs})).await);
            }
            let of_organization = server.api_key(&organization, json!({"name": "k", "permissions": ["a", "b"]})).await;
            let worth = async |key: &Value| server.validate(key["value"].as_str().unwrap()).await["api_key"]["permissions"].clone();
            let path = "/authorization/roles/editor/permissions";
            let narrowed = server.put(path, json!({"permissions": ["b", "posts:read", "b"]})).await.expect(200);
            assert_eq!(narrowed["permissions"], json!(["b", "posts:read"]));
            assert_eq!((worth(&keys[0]).await, worth(&keys[1]).await, worth(&keys[2]).await), (json!(["b"]), json!(["posts:read"]), json!(["posts:read"])));
            assert_eq!(worth(&of_organization).await, json!(["a", "b"]), "an organization's key has no role");
            server.put(path, json!({"permissions": []})).await.expect(200);
            assert_eq!(worth(&keys[0]).await, json!([]));
            server.put(path, json!({"permissions": ["a", "b"]})).await.expect(200);
            assert_eq!((worth(&keys[0]).await, worth(&keys[1]).await), (json!(["a", "b"]), json!([])));
        }

        async fn a_deleted_permission_leaves_roles_too(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "a:b", "b"]).await;
            server.role("editor", &["a", "a:b", "b"]).await;
            server.delete("/authorization/permissions/a").await.expect(204);
            assert_eq!(server.get("/authorization/roles/editor").await.expect(200)["permissions"], json!(["a:b", "b"]));
        }

        async fn only_what_there_is_can_be_allowed(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a"]).await;
            server.role("editor", &["a"]).await;
            let path = "/authorization/roles/editor/permissions";
            assert_eq!(server.put(path, json!({"permissions": ["a", "b"]})).await.fields(), ["permissions.1"]);
            assert_eq!(server.put(path, json!({"permissions": ["A"]})).await.fields(), ["permissions.0"]);
            let many: Vec<String> = (0..201).map(|n| n.to_string()).collect();
            assert_eq!(server.put(path, json!({"permissions": many})).await.fields(), ["permissions"]);
            assert_eq!(server.put(path, json!({})).await.fields(), ["permissions"]);
            assert_eq!(server.put("/authorization/roles/owner/permissions", json!({"permissions": []})).await.error(404), "entity_not_found");
            assert_eq!(server.get("/authorization/roles/editor").await.expect(200)["permissions"], json!(["a"]));
        }
    }
}
