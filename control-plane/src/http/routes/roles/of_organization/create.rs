use axum::extract::State;
use shared::{error::ErrorBody, id::OrganizationId};

use crate::{
    http::{
        Error,
        extract::{
            access::WriteRoles,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
            path::InPath,
        },
    },
    objects::roles::Role,
    service::roles::{self, CreateOrganizationRole},
    state::AppState,
    storage::roles::Of,
};

/// Create an organization role.
///
/// Only this organization can use it. It has no permissions until you set them.
#[utoipa::path(post, path = "/authorization/organizations/{organization_id}/roles", tag = "roles",
    operation_id = "createOrganizationRole", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), IdempotencyKey),
    request_body = CreateOrganizationRole,
    responses(
        (status = 201, body = Role),
        (status = 409, description = "The organization or its environment has a role with this slug, or the organization has 200 roles already.", body = ErrorBody),
    ))]
pub async fn create(
    State(state): State<AppState>,
    WriteRoles(caller): WriteRoles,
    InPath(organization): InPath<OrganizationId>,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateOrganizationRole>>,
) -> Result<Answer, Error> {
    let (of, new) = (Of::Organization(&organization), body.check()?);
    idempotency
        .create(&state, caller.actor(), async |transaction, now, entropy| {
            let (role, change) = roles::create(transaction, &caller.environment, of, new, now, entropy).await?;
            Ok((Role::from(role), change))
        })
        .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn an_organization_has_its_own_and_those_of_all(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["a"]).await;
            server.advance(1);
            server.role("admin", &["a"]).await;
            let (organization, other) = (server.organization().await, server.organization().await);
            let path = format!("/authorization/organizations/{organization}/roles");
            let created = server.post(&path, json!({"name": "Billing Admin"})).await.expect(201);
            assert_eq!((&created["slug"], &created["type"]), (&json!("org-billing-admin"), &json!("OrganizationRole")));
            let slugs = async |path: &str| {
                let list = server.get(path).await.expect(200);
                list["data"].as_array().unwrap().iter().map(|role| role["slug"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(slugs(&path).await, ["member", "admin", "org-billing-admin"]);
            assert_eq!(slugs(&format!("/authorization/organizations/{other}/roles")).await, ["member", "admin"]);
            assert_eq!(slugs("/authorization/roles").await, ["member", "admin"]);
            assert_eq!(server.get(&format!("{path}/org-billing-admin")).await.expect(200), created);
            assert_eq!(server.get(&format!("{path}/admin")).await.expect(200)["type"], "EnvironmentRole");
            assert_eq!(server.get(&format!("{path}/owner")).await.error(404), "entity_not_found");
            let elsewhere = format!("/authorization/organizations/{other}/roles/org-billing-admin");
            assert_eq!(server.get(&elsewhere).await.error(404), "entity_not_found");
        }

        async fn a_slug_is_taken_by_the_organization_or_by_its_environment(db: Db) {
            let server = Server::new(db).await;
            let path = format!("/authorization/organizations/{}/roles", server.organization().await);
            server.post(&path, json!({"name": "A", "slug": "org-a"})).await.expect(201);
            for slug in ["org-a", "member"] {
                let taken = server.post(&path, json!({"name": "A", "slug": slug})).await;
                assert_eq!(taken.error(409), "organization_role_slug_conflict");
            }
            let other = format!("/authorization/organizations/{}/roles", server.organization().await);
            server.post(&other, json!({"name": "A", "slug": "org-a"})).await.expect(201);
            let nowhere = "/authorization/organizations/org_01KF0JZ4G0000000000000000A/roles";
            assert_eq!(server.post(nowhere, json!({"name": "A"})).await.error(404), "entity_not_found");
            let stranger = server.of_another_environment().await;
            for reply in [stranger.post(&path, json!({"name": "B"})).await, stranger.get(&path).await, stranger.get(&format!("{path}/org-a")).await] {
                assert_eq!(reply.error(404), "entity_not_found");
            }
        }
    }
}
