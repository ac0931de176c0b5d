use axum::{Json, extract::State};

use crate::{
    api::{
        EdgePending, Error,
        access::WriteRoles,
        body::JsonBody,
        path::{InPath, RoleSlug},
        roles::{AddRolePermission, Role, change_permissions},
    },
    app::App,
    storage::roles::Of,
};

/// Let a role of the environment allow one thing more.
///
/// It answers once the edge has been told.
#[utoipa::path(post, path = "/authorization/roles/{slug}/permissions", tag = "roles",
    operation_id = "addEnvironmentRolePermission", security(("management_key" = ["roles:write"])),
    params(("slug" = String, Path)),
    request_body = AddRolePermission,
    responses((status = 200, body = Role), EdgePending))]
pub async fn add_permission(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    InPath(RoleSlug(slug)): InPath<RoleSlug>,
    JsonBody(body): JsonBody<AddRolePermission>,
) -> Result<Json<Role>, Error> {
    let change = body.change()?;
    change_permissions(&app, &caller.environment, Of::Environment, &slug, change).await.map(Json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
