use axum::extract::State;
use serde::Deserialize;
use shared::{error::ErrorBody, id::OrganizationId, permission::SLUG_MAX_LENGTH};
use utoipa::ToSchema;

use crate::{
    api::{
        Error,
        access::WriteRoles,
        body::JsonBody,
        idempotency::{Answer, IdempotencyKey, Idempotent},
        path::InPath,
        roles::{self, NewRole, Role},
    },
    app::App,
    storage::roles::Of,
};

/// A new role of an organization's own.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateOrganizationRole {
    /// What programs call it: lowercase letters, digits, and `-_:.*`. Left out, it is `org-` and the name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    slug: Option<String>,
    /// What people call it.
    #[schema(min_length = 1, max_length = 48)]
    name: String,
    /// What it is, for people.
    #[serde(default)]
    #[schema(max_length = 150)]
    description: Option<String>,
    /// The kind of resource that it is about; `organization` if left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    resource_type_slug: Option<String>,
}

/// Create a role of an organization's own. It allows nothing until its permissions are set.
#[utoipa::path(post, path = "/authorization/organizations/{organization_id}/roles", tag = "roles",
    operation_id = "createOrganizationRole", security(("management_key" = ["roles:write"])),
    params(("organization_id" = OrganizationId, Path), IdempotencyKey),
    request_body = CreateOrganizationRole,
    responses(
        (status = 201, body = Role),
        (status = 409, description = "There is one of this slug already, or there are too many", body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<App>,
    WriteRoles(caller): WriteRoles,
    InPath(organization): InPath<OrganizationId>,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateOrganizationRole>>,
) -> Result<Answer, Error> {
    let CreateOrganizationRole { slug, name, description, resource_type_slug } = body;
    let slug = slug.unwrap_or_else(|| slug_of(&name));
    let new = NewRole { slug, name, description, resource_type_slug };
    roles::create(&app, caller.environment, Of::Organization(&organization), new, idempotency).await
}

/// `org-billing-admin` of `Billing Admin`.
fn slug_of(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let slug: String = ["org"].into_iter().chain(words).collect::<Vec<_>>().join("-");
    slug.chars().take(SLUG_MAX_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::slug_of;
    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    #[test]
    fn a_name_makes_a_slug() {
        for (name, slug) in [("Billing Admin", "org-billing-admin"), ("  A--b! ", "org-a-b"), ("ÖÄ", "org")] {
            assert_eq!(slug_of(name), slug);
        }
        assert_eq!(slug_of(&"x".repeat(48)).len(), 48);
    }

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
