use axum::extract::State;
use shared::error::ErrorBody;

use crate::{
    http::{
        Error,
        extract::{
            access::WriteUsers,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
        },
    },
    objects::users::User,
    service::users::{self, CreateUser},
    state::AppState,
};

/// Create a user.
///
/// All fields are optional. With an `external_id`, you can find the user by your own id.
#[utoipa::path(post, path = "/user_management/users", tag = "users",
    operation_id = "createUser", security(("management_key" = ["users:write"])),
    params(IdempotencyKey),
    request_body = CreateUser,
    responses(
        (status = 201, body = User),
        (status = 400, description = "The body is not valid JSON, `Idempotency-Key` is invalid, or another user has this `email` or `external_id`.", body = ErrorBody),
    ))]
pub async fn create(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateUser>>,
) -> Result<Answer, Error> {
    let new = body.check()?;
    idempotency
        .create(&state, caller.actor(), async |transaction, now, entropy| {
            let (user, change) = users::create(transaction, &caller.environment, new, now, entropy).await?;
            Ok((User::from(user), change))
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
        async fn a_user_is_shown_as_it_was_given(db: Db) {
            let server = Server::new(db).await;
            let created = server.post("/user_management/users", json!({
                "email": "Marcelina@example.com", "first_name": "Marcelina", "last_name": null, "name": "Marcelina Davis",
                "email_verified": true, "metadata": {"team": "blue"}, "external_id": "u-1", "password": "ignored",
            })).await.expect(201);
            assert_eq!(created, json!({
                "object": "user", "id": created["id"], "email": "Marcelina@example.com", "email_verified": true,
                "first_name": "Marcelina", "last_name": null, "name": "Marcelina Davis", "profile_picture_url": null,
                "last_sign_in_at": null, "locale": null, "external_id": "u-1", "metadata": {"team": "blue"},
                "created_at": START.to_string(), "updated_at": START.to_string(),
            }));
            assert_eq!(server.get(&format!("/user_management/users/{}", id_of(&created))).await.expect(200), created);
            assert_eq!(server.get("/user_management/users/external_id/u-1").await.expect(200), created);
            assert_eq!(server.get("/user_management/users/external_id/u-2").await.error(404), "entity_not_found");
        }

        async fn an_external_id_is_enough_and_so_is_nothing(db: Db) {
            let server = Server::new(db).await;
            let created = server.post("/user_management/users", json!({"external_id": "u-1"})).await.expect(201);
            assert_eq!((&created["email"], &created["external_id"]), (&json!(""), &json!("u-1")));
            server.post("/user_management/users", json!({})).await.expect(201);
            server.post("/user_management/users", json!({})).await.expect(201);
        }

        async fn two_users_have_neither_one_address_nor_one_external_id(db: Db) {
            let server = Server::new(db).await;
            let users = "/user_management/users";
            server.post(users, json!({"email": "a@b.c", "external_id": "u-1"})).await.expect(201);
            let taken = server.post(users, json!({"email": "A@B.C", "external_id": "u-2"})).await;
            assert_eq!(taken.error(400), "user_creation_error");
            assert_eq!(taken.json()["errors"][0]["code"], "email_not_available");
            assert_eq!(server.post(users, json!({"external_id": "u-1"})).await.error(400), "external_id_already_used");
            server.of_another_environment().await.post(users, json!({"email": "a@b.c", "external_id": "u-1"})).await.expect(201);
            assert_eq!(ids_of(&server.get(users).await.expect(200)).len(), 1);
        }

        async fn every_mistake_is_named_at_once(db: Db) {
            let server = Server::new(db).await;
            for email in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n"] {
                assert_eq!(server.post("/user_management/users", json!({"email": email})).await.fields(), ["email"], "{email}");
            }
            let reply = server.post("/user_management/users", json!({
                "email": "x", "name": "x".repeat(256), "metadata": {"k": "\u{1}"}, "external_id": "ö",
            })).await;
            assert_eq!(reply.fields(), ["email", "name", "metadata.k", "external_id"]);
        }
    }
}
