use axum::{Json, extract::State};

use crate::{
    http::{
        Error,
        extract::{
            access::WriteRoles,
            body::JsonBody,
            path::{InPath, RoleSlug},
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

/// Update an environment role.
///
/// Changes its name and its description.
#[utoipa::path(patch, path = "/authorization/roles/{slug}", tag = "roles",
    operation_id = "updateEnvironmentRole", security(("management_key" = ["roles:write"])),
    params(("slug" = String, Path)),
    request_body = UpdateRole,
    responses((status = 200, body = Role)))]
pub async fn update(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPath(RoleSlug(slug)): InPath<RoleSlug>,
    JsonBody(body): JsonBody<UpdateRole>,
) -> Result<Json<Role>, Error> {
    let (of, changes) = (Of::Environment, body.check()?);
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (role, change) = roles::update(&mut transaction, &caller.environment, of, &slug, &changes, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(role.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
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
