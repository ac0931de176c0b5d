use axum::{Json, extract::State};
use serde::Deserialize;
use shared::id::MembershipId;
use utoipa::ToSchema;

use super::{Membership, Wanted, change, named_role, not_found, read, role};
use crate::{
    api::{EdgePending, Error, access::WriteUsers, body::JsonBody, path::InPath},
    app::App,
    storage::memberships,
};

/// What to change of a membership.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateMembership {
    /// What the user is in the organization: the slug of a role of the organization or of the environment.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    role_slug: Option<String>,
    /// The same as a list of one, for clients that send it so.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 1)]
    role_slugs: Option<Vec<String>>,
}

/// Give a member another role. The user's keys are worth what that role allows from then on.
///
/// It answers once the edge has been told.
#[utoipa::path(put, path = "/user_management/organization_memberships/{id}", tag = "memberships",
    operation_id = "updateOrganizationMembership", security(("management_key" = ["users:write"])),
    params(("id" = MembershipId, Path)),
    request_body = UpdateMembership,
    responses((status = 200, body = Membership), EdgePending))]
pub async fn update(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
    JsonBody(body): JsonBody<UpdateMembership>,
) -> Result<Json<Membership>, Error> {
    let slug = named_role(body.role_slug, body.role_slugs)?;
    let environment = &caller.environment;
    let mut transaction = app.db.write().await?;
    let before = memberships::lock(transaction.conn(), environment, &id).await?.ok_or_else(not_found)?;
    let slug = slug.as_deref().unwrap_or(&before.role_slug);
    let role = role(transaction.conn(), environment, &before.organization_id, Some(slug)).await?;
    change(&app, transaction, &before, Wanted { role: &role, inactive: before.inactive }, app.clock.now()).await?;
    read(app.db.read().await?.conn(), environment, &id).await.map(Json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
