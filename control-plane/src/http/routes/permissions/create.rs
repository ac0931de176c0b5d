use axum::extract::State;
use shared::error::ErrorBody;

use crate::{
    http::{
        Error,
        extract::{
            access::WritePermissions,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
        },
    },
    objects::permissions::Permission,
    service::permissions::{self, CreatePermission},
    state::AppState,
};

/// Create a permission.
///
/// The slug must be unique in the environment.
#[utoipa::path(post, path = "/authorization/permissions", tag = "permissions",
    operation_id = "createPermission", security(("management_key" = ["permissions:write"])),
    params(IdempotencyKey),
    request_body = CreatePermission,
    responses(
        (status = 201, body = Permission),
        (status = 409, description = "The environment has a permission with this slug.", body = ErrorBody),
    ))]
pub async fn create(
    State(state): State<AppState>,
    WritePermissions(caller): WritePermissions,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreatePermission>>,
) -> Result<Answer, Error> {
    let new = body.check()?;
    idempotency
        .create(&state, caller.actor(), async |transaction, now, entropy| {
            let (permission, change) = permissions::create(transaction, &caller.environment, new, now, entropy).await?;
            Ok((Permission::from(permission), change))
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
        async fn a_permission_is_shown_as_it_was_given(db: Db) {
            let server = Server::new(db).await;
            let body = json!({"slug": "posts:read", "name": "Read posts", "description": "All of them"});
            let created = server.post("/authorization/permissions", body.clone()).await.expect(201);
            assert_eq!(created["object"], "permission");
            assert_eq!(created["system"], json!(false));
            assert_eq!(created["resource_type_slug"], "organization");
            assert_eq!(server.get("/authorization/permissions/posts:read").await.expect(200), created);
            assert_eq!(server.get("/authorization/permissions").await.expect(200)["data"], json!([created]));
            assert_eq!(server.post("/authorization/permissions", body).await.error(409), "permission_slug_conflict");
        }

        async fn slugs_and_names_have_bounds(db: Db) {
            let server = Server::new(db).await;
            let long = "x".repeat(49);
            for (body, fields) in [
                (json!({"slug": "Posts", "name": "n"}), vec!["slug"]),
                (json!({"slug": "", "name": " "}), vec!["slug", "name"]),
                (json!({"slug": long, "name": long, "resource_type_slug": long}), vec!["slug", "name", "resource_type_slug"]),
                (json!({"slug": "a", "name": "n", "description": "d".repeat(151)}), vec!["description"]),
                (json!({"slug": 1, "name": "n"}), vec!["slug"]),
                (json!({"name": "n"}), vec!["slug"]),
            ] {
                assert_eq!(server.post("/authorization/permissions", body.clone()).await.fields(), fields, "{body}");
            }
        }
    }
}
