use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Deserialize;
use shared::{Timestamp, error::ErrorBody, id::UserId};
use utoipa::ToSchema;

use super::{User, taken};
use crate::{
    api::{
        Error,
        access::WriteUsers,
        body::{JsonBody, or_null},
        fields::{Checks, LOCALE_MAX_LENGTH, NAME_MAX_LENGTH, merge_metadata},
        path::InPath,
    },
    app::App,
    storage::users,
};

/// What to change of a user. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateUser {
    /// An address that no other user of the environment has, in any case.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: Option<String>,
    /// Whether the product has verified the address.
    #[serde(default)]
    email_verified: Option<bool>,
    /// Null for none, as of the other names.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 255)]
    first_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 255)]
    last_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 255)]
    name: Option<Option<String>>,
    /// The language, as `en-US`; null for none.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 35)]
    locale: Option<Option<String>>,
    /// Entries to add or replace; a null entry is removed, and null instead of entries removes all.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// What the product calls the user; null for nothing.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<Option<String>>,
}

/// Update a user.
#[utoipa::path(put, path = "/user_management/users/{id}", tag = "users",
    operation_id = "updateUser", security(("management_key" = ["users:write"])),
    params(("id" = UserId, Path)),
    request_body = UpdateUser,
    responses(
        (status = 200, body = User),
        (status = 400, description = "Not JSON, or the address or the external id is another user's", body = ErrorBody),
    ))]
pub async fn update(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<UserId>,
    JsonBody(body): JsonBody<UpdateUser>,
) -> Result<Json<User>, Error> {
    let mut transaction = app.db.write().await?;
    let before = users::lock(transaction.conn(), &caller.environment, &id).await?;
    let before = before.ok_or_else(|| Error::not_found("User"))?;
    let after = changed(before, body, app.clock.now())?;
    if !users::update(transaction.conn(), &after).await? {
        drop(transaction);
        return Err(taken(&app, &caller.environment, &after).await?);
    }
    transaction.commit().await?;
    Ok(Json(after.into()))
}

fn changed(mut user: users::User, body: UpdateUser, now: Timestamp) -> Result<users::User, Error> {
    let mut checks = Checks::default();
    if let Some(email) = body.email {
        checks.email(&email);
        user.email = email;
    }
    user.email_verified = body.email_verified.unwrap_or(user.email_verified);
    for (field, own, given, max_length) in [
        ("first_name", &mut user.first_name, body.first_name, NAME_MAX_LENGTH),
        ("last_name", &mut user.last_name, body.last_name, NAME_MAX_LENGTH),
        ("name", &mut user.name, body.name, NAME_MAX_LENGTH),
        ("locale", &mut user.locale, body.locale, LOCALE_MAX_LENGTH),
    ] {
        if let Some(text) = given {
            checks.optional_name(field, text.as_deref().unwrap_or_default(), max_length);
            *own = text;
        }
    }
    if let Some(metadata) = body.metadata {
        merge_metadata(&mut user.metadata.0, metadata);
        checks.metadata(&user.metadata.0);
    }
    if let Some(external_id) = body.external_id {
        checks.external_id(external_id.as_deref().unwrap_or("none"));
        user.external_id = external_id;
    }
    checks.finish()?;
    user.updated_at = now;
    Ok(user)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn what_is_left_out_stays_and_null_empties(db: Db) {
            let server = Server::new(db).await;
            let body = json!({"email": "a@b.c", "first_name": "A", "name": "A B", "metadata": {"a": "1"}, "external_id": "u-1"});
            let path = format!("/user_management/users/{}", server.user(body).await);
            server.advance(1000);
            let changed = json!({"first_name": "B", "email_verified": true, "locale": "de-AT", "metadata": {"b": "2"}});
            let updated = server.put(&path, changed).await.expect(200);
            assert_eq!(updated["metadata"], json!({"a": "1", "b": "2"}));
            assert_eq!((&updated["first_name"], &updated["name"], &updated["locale"]), (&json!("B"), &json!("A B"), &json!("de-AT")));
            assert_eq!((&updated["email"], &updated["email_verified"]), (&json!("a@b.c"), &json!(true)));
            assert_eq!(updated["updated_at"], START.plus_millis(1000).to_string());
            let emptied = server.put(&path, json!({"name": null, "external_id": null, "metadata": null})).await.expect(200);
            assert_eq!((&emptied["name"], &emptied["external_id"], &emptied["metadata"]), (&json!(null), &json!(null), &json!({})));
            assert_eq!(server.get(&path).await.expect(200), emptied);
        }

        async fn what_is_another_users_is_refused(db: Db) {
            let server = Server::new(db).await;
            server.user(json!({"email": "a@b.c", "external_id": "u-1"})).await;
            let path = format!("/user_management/users/{}", server.user(json!({"email": "b@b.c", "external_id": "u-2"})).await);
            assert_eq!(server.put(&path, json!({"email": "A@b.c"})).await.error(400), "user_creation_error");
            assert_eq!(server.put(&path, json!({"external_id": "u-1"})).await.error(400), "external_id_already_used");
            assert_eq!(server.put(&path, json!({"email": null, "external_id": "u-2"})).await.expect(200)["email"], "b@b.c");
            assert_eq!(server.put(&path, json!({"email": "x", "locale": "x".repeat(36)})).await.fields(), ["email", "locale"]);
        }
    }
}
