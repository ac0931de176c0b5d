use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Deserialize;
use shared::{error::ErrorBody, id::OrganizationId};
use utoipa::ToSchema;

use super::{DomainData, Organization, check_domains, domains_of, external_id_taken, named_domains};
use crate::{
    api::{
        Error,
        access::WriteOrganizations,
        body::{JsonBody, or_null},
        fields::{Checks, NAME_MAX_LENGTH, merge_metadata},
        path::InPath,
    },
    app::App,
    storage::organizations,
};

/// What to change of an organization. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateOrganization {
    /// What people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// All of its domains from now on.
    #[serde(default)]
    domains: Option<Vec<String>>,
    /// All of its domains from now on, with their states.
    #[serde(default)]
    domain_data: Option<Vec<DomainData>>,
    /// Entries to add or replace; a null entry is removed, and null instead of entries removes all.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// What the product calls it; null for nothing.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<Option<String>>,
    #[serde(default)]
    allow_profiles_outside_organization: Option<bool>,
}

/// Update an organization.
#[utoipa::path(put, path = "/organizations/{id}", tag = "organizations",
    operation_id = "updateOrganization", security(("management_key" = ["organizations:write"])),
    params(("id" = OrganizationId, Path)),
    request_body = UpdateOrganization,
    responses(
        (status = 200, body = Organization),
        (status = 400, description = "Not JSON, or the external id is taken", body = ErrorBody),
    ))]
pub async fn update(
    State(app): State<App>,
    WriteOrganizations(caller): WriteOrganizations,
    InPath(id): InPath<OrganizationId>,
    JsonBody(body): JsonBody<UpdateOrganization>,
) -> Result<Json<Organization>, Error> {
    let mut transaction = app.db.write().await?;
    let before = organizations::lock(transaction.conn(), &caller.environment, &id).await?;
    let before = before.ok_or_else(|| Error::not_found("Organization"))?;
    let after = changed(before, body, app.clock.now())?;
    if !organizations::update(transaction.conn(), &after).await? {
        return Err(external_id_taken());
    }
    organizations::index_domains(transaction.conn(), &after).await?;
    transaction.commit().await?;
    Ok(Json(after.into()))
}

fn changed(
    mut organization: organizations::Organization,
    body: UpdateOrganization,
    now: shared::Timestamp,
) -> Result<organizations::Organization, Error> {
    let mut checks = Checks::default();
    if let Some(name) = body.name {
        checks.text("name", &name, NAME_MAX_LENGTH);
        organization.name = name;
    }
    if let Some(named) = named_domains(body.domains, body.domain_data) {
        check_domains(&mut checks, &named);
        organization.domains.0 = domains_of(&organization.id, named, &organization.domains.0, now);
    }
    if let Some(metadata) = body.metadata {
        merge_metadata(&mut organization.metadata.0, metadata);
        checks.metadata(&organization.metadata.0);
    }
    if let Some(external_id) = body.external_id {
        checks.external_id(external_id.as_deref().unwrap_or("none"));
        organization.external_id = external_id;
    }
    if let Some(allow) = body.allow_profiles_outside_organization {
        organization.allow_profiles_outside_organization = allow;
    }
    checks.finish()?;
    organization.updated_at = now;
    Ok(organization)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn what_is_left_out_stays(db: Db) {
            let server = Server::new(db).await;
            let created = server.post("/organizations", json!({
                "name": "Acme", "external_id": "acme-1", "metadata": {"a": "1", "b": "2"}, "domains": ["a.com", "b.com"],
            })).await.expect(201);
            let path = format!("/organizations/{}", id_of(&created));
            server.advance(1000);
            let updated = server.put(&path, json!({"name": "Acme 2"})).await.expect(200);
            assert_eq!(updated["name"], "Acme 2");
            for field in ["external_id", "metadata", "domains", "created_at"] {
                assert_eq!(updated[field], created[field], "{field}");
            }
            assert_ne!(updated["updated_at"], created["updated_at"]);
        }

        async fn metadata_is_merged_and_null_removes(db: Db) {
            let server = Server::new(db).await;
            let created = server.post("/organizations", json!({"name": "Acme", "metadata": {"a": "1", "b": "2"}})).await;
            let path = format!("/organizations/{}", id_of(&created.expect(201)));
            let merged = server.put(&path, json!({"metadata": {"a": null, "c": "3"}})).await.expect(200);
            assert_eq!(merged["metadata"], json!({"b": "2", "c": "3"}));
            let cleared = server.put(&path, json!({"metadata": null, "external_id": null})).await.expect(200);
            assert_eq!((&cleared["metadata"], &cleared["external_id"]), (&json!({}), &json!(null)));
        }

        async fn a_domain_that_stays_keeps_its_id_and_one_that_goes_is_not_found_any_more(db: Db) {
            let server = Server::new(db).await;
            let created = server.post("/organizations", json!({"name": "Acme", "domains": ["a.com", "b.com"]})).await.expect(201);
            let path = format!("/organizations/{}", id_of(&created));
            let updated = server.put(&path, json!({"domains": ["b.com", "c.com"]})).await.expect(200);
            assert_eq!(updated["domains"][0], created["domains"][1]);
            assert_eq!(ids_of(&server.get("/organizations?domains=a.com").await.expect(200)).len(), 0);
            assert_eq!(ids_of(&server.get("/organizations?domains=x.com,c.com").await.expect(200)).len(), 1);
        }
    }
}
