use axum::{extract::State, http::StatusCode};
use shared::{
    error::ErrorBody,
    id::{OrganizationId, UserId},
};

use crate::{
    entropy::OsEntropy,
    http::{
        EdgePending, Error,
        extract::{
            access::WriteUsers,
            body::JsonBody,
            idempotency::{Answer, Claim, IdempotencyKey, Idempotent},
            path::named,
        },
    },
    objects::memberships::Membership,
    service::{
        commit,
        memberships::{self, CreateMembership},
    },
    state::AppState,
    storage::Priority,
};

/// Create a membership.
///
/// Makes the user a member of the organization. An inactive membership becomes active again, with `role_slug` if it is
/// sent. Then the call returns once the edge has the change.
#[utoipa::path(post, path = "/user_management/organization_memberships", tag = "memberships",
    operation_id = "createOrganizationMembership", security(("management_key" = ["users:write"])),
    params(IdempotencyKey),
    request_body = CreateMembership,
    responses(
        (status = 201, body = Membership),
        (status = 404, description = "The user or the organization does not exist in this environment.", body = ErrorBody),
        (status = 409, description = "The user is an active member of the organization already.", body = ErrorBody),
        EdgePending,
    ))]
pub async fn create(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateMembership>>,
) -> Result<Answer, Error> {
    let (environment, entropy) = (&caller.environment, &mut OsEntropy);
    let (organization, user) = (named::<OrganizationId>(&body.organization_id)?, named::<UserId>(&body.user_id)?);
    let role = body.check()?;
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let claimed = match idempotency.claim(&mut transaction, now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => {
            let change = memberships::resume_create(&mut transaction, environment, &organization, &user).await?;
            commit(transaction, change, now).await?;
            return Ok(answer);
        }
    };
    let (member, change) =
        memberships::create(&mut transaction, environment, (&organization, &user), role, now, entropy).await?;
    let answer = claimed.keep(&mut transaction, StatusCode::CREATED, &Membership::from(member), entropy).await?;
    commit(transaction, change, now).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
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
