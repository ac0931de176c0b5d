use axum::extract::State;
use shared::error::ErrorBody;

use crate::{
    http::{
        Error,
        extract::{
            access::WriteOrganizations,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
        },
    },
    objects::organizations::Organization,
    service::organizations::{self, CreateOrganization},
    state::AppState,
};

/// Create an organization.
///
/// Only `name` is required. With an `external_id`, you can find the organization by your own id.
#[utoipa::path(post, path = "/organizations", tag = "organizations",
    operation_id = "createOrganization", security(("management_key" = ["organizations:write"])),
    params(IdempotencyKey),
    request_body = CreateOrganization,
    responses(
        (status = 201, body = Organization),
        (status = 400, description = "The body is not valid JSON, `Idempotency-Key` is invalid, or another organization has this `external_id`.", body = ErrorBody),
    ))]
pub async fn create(
    State(state): State<AppState>,
    WriteOrganizations(caller): WriteOrganizations,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateOrganization>>,
) -> Result<Answer, Error> {
    let new = body.check()?;
    idempotency
        .create(&state, caller.actor(), async |transaction, now, entropy| {
            let (organization, change) =
                organizations::create(transaction, &caller.environment, new, now, entropy).await?;
            Ok((Organization::from(organization), change))
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
            let reply = server.post("/organizations", json!({"name": "a", "domains": ["z.com", "z.com", "-.com"]})).await;
            assert_eq!(reply.fields(), ["domains.2"], "the place in the request");
            let domains = json!([{"domain": "z.com", "state": "pending"}, {"domain": "-.com", "state": "pending"}]);
            let reply = server.post("/organizations", json!({"name": "a", "domain_data": domains})).await;
            assert_eq!(reply.fields(), ["domain_data.1.domain"]);
            assert_eq!(server.post("/organizations", json!({"name": "x".repeat(256)})).await.fields(), ["name"]);
            assert_eq!(server.post("/organizations", json!({})).await.fields(), ["name"]);
            assert_eq!(server.get("/organizations").await.expect(200)["data"], json!([]));
        }
    }
}
