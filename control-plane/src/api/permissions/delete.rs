use axum::{extract::State, http::StatusCode};
use shared::feed::{Effect, Scope};

use crate::{
    api::{
        EdgePending, Error,
        access::WritePermissions,
        path::{InPath, PermissionSlug},
    },
    app::App,
    storage::{Priority, api_keys, environments, permissions, roles},
};

/// Delete a permission, and take it from every role and every key that has it.
///
/// It answers once the edge has been told.
#[utoipa::path(delete, path = "/authorization/permissions/{slug}", tag = "permissions",
    operation_id = "deletePermission", security(("management_key" = ["permissions:write"])),
    params(("slug" = String, Path)),
    responses((status = 204, description = "Deleted"), EdgePending))]
pub async fn delete(
    State(app): State<App>,
    WritePermissions(caller): WritePermissions,
    InPath(PermissionSlug(slug)): InPath<PermissionSlug>,
) -> Result<StatusCode, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write_as(Priority::Revocation).await?;
    let now = app.clock.now();
    let scope = Scope::Permission(environment, &slug);
    let committed = match permissions::delete(transaction.conn(), environment, &slug, now).await? {
        Some(generation) => {
            environments::remove_permission(transaction.conn(), environment, &slug).await?;
            let roles = roles::remove_permission(transaction.conn(), environment, &slug, now).await?;
            api_keys::remove_permission(transaction.conn(), environment, &slug, &roles, now).await?;
            app.commit_scope(transaction, &scope, environment, generation, Effect::Revoke).await?
        }
        None => {
            let pending = app.pending_scope(transaction, &scope, environment).await?;
            pending.ok_or_else(|| Error::not_found("Permission"))?
        }
    };
    app.acknowledge(&committed).await?;
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
        async fn it_is_taken_from_every_key_that_has_it(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "a:b", "b"]).await;
            let organization = server.organization().await;
            let all = server.api_key(&organization, json!({"name": "k", "permissions": ["a", "a:b", "b"]})).await;
            let one = server.api_key(&organization, json!({"name": "k", "permissions": ["b"]})).await;
            server.delete("/authorization/permissions/a").await.expect(204);
            let permissions = async |key: &serde_json::Value| server.validate(key["value"].as_str().unwrap()).await["api_key"]["permissions"].clone();
            assert_eq!(permissions(&all).await, json!(["a:b", "b"]));
            assert_eq!(permissions(&one).await, json!(["b"]));
            server.delete("/authorization/permissions/b").await.expect(204);
            assert_eq!(permissions(&all).await, json!(["a:b"]));
            assert_eq!(permissions(&one).await, json!([]));
            assert_eq!(server.delete("/authorization/permissions/b").await.error(404), "entity_not_found");
            let keys = format!("/organizations/{organization}/api_keys");
            let late = server.post(&keys, json!({"name": "k", "permissions": ["b"]})).await;
            assert_eq!(late.fields(), ["permissions.0"]);
        }
    }
}
