use axum::extract::State;
use shared::{id::OrganizationId, record::Owner};

use crate::{
    http::{
        Error,
        extract::{
            access::WriteApiKeys,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
            path::InPath,
        },
        routes::api_keys::view::CreatedApiKey,
    },
    service::api_keys::{self, CreateApiKey},
    state::AppState,
};

/// Create an API key for an organization.
///
/// Only this response, and that of a repeated request, contains the key, in `value`. At the edge, a new key can be refused for about a second.
#[utoipa::path(post, path = "/organizations/{organization_id}/api_keys", tag = "api_keys",
    operation_id = "createOrganizationApiKey", security(("management_key" = ["api_keys:write"])),
    params(("organization_id" = OrganizationId, Path), IdempotencyKey),
    request_body = CreateApiKey,
    responses((status = 201, body = CreatedApiKey)))]
pub async fn create(
    State(state): State<AppState>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<OrganizationId>,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateApiKey>>,
) -> Result<Answer, Error> {
    let (owner, settings) = (Owner::Organization { id }, body.check()?);
    idempotency
        .create(&state, caller.actor(), async |transaction, now, entropy| {
            let (created, change) =
                api_keys::create(transaction, caller.creator(), &owner, settings, now, entropy).await?;
            Ok((CreatedApiKey::new(created, now), change))
        })
        .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn the_key_is_shown_once_and_then_masked(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["posts:read", "posts:write"]).await;
            let organization = server.organization().await;
            let mut created = server.api_key(&organization, json!({
                "name": "Production", "permissions": ["posts:write", "posts:read", "posts:write"],
                "expires_at": "2030-01-01T01:00:00+01:00",
            })).await;
            let value = created.as_object_mut().unwrap().remove("value").unwrap();
            let value = value.as_str().unwrap();
            assert_eq!(created["created_by"].as_str().map(|id| id.starts_with("management_key_")), Some(true));
            assert_eq!(created, json!({
                "object": "api_key",
                "id": created["id"],
                "owner": {"type": "organization", "id": organization},
                "name": "Production",
                "obfuscated_value": format!("lk_test_…{}", &value[value.len() - 4..]),
                "last_used_at": null,
                "expires_at": "2030-01-01T00:00:00.000Z",
                "permissions": ["posts:write", "posts:read"],
                "created_at": START.to_string(),
                "updated_at": START.to_string(),
                "created_by": created["created_by"],
            }));
            let path = format!("/api_keys/{}", id_of(&created));
            assert_eq!(server.get(&path).await.expect(200), created);
            let list = server.get(&format!("/organizations/{organization}/api_keys")).await.expect(200);
            assert_eq!(list["data"], json!([created]));
            // Whoever validates keys does not learn who made them.
            created.as_object_mut().unwrap().remove("created_by");
            assert_eq!(server.validate(value).await, json!({"api_key": created}));
        }

        async fn what_cannot_be_is_refused_and_makes_nothing(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a"]).await;
            let keys = format!("/organizations/{}/api_keys", server.organization().await);
            for (body, fields) in [
                (json!({"name": "k", "permissions": ["a", "b"]}), vec!["permissions.1"]),
                (json!({"name": "k", "permissions": ["A b"]}), vec!["permissions.0"]),
                (json!({"name": "k", "permissions": "a"}), vec!["permissions"]),
                (json!({"name": "k", "permissions": [null]}), vec!["permissions.0"]),
                (json!({"name": "k", "permissions": (0..101).map(|n| n.to_string()).collect::<Vec<_>>()}), vec!["permissions"]),
                (json!({"name": "k", "expires_at": START.to_string()}), vec!["expires_at"]),
                (json!({"name": "k", "expires_at": "tomorrow"}), vec!["expires_at"]),
                (json!({"name": "k", "expires_at": 1}), vec!["expires_at"]),
                (json!({"name": "  "}), vec!["name"]),
                (json!({"name": null}), vec!["name"]),
                (json!({"name": "k", "not_before": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"}), vec!["not_before"]),
                (json!({"name": "k", "not_before": false}), vec!["not_before"]),
                (json!({"name": "k", "ip_allow_list": ["192.0.2.1", "192.0.2.1/24", "x"]}), vec!["ip_allow_list.1", "ip_allow_list.2"]),
                (json!({"name": "k", "ip_allow_list": vec!["::1"; 51]}), vec!["ip_allow_list"]),
                (json!({"name": "k", "ip_allow_list": "::1"}), vec!["ip_allow_list"]),
                (json!({"name": "k", "metadata": {"a": 1}}), vec!["metadata.a"]),
                (json!({"name": "k", "metadata": {"": "x"}}), vec!["metadata."]),
                (json!({"name": "k", "metadata": {"a": "x".repeat(600), "b": "x".repeat(600), "c": "x".repeat(600), "d": "x".repeat(300)}}), vec!["metadata"]),
            ] {
                assert_eq!(server.post(&keys, body.clone()).await.fields(), fields, "{body}");
            }
            assert_eq!(server.get(&keys).await.expect(200)["data"], json!([]));
        }

        async fn an_organization_that_is_not_there_gets_no_key(db: Db) {
            let server = Server::new(db).await;
            for id in ["org_01KF0JZ4G0000000000000000A", "org_x", "user_01KF0JZ4G0000000000000000A", "%00", "%ff"] {
                let reply = server.post(&format!("/organizations/{id}/api_keys"), json!({"name": "k"})).await;
                assert_eq!(reply.error(404), "entity_not_found", "{id}");
            }
        }
    }
}
