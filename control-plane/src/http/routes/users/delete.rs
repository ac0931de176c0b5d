use axum::{extract::State, http::StatusCode};
use shared::id::UserId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteUsers, path::InPath},
    },
    service::{commit, users},
    state::AppState,
    storage::Priority,
};

/// Delete a user.
///
/// Deletes all memberships of the user as well, and revokes all of the user's API keys. Returns once the edge has the
/// change.
#[utoipa::path(delete, path = "/user_management/users/{id}", tag = "users",
    operation_id = "deleteUser", security(("management_key" = ["users:write"])),
    params(("id" = UserId, Path)),
    responses((status = 200, description = "The user is deleted."), EdgePending))]
pub async fn delete(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<UserId>,
) -> Result<StatusCode, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let change = users::delete(&mut transaction, &caller.environment, &id, now).await?;
    commit(transaction, change, now).await?;
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn the_keys_of_a_deleted_user_are_revoked_in_every_organization(db: Db) {
            let server = Server::new(db).await;
            let (user, other) = (server.user(json!({"external_id": "u-1"})).await, server.user(json!({})).await);
            let mut values = vec![];
            for _ in 0..2 {
                let organization = server.organization().await;
                for user in [&user, &other] {
                    server.membership(&organization, user, None).await;
                    values.push(server.user_api_key(user, json!({"name": "k", "organization_id": organization})).await["value"].clone());
                }
            }
            let path = format!("/user_management/users/{user}");
            server.delete(&path).await.expect(200);
            for (at, value) in values.iter().enumerate() {
                let answer = server.validate(value.as_str().unwrap()).await;
                assert_eq!(answer["code"] == "revoked", at % 2 == 0, "{answer}");
            }
            assert_eq!(server.get(&path).await.error(404), "entity_not_found");
            assert_eq!(server.delete(&path).await.error(404), "entity_not_found");
            assert_eq!(server.get(&format!("{path}/api_keys")).await.error(404), "entity_not_found");
            let memberships = server.get(&format!("/user_management/organization_memberships?user_id={user}")).await;
            assert_eq!(memberships.expect(200)["data"], json!([]));
            // Nothing of the user is left that could be in the way of a new one.
            server.user(json!({"external_id": "u-1"})).await;
        }
    }
}
