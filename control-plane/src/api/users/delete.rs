use axum::{extract::State, http::StatusCode};
use shared::{
    feed::{Effect, Scope},
    id::UserId,
    record::Version,
};

use crate::{
    api::{EdgePending, Error, access::WriteUsers, path::InPath},
    app::App,
    storage::{Priority, memberships, user_api_keys, users},
};

/// Delete a user with all memberships, and revoke every key of the user for ever.
///
/// It answers once the edge has been told.
#[utoipa::path(delete, path = "/user_management/users/{id}", tag = "users",
    operation_id = "deleteUser", security(("management_key" = ["users:write"])),
    params(("id" = UserId, Path)),
    responses((status = 200, description = "Deleted"), EdgePending))]
pub async fn delete(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<UserId>,
) -> Result<StatusCode, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write_as(Priority::Revocation).await?;
    let now = app.clock.now();
    let scope = Scope::User(&id);
    let committed = match users::lock(transaction.conn(), environment, &id).await? {
        Some(_) => {
            memberships::delete_all_of_user(transaction.conn(), &id).await?;
            user_api_keys::revoke_all_of_user(transaction.conn(), environment, &id, "user_deleted", now).await?;
            users::delete(transaction.conn(), &id).await?;
            app.commit_scope(transaction, &scope, environment, Version::first(now), Effect::Revoke).await?
        }
        None => {
            let pending = app.pending_scope(transaction, &scope, environment).await?;
            pending.ok_or_else(|| Error::not_found("User"))?
        }
    };
    app.acknowledge(&committed).await?;
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
