use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Permission;
use crate::{
    api::{
        Error,
        access::WritePermissions,
        body::{JsonBody, or_null},
        fields::Checks,
        path::{InPath, PermissionSlug},
    },
    app::App,
    storage::permissions,
};

/// What to change of a permission. What is left out stays as it is; the slug always does.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdatePermission {
    /// What people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    name: Option<String>,
    /// What it allows, for people; null for nothing.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 150)]
    description: Option<Option<String>>,
}

/// Update a permission.
#[utoipa::path(patch, path = "/authorization/permissions/{slug}", tag = "permissions",
    operation_id = "updatePermission", security(("management_key" = ["permissions:write"])),
    params(("slug" = String, Path)),
    request_body = UpdatePermission,
    responses((status = 200, body = Permission)))]
pub async fn update(
    State(app): State<App>,
    WritePermissions(caller): WritePermissions,
    InPath(PermissionSlug(slug)): InPath<PermissionSlug>,
    JsonBody(body): JsonBody<UpdatePermission>,
) -> Result<Json<Permission>, Error> {
    let description = body.description.as_ref().map(Option::as_deref);
    let mut checks = Checks::default();
    checks.described(body.name.as_deref(), description.flatten());
    checks.finish()?;

    let mut transaction = app.db.write().await?;
    let (environment, now) = (&caller.environment, app.clock.now());
    let name = body.name.as_deref();
    let permission = permissions::update(transaction.conn(), environment, &slug, name, description, now).await?;
    let permission = permission.ok_or_else(|| Error::not_found("Permission"))?;
    transaction.commit().await?;
    Ok(Json(permission.into()))
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
