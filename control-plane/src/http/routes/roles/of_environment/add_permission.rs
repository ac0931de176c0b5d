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
    service::roles::AddRolePermission,
    state::AppState,
    storage::roles::Of,
};

/// Add a permission to an environment role.
///
/// Returns once the edge has the change.
#[utoipa::path(post, tag = "roles",
    path = "/authorization/roles/{slug}/permissions",
    operation_id = "addEnvironmentRolePermission", security(("management_key" = ["roles:write"])),
    params(("slug" = String, Path)),
    request_body = AddRolePermission,
    responses((status = 200, body = Role), EdgePending))]
pub async fn add_permission(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPath(RoleSlug(slug)): InPath<RoleSlug>,
    JsonBody(body): JsonBody<AddRolePermission>,
) -> Result<Json<Role>, Error> {
    let (of, update) = (Of::Environment, body.check()?);
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
        async fn what_it_has_already_is_added_once(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "b"]).await;
            server.role("editor", &["b"]).await;
            let path = "/authorization/roles/editor/permissions";
            let added = server.post(path, json!({"slug": "a"})).await.expect(200);
            assert_eq!(added["permissions"], json!(["b", "a"]));
            server.advance(1000);
            assert_eq!(server.post(path, json!({"slug": "a"})).await.expect(200), added);
            assert_eq!(server.post(path, json!({"slug": "c"})).await.fields(), ["slug"]);
            assert_eq!(server.post(path, json!({"slug": "C"})).await.fields(), ["slug"]);
            let all: Vec<String> = (0..200).map(|n| format!("p{n}")).collect();
            server.permissions(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
            server.put(path, json!({"permissions": all})).await.expect(200);
            assert_eq!(server.post(path, json!({"slug": "a"})).await.fields(), ["slug"]);
        }
    }
}
