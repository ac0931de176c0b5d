use axum::{Json, extract::State};

use crate::{
    http::{
        Error,
        extract::{access::WritePermissions, body::JsonBody},
    },
    service::{
        commit,
        offered_permissions::{self, ApiKeyPermissions},
    },
    state::AppState,
    storage::Priority,
};

/// Set the permissions that are offered for API keys.
///
/// Replaces both lists. Applies to permissions that are put on keys from now on; existing keys keep the permissions
/// that they have.
#[utoipa::path(put, path = "/authorization/api_key_permissions", tag = "permissions",
    operation_id = "setApiKeyPermissions", security(("management_key" = ["permissions:write"])),
    request_body = ApiKeyPermissions,
    responses((status = 200, body = ApiKeyPermissions)))]
pub async fn set(
    State(state): State<AppState>,
    WritePermissions(caller): WritePermissions,
    JsonBody(body): JsonBody<ApiKeyPermissions>,
) -> Result<Json<ApiKeyPermissions>, Error> {
    let offered = body.check()?;
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (offered, change) = offered_permissions::set(&mut transaction, &caller.environment, offered, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(offered))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    const PATH: &str = "/authorization/api_key_permissions";

    conformance! {
        async fn only_what_is_offered_can_be_granted(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "b", "c"]).await;
            server.role("all", &["a", "b", "c"]).await;
            assert_eq!(server.get(PATH).await.expect(200), json!({"organization": null, "user": null}));
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            server.membership(&organization, &user, Some("all")).await;
            let of_organization = format!("/organizations/{organization}/api_keys");
            let of_user = format!("/user_management/users/{user}/api_keys");
            let body = |slugs: &[&str]| json!({"name": "k", "organization_id": organization, "permissions": slugs});
            let before = server.post(&of_organization, body(&["c"])).await.expect(201);
            let lists = json!({"organization": ["a", "a"], "user": ["b"]});
            let set = server.put(PATH, lists).await.expect(200);
            assert_eq!(set, json!({"organization": ["a"], "user": ["b"]}));
            assert_eq!(server.get(PATH).await.expect(200), set);
            server.post(&of_organization, body(&["a"])).await.expect(201);
            server.post(&of_user, body(&["b"])).await.expect(201);
            assert_eq!(server.post(&of_organization, body(&["a", "b"])).await.fields(), ["permissions.1"]);
            assert_eq!(server.post(&of_user, body(&["a", "b"])).await.fields(), ["permissions.0"]);
            // What was granted stays.
            let answer = server.validate(before["value"].as_str().unwrap()).await;
            assert_eq!(answer["api_key"]["permissions"], json!(["c"]));
            // A permission that is gone is offered no more, and an empty list offers nothing.
            server.delete("/authorization/permissions/a").await.expect(204);
            assert_eq!(server.get(PATH).await.expect(200), json!({"organization": [], "user": ["b"]}));
            server.permissions(&["a"]).await;
            assert_eq!(server.post(&of_organization, body(&["a"])).await.fields(), ["permissions.0"]);
            assert_eq!(server.put(PATH, json!({})).await.expect(200), json!({"organization": null, "user": null}));
            server.post(&of_organization, body(&["a", "b"])).await.expect(201);
        }

        async fn only_what_there_is_can_be_offered(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a"]).await;
            assert_eq!(server.put(PATH, json!({"organization": ["a", "b"]})).await.fields(), ["organization.1"]);
            assert_eq!(server.put(PATH, json!({"user": ["A"]})).await.fields(), ["user.0"]);
            assert_eq!(server.put(PATH, json!({"user": "a"})).await.fields(), ["user"]);
            let many: Vec<String> = (0..501).map(|n| n.to_string()).collect();
            assert_eq!(server.put(PATH, json!({"user": many})).await.fields(), ["user"]);
            assert_eq!(server.get(PATH).await.expect(200), json!({"organization": null, "user": null}));
        }
    }
}
