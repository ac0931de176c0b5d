use axum::{extract::State, http::StatusCode};

use crate::{
    http::{
        EdgePending, Error,
        extract::{
            access::WritePermissions,
            path::{InPath, PermissionSlug},
        },
    },
    service::{commit, permissions},
    state::AppState,
    storage::Priority,
};

/// Delete a permission.
///
/// Removes it from all roles and API keys. Returns once the edge has the change.
#[utoipa::path(delete, path = "/authorization/permissions/{slug}", tag = "permissions",
    operation_id = "deletePermission", security(("management_key" = ["permissions:write"])),
    params(("slug" = String, Path)),
    responses((status = 204, description = "The permission is deleted."), EdgePending))]
pub async fn delete(
    State(state): State<AppState>,
    WritePermissions(caller): WritePermissions,
    InPath(PermissionSlug(slug)): InPath<PermissionSlug>,
) -> Result<StatusCode, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let change = permissions::delete(&mut transaction, &caller.environment, &slug, now).await?;
    commit(transaction, change, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
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
