use axum::{Json, extract::State};
use shared::id::MembershipId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteUsers, body::JsonBody, path::InPath},
    },
    objects::memberships::Membership,
    service::{
        commit,
        memberships::{self, UpdateMembership},
    },
    state::AppState,
    storage::Priority,
};

/// Update the role of a membership.
///
/// The new role limits the user's API keys in the organization. Returns once the edge has the change.
#[utoipa::path(put, path = "/user_management/organization_memberships/{id}", tag = "memberships",
    operation_id = "updateOrganizationMembership", security(("management_key" = ["users:write"])),
    params(("id" = MembershipId, Path)),
    request_body = UpdateMembership,
    responses((status = 200, body = Membership), EdgePending))]
pub async fn update(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
    JsonBody(body): JsonBody<UpdateMembership>,
) -> Result<Json<Membership>, Error> {
    let role = body.check()?;
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (member, change) = memberships::update(&mut transaction, &caller.environment, &id, role, now).await?;
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
        async fn a_key_is_worth_what_the_role_of_the_moment_allows(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a", "b"]).await;
            server.role("editor", &["a", "b"]).await;
            server.role("reader", &["a"]).await;
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            let path = format!("/user_management/organization_memberships/{}", server.membership(&organization, &user, Some("editor")).await);
            let body = json!({"name": "k", "organization_id": organization, "permissions": ["a", "b"]});
            let key = server.user_api_key(&user, body).await;
            let worth = async || server.validate(key["value"].as_str().unwrap()).await["api_key"]["permissions"].clone();
            assert_eq!(worth().await, json!(["a", "b"]));
            assert_eq!(server.put(&path, json!({"role_slug": "reader"})).await.expect(200)["role"]["slug"], "reader");
            assert_eq!(worth().await, json!(["a"]));
            server.put(&path, json!({"role_slug": "member"})).await.expect(200);
            assert_eq!(worth().await, json!([]));
            server.put(&path, json!({})).await.expect(200);
            server.put(&path, json!({"role_slugs": ["editor"]})).await.expect(200);
            assert_eq!(worth().await, json!(["a", "b"]));
            assert_eq!(server.put(&path, json!({"role_slug": "owner"})).await.error(422), "invalid_role");
            assert_eq!(worth().await, json!(["a", "b"]));
        }

        async fn another_organizations_role_is_none(db: Db) {
            let server = Server::new(db).await;
            let (organization, other) = (server.organization().await, server.organization().await);
            server.post(&format!("/authorization/organizations/{other}/roles"), json!({"name": "Theirs", "slug": "org-theirs"})).await.expect(201);
            let user = server.user(json!({})).await;
            let path = format!("/user_management/organization_memberships/{}", server.membership(&organization, &user, None).await);
            assert_eq!(server.put(&path, json!({"role_slug": "org-theirs"})).await.error(422), "invalid_role");
        }
    }
}
