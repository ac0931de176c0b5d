use axum::{Json, extract::State};
use shared::id::OrganizationId;

use super::Organization;
use crate::{
    api::{Error, access::ReadOrganizations, path::InPath},
    app::App,
    storage::organizations,
};

/// Get an organization.
#[utoipa::path(get, path = "/organizations/{id}", tag = "organizations",
    operation_id = "getOrganization", security(("management_key" = ["organizations:read"])),
    params(("id" = OrganizationId, Path)),
    responses((status = 200, body = Organization)))]
pub async fn get(
    State(app): State<App>,
    ReadOrganizations(caller): ReadOrganizations,
    InPath(id): InPath<OrganizationId>,
) -> Result<Json<Organization>, Error> {
    let organization = organizations::get(app.db.read().await?.conn(), &caller.environment, &id).await?;
    organization.map(|row| Json(row.into())).ok_or_else(|| Error::not_found("Organization"))
}
