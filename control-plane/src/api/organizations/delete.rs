use axum::{extract::State, http::StatusCode};
use shared::{
    feed::{Effect, Scope},
    id::OrganizationId,
};

use crate::{
    api::{EdgePending, Error, access::WriteOrganizations, path::InPath},
    app::App,
    storage::{Priority, api_keys, organizations},
};

/// Delete an organization with its roles and memberships, and revoke every key of it for ever.
///
/// It answers once the edge has been told.
#[utoipa::path(delete, path = "/organizations/{id}", tag = "organizations",
    operation_id = "deleteOrganization", security(("management_key" = ["organizations:write"])),
    params(("id" = OrganizationId, Path)),
    responses((status = 200, description = "Deleted"), EdgePending))]
pub async fn delete(
    State(app): State<App>,
    WriteOrganizations(caller): WriteOrganizations,
    InPath(id): InPath<OrganizationId>,
) -> Result<StatusCode, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write_as(Priority::Revocation).await?;
    let now = app.clock.now();
    let scope = Scope::Organization(&id);
    let committed = match organizations::delete(transaction.conn(), environment, &id, now).await? {
        Some(generation) => {
            let reason = "organization_deleted";
            api_keys::revoke_all_of_organization(transaction.conn(), environment, &id, reason, now).await?;
            app.commit_scope(transaction, &scope, environment, generation, Effect::Revoke).await?
        }
        None => {
            let pending = app.pending_scope(transaction, &scope, environment).await?;
            pending.ok_or_else(|| Error::not_found("Organization"))?
        }
    };
    app.acknowledge(&committed).await?;
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
