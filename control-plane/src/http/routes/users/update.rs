use axum::{Json, extract::State};
use shared::{error::ErrorBody, id::UserId};

use crate::{
    http::{
        Error,
        extract::{access::WriteUsers, body::JsonBody, path::InPath},
    },
    objects::users::User,
    service::{
        commit,
        users::{self, UpdateUser},
    },
    state::AppState,
    storage::Priority,
};

/// Update a user.
///
/// Omitted fields keep their values.
#[utoipa::path(put, path = "/user_management/users/{id}", tag = "users",
    operation_id = "updateUser", security(("management_key" = ["users:write"])),
    params(("id" = UserId, Path)),
    request_body = UpdateUser,
    responses(
        (status = 200, body = User),
        (status = 400, description = "The body is not valid JSON, or another user has this `email` or `external_id`.", body = ErrorBody),
    ))]
pub async fn update(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<UserId>,
    JsonBody(body): JsonBody<UpdateUser>,
) -> Result<Json<User>, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (user, change) = users::update(&mut transaction, &caller.environment, &id, body, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(user.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
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
