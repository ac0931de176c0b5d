use axum::{Json, extract::State};
use shared::{error::ErrorBody, id::OrganizationId};

use crate::{
    entropy::OsEntropy,
    http::{
        Error,
        extract::{access::WriteOrganizations, body::JsonBody, path::InPath},
    },
    objects::organizations::Organization,
    service::{
        commit,
        organizations::{self, UpdateOrganization},
    },
    state::AppState,
    storage::Priority,
};

/// Update an organization.
///
/// Omitted fields keep their values.
#[utoipa::path(put, path = "/organizations/{id}", tag = "organizations",
    operation_id = "updateOrganization", security(("management_key" = ["organizations:write"])),
    params(("id" = OrganizationId, Path)),
    request_body = UpdateOrganization,
    responses(
        (status = 200, body = Organization),
        (status = 400, description = "The body is not valid JSON, or another organization has this `external_id`.", body = ErrorBody),
    ))]
pub async fn update(
    State(state): State<AppState>,
    WriteOrganizations(caller): WriteOrganizations,
    InPath(id): InPath<OrganizationId>,
    JsonBody(body): JsonBody<UpdateOrganization>,
) -> Result<Json<Organization>, Error> {
    let (environment, entropy) = (&caller.environment, &mut OsEntropy);
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (updated, change) = organizations::update(&mut transaction, environment, &id, body, now, entropy).await?;
    commit(transaction, change, now).await?;
    Ok(Json(updated.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
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
