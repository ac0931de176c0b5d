use axum::extract::State;
use shared::error::ErrorBody;

use crate::{
    http::{
        Error,
        extract::{
            access::WriteRoles,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
        },
    },
    objects::roles::Role,
    service::roles::{self, CreateRole},
    state::AppState,
    storage::roles::Of,
};

/// Create an environment role.
///
/// All organizations of the environment can use it. It has no permissions until you set them.
#[utoipa::path(post, path = "/authorization/roles", tag = "roles",
    operation_id = "createEnvironmentRole", security(("management_key" = ["roles:write"])),
    params(IdempotencyKey),
    request_body = CreateRole,
    responses(
        (status = 201, body = Role),
        (status = 409, description = "The environment has a role with this slug, or 200 roles already.", body = ErrorBody),
    ))]
pub async fn create(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateRole>>,
) -> Result<Answer, Error> {
    let new = body.check()?;
    idempotency
        .create(&state, caller.actor(), async |transaction, now, entropy| {
            let (role, change) =
                roles::create(transaction, &caller.environment, Of::Environment, new, now, entropy).await?;
            Ok((Role::from(role), change))
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

    const PATH: &str = "/authorization/roles";

    conformance! {
        async fn a_role_is_shown_as_it_was_given(db: Db) {
            let server = Server::new(db).await;
            server.advance(1);
            let created = server.post(PATH, json!({"slug": "editor", "name": "Editor", "description": "Edits"})).await.expect(201);
            assert_eq!(created, json!({
                "object": "role", "id": created["id"], "slug": "editor", "name": "Editor", "description": "Edits",
                "type": "EnvironmentRole", "resource_type_slug": "organization", "permissions": [],
                "created_at": START.plus_millis(1).to_string(), "updated_at": START.plus_millis(1).to_string(),
            }));
            assert_eq!(server.get(&format!("{PATH}/editor")).await.expect(200), created);
            let list = server.get(PATH).await.expect(200);
            assert_eq!((&list["object"], &list["data"][1]), (&json!("list"), &created));
            // Every environment has this one.
            assert_eq!(list["data"][0]["slug"], "member");
            assert_eq!(server.get(&format!("{PATH}/owner")).await.error(404), "entity_not_found");
            assert_eq!(server.of_another_environment().await.get(&format!("{PATH}/editor")).await.error(404), "entity_not_found");
        }

        async fn one_slug_is_one_role_and_there_are_not_too_many(db: Db) {
            let server = Server::new(db).await;
            let create = async |slug: &str| server.post(PATH, json!({"slug": slug, "name": "n"})).await;
            assert_eq!(create("member").await.error(409), "role_slug_conflict");
            for slug in ["", "A", "a b", &"x".repeat(49)] {
                assert_eq!(create(slug).await.fields(), ["slug"], "{slug}");
            }
            for number in 1..200 {
                create(&format!("role-{number}")).await.expect(201);
            }
            assert_eq!(create("one-more").await.error(409), "role_limit_reached");
            let organization = server.organization().await;
            let path = format!("/authorization/organizations/{organization}/roles");
            server.post(&path, json!({"slug": "org-one", "name": "n"})).await.expect(201);
        }
    }
}
