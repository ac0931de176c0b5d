use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use shared::{error::ErrorBody, id::PermissionId};
use utoipa::ToSchema;

use super::Permission;
use crate::{
    api::{
        Error,
        access::WritePermissions,
        body::JsonBody,
        fields::Checks,
        idempotency::{Answer, Claim, IdempotencyKey, Idempotent},
    },
    app::App,
    entropy::OsEntropy,
    storage::permissions,
};

/// A new permission.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreatePermission {
    /// What programs call it: lowercase letters, digits, and `-_:.*`. `posts:*` in a key grants all of `posts:`.
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    slug: String,
    /// What people call it.
    #[schema(min_length = 1, max_length = 48)]
    name: String,
    /// What it allows, for people.
    #[serde(default)]
    #[schema(max_length = 150)]
    description: Option<String>,
    /// The kind of resource that it is about; `organization` if left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    resource_type_slug: Option<String>,
}

/// Create a permission.
#[utoipa::path(post, path = "/authorization/permissions", tag = "permissions",
    operation_id = "createPermission", security(("management_key" = ["permissions:write"])),
    params(IdempotencyKey),
    request_body = CreatePermission,
    responses(
        (status = 201, body = Permission),
        (status = 409, description = "There is one of this slug already", body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<App>,
    WritePermissions(caller): WritePermissions,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreatePermission>>,
) -> Result<Answer, Error> {
    let resource_type_slug = body.resource_type_slug.unwrap_or_else(|| "organization".to_owned());
    let mut checks = Checks::default();
    checks.slug("slug", &body.slug);
    checks.described(Some(&body.name), body.description.as_deref());
    checks.slug("resource_type_slug", &resource_type_slug);
    checks.finish()?;

    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let claimed = match idempotency.claim(transaction.conn(), now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => return Ok(answer),
    };
    let permission = permissions::Permission {
        id: PermissionId::generate(now, &mut OsEntropy),
        environment_id: caller.environment,
        slug: body.slug,
        name: body.name,
        description: body.description,
        resource_type_slug,
        created_at: now,
        updated_at: now,
    };
    if !permissions::insert(transaction.conn(), &permission).await? {
        return Err(Error::conflict("permission_slug_conflict", "There is a permission of this slug already."));
    }
    let created = Permission::from(permission);
    let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &created).await?;
    transaction.commit().await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
