use axum::{extract::State, http::StatusCode};
use shared::id::MembershipId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteUsers, path::InPath},
    },
    service::{commit, memberships},
    state::AppState,
    storage::Priority,
};

/// Delete a membership.
///
/// Revokes all API keys that the user has in the organization. Returns once the edge has the change.
#[utoipa::path(delete, path = "/user_management/organization_memberships/{id}", tag = "memberships",
    operation_id = "deleteOrganizationMembership", security(("management_key" = ["users:write"])),
    params(("id" = MembershipId, Path)),
    responses((status = 200, description = "The membership is deleted."), EdgePending))]
pub async fn delete(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<StatusCode, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let change = memberships::delete(&mut transaction, &caller.environment, &id, now).await?;
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
