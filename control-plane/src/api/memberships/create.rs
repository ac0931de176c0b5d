use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use shared::{
    error::ErrorBody,
    id::{MembershipId, OrganizationId, UserId},
    record::Version,
};
use utoipa::ToSchema;

use super::{Membership, Wanted, apply, finish, named_role, read, role};
use crate::{
    api::{
        EdgePending, Error,
        access::WriteUsers,
        body::JsonBody,
        idempotency::{Answer, Claim, IdempotencyKey, Idempotent},
        path::named,
    },
    app::App,
    entropy::OsEntropy,
    storage::{
        memberships::{self, NewMembership},
        organizations, users,
    },
};

/// A new membership.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateMembership {
    user_id: String,
    organization_id: String,
    /// What the user is in the organization: the slug of a role of the organization or of the environment.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    role_slug: Option<String>,
    /// The same as a list of one, for clients that send it so.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 1)]
    role_slugs: Option<Vec<String>>,
}

/// Make a user a member of an organization, as `member` if no role is named.
///
/// A membership that is inactive becomes active, with the role that is named.
#[utoipa::path(post, path = "/user_management/organization_memberships", tag = "memberships",
    operation_id = "createOrganizationMembership", security(("management_key" = ["users:write"])),
    params(IdempotencyKey),
    request_body = CreateMembership,
    responses(
        (status = 201, body = Membership),
        (status = 404, description = "There is no such user or organization", body = ErrorBody),
        (status = 409, description = "The user is an active member already", body = ErrorBody),
        EdgePending,
    ))]
pub async fn create(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateMembership>>,
) -> Result<Answer, Error> {
    let organization: OrganizationId = named(&body.organization_id)?;
    let user: UserId = named(&body.user_id)?;
    let slug = named_role(body.role_slug, body.role_slugs)?;
    let environment = &caller.environment;

    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let claim = idempotency.claim(transaction.conn(), now).await?;
    if !organizations::hold(transaction.conn(), environment, &organization).await? {
        return Err(Error::not_found("Organization"));
    }
    if !users::hold(transaction.conn(), environment, &user).await? {
        return Err(Error::not_found("User"));
    }
    let before = memberships::lock_of(transaction.conn(), environment, &organization, &user).await?;
    let claimed = match (claim, &before) {
        (Claim::New(claimed), _) => claimed,
        (Claim::Replay(answer), None) => return Ok(answer),
        (Claim::Replay(answer), Some(membership)) => {
            finish(&app, transaction, membership, None).await?;
            return Ok(answer);
        }
    };
    if let Some(before) = before {
        if !before.inactive {
            return Err(exists());
        }
        let slug = slug.as_deref().unwrap_or(&before.role_slug);
        let role = role(transaction.conn(), environment, &organization, Some(slug)).await?;
        let applied = apply(&mut transaction, &before, Wanted { role: &role, inactive: false }, now).await?;
        let membership = read(transaction.conn(), environment, &before.id).await?;
        let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &membership).await?;
        finish(&app, transaction, &before, applied).await?;
        return Ok(answer);
    }
    let role = role(transaction.conn(), environment, &organization, slug.as_deref()).await?;
    let id = MembershipId::generate(now, &mut OsEntropy);
    let membership = NewMembership {
        id: &id,
        environment_id: environment,
        organization_id: &organization,
        user_id: &user,
        role_id: &role.id,
        generation: Version::first(now),
        now,
    };
    if !memberships::insert(transaction.conn(), &membership).await? {
        return Err(exists());
    }
    let membership = read(transaction.conn(), environment, &id).await?;
    let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &membership).await?;
    transaction.commit().await?;
    Ok(answer)
}

fn exists() -> Error {
    let message = "The user is a member of this organization already.";
    Error::conflict("organization_membership_already_exists", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    const PATH: &str = "/user_management/organization_memberships";

    conformance! {
        async fn a_membership_is_shown_with_its_user_and_role(db: Db) {
            let server = Server::new(db).await;
            let (organization, user) = (server.organization().await, server.user(json!({"external_id": "u-1"})).await);
            let created = server.post(PATH, json!({"user_id": user, "organization_id": organization})).await.expect(201);
            let shown = server.get(&format!("/user_management/users/{user}")).await.expect(200);
            assert_eq!(created, json!({
                "object": "organization_membership", "id": created["id"], "user_id": user, "organization_id": organization,
                "organization_name": "Acme", "status": "active", "directory_managed": false, "custom_attributes": {},
                "role": {"slug": "member"}, "roles": [{"slug": "member"}], "user": shown,
                "created_at": START.to_string(), "updated_at": START.to_string(),
            }));
            assert_eq!(server.get(&format!("{PATH}/{}", id_of(&created))).await.expect(200), created);
            let again = server.post(PATH, json!({"user_id": user, "organization_id": organization})).await;
            assert_eq!(again.error(409), "organization_membership_already_exists");
        }

        async fn a_role_is_named_one_way_or_the_other(db: Db) {
            let server = Server::new(db).await;
            server.role("admin", &[]).await;
            let organization = server.organization().await;
            let create = async |roles: serde_json::Value| {
                let mut body = json!({"user_id": server.user(json!({})).await, "organization_id": organization});
                body.as_object_mut().unwrap().extend(roles.as_object().unwrap().clone());
                server.post(PATH, body).await
            };
            assert_eq!(create(json!({"role_slug": "admin"})).await.expect(201)["role"]["slug"], "admin");
            assert_eq!(create(json!({"role_slugs": ["admin"]})).await.expect(201)["role"]["slug"], "admin");
            assert_eq!(create(json!({"role_slug": "owner"})).await.error(422), "invalid_role");
            assert_eq!(create(json!({"role_slug": "Öwner"})).await.error(422), "invalid_role");
            assert_eq!(create(json!({"role_slugs": ["admin", "member"]})).await.error(422), "multiple_roles_not_enabled");
            assert_eq!(create(json!({"role_slugs": []})).await.fields(), ["role_slugs"]);
            assert_eq!(create(json!({"role_slug": "admin", "role_slugs": ["admin"]})).await.fields(), ["role_slugs"]);
        }

        async fn an_inactive_one_becomes_active_with_the_role_that_is_named(db: Db) {
            let server = Server::new(db).await;
            server.role("admin", &[]).await;
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            let id = server.membership(&organization, &user, None).await;
            server.put(&format!("{PATH}/{id}/deactivate"), json!({})).await.expect(200);
            let body = json!({"user_id": user, "organization_id": organization, "role_slug": "admin"});
            let active = server.post(PATH, body).await.expect(201);
            assert_eq!((&active["id"], &active["status"], &active["role"]["slug"]), (&json!(id), &json!("active"), &json!("admin")));
        }

        async fn who_and_where_must_exist(db: Db) {
            let server = Server::new(db).await;
            let (organization, user) = (server.organization().await, server.user(json!({})).await);
            let stranger = server.of_another_environment().await;
            for (user, organization) in [
                (user.as_str(), "org_01KF0JZ4G0000000000000000A"), ("user_01KF0JZ4G0000000000000000A", &organization),
                ("u", &organization), (&user, "o"), (&stranger.user(json!({})).await, &organization),
                (&user, &stranger.organization().await),
            ] {
                let reply = server.post(PATH, json!({"user_id": user, "organization_id": organization})).await;
                assert_eq!(reply.error(404), "entity_not_found", "{user} {organization}");
            }
            assert_eq!(server.post(PATH, json!({"user_id": user})).await.fields(), ["organization_id"]);
        }
    }
}
