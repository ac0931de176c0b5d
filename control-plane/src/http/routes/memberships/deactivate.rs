use axum::{Json, extract::State};
use shared::id::MembershipId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteUsers, path::InPath},
    },
    objects::memberships::Membership,
    service::{commit, memberships},
    state::AppState,
    storage::Priority,
};

/// Deactivate a membership.
///
/// The user's API keys in the organization are refused until the membership is active again. Returns once the edge has the
/// change.
#[utoipa::path(put, path = "/user_management/organization_memberships/{id}/deactivate", tag = "memberships",
    operation_id = "deactivateOrganizationMembership", security(("management_key" = ["users:write"])),
    params(("id" = MembershipId, Path)),
    responses((status = 200, body = Membership), EdgePending))]
pub async fn deactivate(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<Json<Membership>, Error> {
    let (environment, inactive) = (&caller.environment, true);
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let (member, change) = memberships::set_inactive(&mut transaction, environment, &id, inactive, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(member.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn its_keys_are_refused_until_it_is_active_again(db: Db) {
            let server = Server::new(db).await;
            let (organization, other) = (server.organization().await, server.organization().await);
            let user = server.user(json!({})).await;
            let id = server.membership(&organization, &user, None).await;
            server.membership(&other, &user, None).await;
            let key = server.user_api_key(&user, json!({"name": "k", "organization_id": organization})).await;
            let key_elsewhere = server.user_api_key(&user, json!({"name": "k", "organization_id": other})).await;
            let validate = async |key: &serde_json::Value| server.validate(key["value"].as_str().unwrap()).await["code"].clone();
            let path = format!("/user_management/organization_memberships/{id}");
            let inactive = server.put(&format!("{path}/deactivate"), json!({})).await.expect(200);
            assert_eq!(inactive["status"], "inactive");
            assert_eq!((validate(&key).await, validate(&key_elsewhere).await), (json!("disabled"), json!(null)));
            // Nothing changes any more.
            server.advance(1000);
            assert_eq!(server.put(&format!("{path}/deactivate"), json!({})).await.expect(200), inactive);
            let active = server.put(&format!("{path}/reactivate"), json!({})).await.expect(200);
            assert_eq!(active["status"], "active");
            assert_eq!(validate(&key).await, json!(null));
            server.advance(1000);
            assert_eq!(server.put(&format!("{path}/reactivate"), json!({})).await.expect(200), active);
        }

        async fn who_is_no_active_member_gets_no_key(db: Db) {
            let server = Server::new(db).await;
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            let keys = format!("/user_management/users/{user}/api_keys");
            let body = json!({"name": "k", "organization_id": organization});
            assert_eq!(server.post(&keys, body.clone()).await.error(400), "organization_membership_required");
            let id = server.membership(&organization, &user, None).await;
            server.put(&format!("/user_management/organization_memberships/{id}/deactivate"), json!({})).await.expect(200);
            assert_eq!(server.post(&keys, body).await.error(400), "organization_membership_required");
        }
    }
}
