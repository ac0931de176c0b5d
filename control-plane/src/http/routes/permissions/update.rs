use axum::{Json, extract::State};

use crate::{
    http::{
        Error,
        extract::{
            access::WritePermissions,
            body::JsonBody,
            path::{InPath, PermissionSlug},
        },
    },
    objects::permissions::Permission,
    service::{
        commit,
        permissions::{self, UpdatePermission},
    },
    state::AppState,
    storage::Priority,
};

/// Update a permission.
///
/// Changes its name and its description. Omitted fields keep their values.
#[utoipa::path(patch, path = "/authorization/permissions/{slug}", tag = "permissions",
    operation_id = "updatePermission", security(("management_key" = ["permissions:write"])),
    params(("slug" = String, Path)),
    request_body = UpdatePermission,
    responses((status = 200, body = Permission)))]
pub async fn update(
    State(state): State<AppState>,
    WritePermissions(caller): WritePermissions,
    InPath(PermissionSlug(slug)): InPath<PermissionSlug>,
    JsonBody(body): JsonBody<UpdatePermission>,
) -> Result<Json<Permission>, Error> {
    let changes = body.check()?;
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (permission, change) = permissions::update(&mut transaction, &caller.environment, &slug, &changes, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(permission.into()))
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
            let body = json!({"slug": "a", "name": "A", "description": "d"});
            server.post("/authorization/permissions", body).await.expect(201);
            let path = "/authorization/permissions/a";
            let renamed = server.patch(path, json!({"name": "B", "slug": "ignored"})).await.expect(200);
            assert_eq!((&renamed["name"], &renamed["description"], &renamed["slug"]), (&json!("B"), &json!("d"), &json!("a")));
            let emptied = server.patch(path, json!({"description": null})).await.expect(200);
            assert_eq!((&emptied["name"], &emptied["description"]), (&json!("B"), &json!(null)));
            assert_eq!(server.patch("/authorization/permissions/b", json!({})).await.error(404), "entity_not_found");
            assert_eq!(server.patch(path, json!({"name": ""})).await.fields(), ["name"]);
        }
    }
}
