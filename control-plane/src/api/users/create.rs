use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use shared::{error::ErrorBody, id::UserId};
use utoipa::ToSchema;

use super::{User, taken};
use crate::{
    api::{
        Error,
        access::WriteUsers,
        body::JsonBody,
        fields::{Checks, NAME_MAX_LENGTH},
        idempotency::{Answer, Claim, IdempotencyKey, Idempotent},
    },
    app::App,
    entropy::OsEntropy,
    storage::{JsonText, users},
};

/// A new user. Nothing is required: an external id is enough to give keys to whom the product knows.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateUser {
    /// An address that no other user of the environment has, in any case.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: Option<String>,
    /// Whether the product has verified the address.
    #[serde(default)]
    email_verified: Option<bool>,
    #[serde(default)]
    #[schema(max_length = 255)]
    first_name: Option<String>,
    #[serde(default)]
    #[schema(max_length = 255)]
    last_name: Option<String>,
    #[serde(default)]
    #[schema(max_length = 255)]
    name: Option<String>,
    /// The product's own notes: 50 entries at most.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    /// What the product calls the user: 128 printable ASCII characters at most, and no other's.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<String>,
}

/// Create a user.
#[utoipa::path(post, path = "/user_management/users", tag = "users",
    operation_id = "createUser", security(("management_key" = ["users:write"])),
    params(IdempotencyKey),
    request_body = CreateUser,
    responses(
        (status = 201, body = User),
        (status = 400, description = "Not JSON, or the address or the external id is another user's", body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateUser>>,
) -> Result<Answer, Error> {
    let metadata = body.metadata.unwrap_or_default();
    let mut checks = Checks::default();
    if let Some(email) = &body.email {
        checks.email(email);
    }
    for (field, text) in [("first_name", &body.first_name), ("last_name", &body.last_name), ("name", &body.name)] {
        checks.optional_name(field, text.as_deref().unwrap_or_default(), NAME_MAX_LENGTH);
    }
    checks.metadata(&metadata);
    if let Some(external_id) = &body.external_id {
        checks.external_id(external_id);
    }
    checks.finish()?;

    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let claimed = match idempotency.claim(transaction.conn(), now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => return Ok(answer),
    };
    let user = users::User {
        id: UserId::generate(now, &mut OsEntropy),
        environment_id: caller.environment,
        external_id: body.external_id,
        email: body.email.unwrap_or_default(),
        email_verified: body.email_verified.unwrap_or_default(),
        first_name: body.first_name,
        last_name: body.last_name,
        name: body.name,
        locale: None,
        metadata: JsonText(metadata),
        created_at: now,
        updated_at: now,
    };
    if !users::insert(transaction.conn(), &user).await? {
        drop(transaction);
        return Err(taken(&app, &user.environment_id, &user).await?);
    }
    let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &User::from(user)).await?;
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
