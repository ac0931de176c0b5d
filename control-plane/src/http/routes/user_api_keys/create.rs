use axum::extract::State;
use shared::{
    error::ErrorBody,
    id::{OrganizationId, UserId},
    record::Owner,
};

use crate::{
    http::{
        Error,
        extract::{
            access::WriteApiKeys,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
            path::{InPath, named},
        },
        routes::api_keys::view::CreatedApiKey,
    },
    service::api_keys::{self, CreateUserApiKey},
    state::AppState,
};

/// Create an API key for a user.
///
/// The key works in one organization, is limited to what the user's role allows, and is revoked when the membership is
/// deleted. Only this response, and that of a repeated request, contains the key, in `value`.
#[utoipa::path(post, path = "/user_management/users/{user_id}/api_keys", tag = "api_keys",
    operation_id = "createUserApiKey", security(("management_key" = ["api_keys:write"])),
    params(("user_id" = UserId, Path), IdempotencyKey),
    request_body = CreateUserApiKey,
    responses(
        (status = 201, body = CreatedApiKey),
        (status = 400, description = "The body is not valid JSON, `Idempotency-Key` is invalid, or the user is not an active member of the organization.", body = ErrorBody),
        (status = 404, description = "The user or the organization does not exist in this environment.", body = ErrorBody),
    ))]
pub async fn create(
    State(state): State<AppState>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<UserId>,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateUserApiKey>>,
) -> Result<Answer, Error> {
    let organization_id = body.organization_id.clone();
    let settings = body.check()?;
    let owner = Owner::User { id, organization_id: named::<OrganizationId>(&organization_id)? };
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
        async fn a_users_key_is_shown_as_an_organizations_with_its_owner(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "b"]).await;
            server.role("editor", &["a", "b"]).await;
            let (organization, user) = (server.organization().await, server.user(json!({"external_id": "u-1"})).await);
            server.membership(&organization, &user, Some("editor")).await;
            let body = json!({"name": "k", "organization_id": organization, "permissions": ["a"], "expires_at": "2030-01-01T00:00:00Z"});
            let mut key = server.user_api_key(&user, body).await;
            assert_eq!(key["owner"], json!({"type": "user", "id": user, "organization_id": organization}));
            let value = key.as_object_mut().unwrap().remove("value").unwrap();
            assert_eq!((&key["permissions"], &key["expires_at"]), (&json!(["a"]), &json!("2030-01-01T00:00:00.000Z")));
            let validated = server.validate(value.as_str().unwrap()).await;
            for field in ["object", "id", "owner", "name", "obfuscated_value", "last_used_at", "expires_at", "permissions", "created_at", "updated_at"] {
                assert_eq!(validated["api_key"][field], key[field], "{field}");
            }
            // It is no key of the organization's own.
            let of_organization = server.get(&format!("/organizations/{organization}/api_keys")).await.expect(200);
            assert_eq!(of_organization["data"], json!([]));
        }

        async fn nobody_is_granted_what_the_role_does_not_allow(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["posts:read", "posts:*", "admin", "*"]).await;
            server.role("poster", &["posts:*"]).await;
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            server.membership(&organization, &user, Some("poster")).await;
            let keys = format!("/user_management/users/{user}/api_keys");
            let create = async |slugs: &[&str]| server.post(&keys, json!({"name": "k", "organization_id": organization, "permissions": slugs})).await;
            create(&["posts:read", "posts:*"]).await.expect(201);
            let reply = create(&["posts:read", "admin", "*", "none"]).await;
            assert_eq!(reply.fields(), ["permissions.1", "permissions.2", "permissions.3"]);
            assert_eq!(reply.json()["errors"][0]["code"], "not_held");
            assert_eq!(ids_of(&server.get(&keys).await.expect(200)).len(), 1);
        }

        async fn who_and_where_must_exist(db: Db) {
            let server = Server::new(db).await;
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            let stranger = server.of_another_environment().await;
            let create = async |user: &str, organization: &str| {
                let body = json!({"name": "k", "organization_id": organization});
                server.post(&format!("/user_management/users/{user}/api_keys"), body).await
            };
            for (user, organization) in [
                (user.as_str(), "org_01KF0JZ4G0000000000000000A"), (&user, "x"), ("x", &organization),
                ("user_01KF0JZ4G0000000000000000A", &organization), (&stranger.user(json!({})).await, &organization),
                (&user, &stranger.organization().await),
            ] {
                assert_eq!(create(user, organization).await.error(404), "entity_not_found", "{user} {organization}");
            }
            assert_eq!(create(&user, &organization).await.error(400), "organization_membership_required");
        }
    }
}
