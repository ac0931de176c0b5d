use axum::extract::State;
use serde::Deserialize;
use shared::error::ErrorBody;
use utoipa::ToSchema;

use crate::{
    api::{
        Error,
        access::WriteRoles,
        body::JsonBody,
        idempotency::{Answer, IdempotencyKey, Idempotent},
        roles::{self, NewRole, Role},
    },
    app::App,
    storage::roles::Of,
};

/// A new role of the environment.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateRole {
    /// What programs call it: lowercase letters, digits, and `-_:.*`.
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    slug: String,
    /// What people call it.
    #[schema(min_length = 1, max_length = 48)]
    name: String,
    /// What it is, for people.
    #[serde(default)]
    #[schema(max_length = 150)]
    description: Option<String>,
    /// The kind of resource that it is about; `organization` if left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    resource_type_slug: Option<String>,
}

/// Create a role for every organization of the environment. It allows nothing until its permissions are set.
#[utoipa::path(post, path = "/authorization/roles", tag = "roles",
    operation_id = "createEnvironmentRole", security(("management_key" = ["roles:write"])),
    params(IdempotencyKey),
    request_body = CreateRole,
    responses(
        (status = 201, body = Role),
        (status = 409, description = "There is one of this slug already, or there are too many", body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateRole>>,
) -> Result<Answer, Error> {
    let CreateRole { slug, name, description, resource_type_slug } = body;
    let new = NewRole { slug, name, description, resource_type_slug };
    roles::create(&app, caller.environment, Of::Environment, new, idempotency).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
