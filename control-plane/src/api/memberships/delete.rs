use axum::{extract::State, http::StatusCode};
use shared::{
    feed::{Effect, Scope},
    id::MembershipId,
};

use super::not_found;
use crate::{
    api::{EdgePending, Error, access::WriteUsers, path::InPath},
    app::App,
    storage::{Priority, memberships, user_api_keys},
};

/// End a membership, and revoke every key that the user has in the organization for ever.
///
/// It answers once the edge has been told.
#[utoipa::path(delete, path = "/user_management/organization_memberships/{id}", tag = "memberships",
    operation_id = "deleteOrganizationMembership", security(("management_key" = ["users:write"])),
    params(("id" = MembershipId, Path)),
    responses((status = 200, description = "Deleted"), EdgePending))]
pub async fn delete(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<StatusCode, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write_as(Priority::Revocation).await?;
    let now = app.clock.now();
    let scope = Scope::Membership(&id);
    let committed = match memberships::lock(transaction.conn(), environment, &id).await? {
        Some(before) => {
            let pair = (&before.organization_id, &before.user_id);
            let reason = "membership_deleted";
            user_api_keys::revoke_all_of_membership(transaction.conn(), environment, pair, reason, now).await?;
            memberships::delete(transaction.conn(), &id).await?;
            let generation = before.generation.next(now);
            app.commit_scope(transaction, &scope, environment, generation, Effect::Revoke).await?
        }
        None => {
            let pending = app.pending_scope(transaction, &scope, environment).await?;
            pending.ok_or_else(not_found)?
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
        async fn its_keys_die_with_it_and_no_new_one_revives_them(db: Db) {
            let server = Server::new(db).await;
            let (organization, other) = (server.organization().await, server.organization().await);
            let user = server.user(json!({})).await;
            let id = server.membership(&organization, &user, None).await;
            server.membership(&other, &user, None).await;
            let key = server.user_api_key(&user, json!({"name": "k", "organization_id": organization})).await;
            let key_elsewhere = server.user_api_key(&user, json!({"name": "k", "organization_id": other})).await;
            let of_organization = server.api_key(&organization, json!({"name": "k"})).await;
            let validate = async |key: &serde_json::Value| server.validate(key["value"].as_str().unwrap()).await["code"].clone();
            let path = format!("/user_management/organization_memberships/{id}");
            server.delete(&path).await.expect(200);
            assert_eq!(validate(&key).await, "revoked");
            assert_eq!((validate(&key_elsewhere).await, validate(&of_organization).await), (json!(null), json!(null)));
            assert_eq!(server.get(&path).await.error(404), "entity_not_found");
            assert_eq!(server.delete(&path).await.error(404), "entity_not_found");
            let again = server.membership(&organization, &user, None).await;
            assert_ne!(again, id);
            assert_eq!(validate(&key).await, "revoked");
            let fresh = server.user_api_key(&user, json!({"name": "k", "organization_id": organization})).await;
            assert_eq!(validate(&fresh).await, json!(null));
        }
    }
}
