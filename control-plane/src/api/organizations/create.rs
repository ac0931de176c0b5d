use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use shared::{error::ErrorBody, id::OrganizationId};
use utoipa::ToSchema;

use super::{DomainData, Organization, check_domains, domains_of, external_id_taken, named_domains};
use crate::{
    api::{
        Error,
        access::WriteOrganizations,
        body::JsonBody,
        fields::{Checks, NAME_MAX_LENGTH},
        idempotency::{Answer, Claim, IdempotencyKey, Idempotent},
    },
    app::App,
    entropy::OsEntropy,
    storage::{JsonText, organizations},
};

/// A new organization.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateOrganization {
    /// What people call it.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// Its domains, all of them pending. `domain_data` wins over it.
    #[serde(default)]
    domains: Option<Vec<String>>,
    /// Its domains, with their states.
    #[serde(default)]
    domain_data: Option<Vec<DomainData>>,
    /// The product's own notes: 50 entries at most.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    /// What the product calls it: 128 printable ASCII characters at most, and no other's.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<String>,
    #[serde(default)]
    allow_profiles_outside_organization: Option<bool>,
}

/// Create an organization.
#[utoipa::path(post, path = "/organizations", tag = "organizations",
    operation_id = "createOrganization", security(("management_key" = ["organizations:write"])),
    params(IdempotencyKey),
    request_body = CreateOrganization,
    responses(
        (status = 201, body = Organization),
        (status = 400, description = "Not JSON, or the external id is taken", body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<App>,
    WriteOrganizations(caller): WriteOrganizations,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateOrganization>>,
) -> Result<Answer, Error> {
    let metadata = body.metadata.unwrap_or_default();
    let domains = named_domains(body.domains, body.domain_data).unwrap_or_default();
    let mut checks = Checks::default();
    checks.text("name", &body.name, NAME_MAX_LENGTH);
    checks.metadata(&metadata);
    check_domains(&mut checks, &domains);
    if let Some(external_id) = &body.external_id {
        checks.external_id(external_id);
    }
    checks.finish()?;

    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let claimed = match idempotency.claim(transaction.conn(), now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => return Ok(answer),
    };
    let id = OrganizationId::generate(now, &mut OsEntropy);
    let organization = organizations::Organization {
        environment_id: caller.environment,
        name: body.name,
        external_id: body.external_id,
        metadata: JsonText(metadata),
        domains: JsonText(domains_of(&id, domains, &[], now)),
        allow_profiles_outside_organization: body.allow_profiles_outside_organization.unwrap_or_default(),
        created_at: now,
        updated_at: now,
        id,
    };
    if !organizations::insert(transaction.conn(), &organization).await? {
        return Err(external_id_taken());
    }
    organizations::index_domains(transaction.conn(), &organization).await?;
    let created = Organization::from(organization);
    let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &created).await?;
    transaction.commit().await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn an_organization_is_shown_as_it_was_given(db: Db) {
            let server = Server::new(db).await;
            let created = server.post("/organizations", json!({
                "name": "Acme", "external_id": "acme-1", "metadata": {"tier": "gold"},
                "domain_data": [{"domain": "Acme.com", "state": "verified"}], "a_field_of_the_future": [1, 2],
            })).await.expect(201);
            assert_eq!(created["object"], "organization");
            assert_eq!(created["external_id"], "acme-1");
            assert_eq!(created["metadata"], json!({"tier": "gold"}));
            assert_eq!(created["domains"][0]["domain"], "acme.com");
            assert_eq!(created["domains"][0]["state"], "verified");
            assert_eq!(created["created_at"], START.to_string());
            assert_eq!(server.get(&format!("/organizations/{}", id_of(&created))).await.expect(200), created);
            assert_eq!(server.get("/organizations/external_id/acme-1").await.expect(200), created);
        }

        async fn two_organizations_cannot_have_one_external_id(db: Db) {
            let server = Server::new(db).await;
            let body = json!({"name": "Acme", "external_id": "acme-1"});
            let first = id_of(&server.post("/organizations", body.clone()).await.expect(201));
            assert_eq!(server.post("/organizations", body.clone()).await.error(400), "external_id_already_used");
            let other = server.organization().await;
            let taken = server.put(&format!("/organizations/{other}"), json!({"external_id": "acme-1"})).await;
            assert_eq!(taken.error(400), "external_id_already_used");
            server.of_another_environment().await.post("/organizations", body.clone()).await.expect(201);
            server.delete(&format!("/organizations/{first}")).await.expect(200);
            server.post("/organizations", body).await.expect(201);
        }

        async fn every_mistake_is_named_at_once(db: Db) {
            let server = Server::new(db).await;
            let reply = server.post("/organizations", json!({
                "name": "a\u{0}b", "external_id": "ö", "domains": ["-.com"], "metadata": {"k": "\u{1}"},
            })).await;
            assert_eq!(reply.fields(), ["name", "metadata.k", "domains.0", "external_id"]);
            assert_eq!(server.post("/organizations", json!({"name": "x".repeat(256)})).await.fields(), ["name"]);
            assert_eq!(server.post("/organizations", json!({})).await.fields(), ["name"]);
            assert_eq!(server.get("/organizations").await.expect(200)["data"], json!([]));
        }
    }
}
