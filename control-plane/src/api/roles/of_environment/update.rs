use axum::{Json, extract::State};

use crate::{
    api::{
        Error,
        access::WriteRoles,
        body::JsonBody,
        path::{InPath, RoleSlug},
        roles::{Role, UpdateRole, describe},
    },
    app::App,
    storage::roles::Of,
};

/// Update what people read of a role of the environment.
#[utoipa::path(patch, path = "/authorization/roles/{slug}", tag = "roles",
    operation_id = "updateEnvironmentRole", security(("management_key" = ["roles:write"])),
    params(("slug" = String, Path)),
    request_body = UpdateRole,
    responses((status = 200, body = Role)))]
pub async fn update(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    InPath(RoleSlug(slug)): InPath<RoleSlug>,
    JsonBody(body): JsonBody<UpdateRole>,
) -> Result<Json<Role>, Error> {
    describe(&app, &caller.environment, Of::Environment, &slug, body).await.map(Json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn what_is_left_out_stays_and_null_empties(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a"]).await;
            server.role("editor", &["a"]).await;
            let path = "/authorization/roles/editor";
            server.advance(1000);
            let updated = server.patch(path, json!({"name": "Editor", "description": "Edits", "slug": "x"})).await.expect(200);
            assert_eq!((&updated["name"], &updated["description"], &updated["slug"]), (&json!("Editor"), &json!("Edits"), &json!("editor")));
            assert_eq!((&updated["permissions"], &updated["updated_at"]), (&json!(["a"]), &json!(START.plus_millis(1000).to_string())));
            let emptied = server.patch(path, json!({"description": null})).await.expect(200);
            assert_eq!((&emptied["name"], &emptied["description"]), (&json!("Editor"), &json!(null)));
            assert_eq!(server.patch("/authorization/roles/owner", json!({})).await.error(404), "entity_not_found");
            assert_eq!(server.patch(path, json!({"name": "", "description": "d".repeat(151)})).await.fields(), ["name", "description"]);
        }
    }
}
