use axum::{extract::State, http::StatusCode};
use shared::{error::ErrorBody, id::OrganizationId};

use crate::{
    api::{Error, access::WriteOrganizations, path::InPath},
    app::App,
    storage::{api_keys, organizations, outbox},
};

/// Delete an organization, and revoke every key of it for ever.
#[utoipa::path(delete, path = "/organizations/{id}", tag = "organizations",
    params(("id" = OrganizationId, Path)),
    responses((status = 200, description = "Deleted"), (status = 404, body = ErrorBody)))]
pub async fn delete(
    State(app): State<App>,
    WriteOrganizations(caller): WriteOrganizations,
    InPath(id): InPath<OrganizationId>,
) -> Result<StatusCode, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    if !organizations::delete(transaction.conn(), environment, &id, now).await? {
        return Err(Error::not_found("Organization", id.as_str()));
    }
    let reason = "organization_deleted";
    let revoked = api_keys::revoke_all_of_organization(transaction.conn(), environment, &id, reason, now).await?;
    outbox::add_all(transaction.conn(), outbox::Kind::ApiKey, &revoked, now).await?;
    transaction.commit().await?;
    app.publisher.notify();
    Ok(StatusCode::OK)
}
