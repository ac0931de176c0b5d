use axum::{extract::State, http::StatusCode};
use shared::id::OrganizationId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteOrganizations, path::InPath},
    },
    service::{commit, organizations},
    state::AppState,
    storage::Priority,
};

/// Delete an organization.
///
/// Deletes its roles and memberships as well, and revokes all of its API keys. Returns once the edge has the change.
#[utoipa::path(delete, path = "/organizations/{id}", tag = "organizations",
    operation_id = "deleteOrganization", security(("management_key" = ["organizations:write"])),
    params(("id" = OrganizationId, Path)),
    responses((status = 200, description = "The organization is deleted."), EdgePending))]
pub async fn delete(
    State(state): State<AppState>,
    WriteOrganizations(caller): WriteOrganizations,
    InPath(id): InPath<OrganizationId>,
) -> Result<StatusCode, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let change = organizations::delete(&mut transaction, &caller.environment, &id, now).await?;
    commit(transaction, change, now).await?;
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn its_keys_die_with_it_and_no_others(db: Db) {
            let server = Server::new(db).await;
            let (gone, stays) = (server.organization().await, server.organization().await);
            let its_key = server.api_key(&gone, json!({"name": "k"})).await;
            let other_key = server.api_key(&stays, json!({"name": "k"})).await;
            server.delete(&format!("/organizations/{gone}")).await.expect(200);
            assert_eq!(server.validate(its_key["value"].as_str().unwrap()).await["code"], "revoked");
            assert!(server.validate(other_key["value"].as_str().unwrap()).await["api_key"].is_object());
            assert_eq!(server.get(&format!("/api_keys/{}", id_of(&its_key))).await.error(404), "entity_not_found");
            assert_eq!(server.get(&format!("/organizations/{gone}")).await.error(404), "entity_not_found");
            assert_eq!(server.delete(&format!("/organizations/{gone}")).await.error(404), "entity_not_found");
            let keys = format!("/organizations/{gone}/api_keys");
            assert_eq!(server.post(&keys, json!({"name": "k"})).await.error(404), "entity_not_found");
        }
    }
}
