use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        Error,
        extract::{access::ReadOrganizations, path::InPath},
    },
    objects::organizations::Organization,
    service::organizations,
    state::AppState,
};

/// Get an organization.
///
/// Finds the organization by its id in Latchkey.
#[utoipa::path(get, path = "/organizations/{id}", tag = "organizations",
    operation_id = "getOrganization", security(("management_key" = ["organizations:read"])),
    params(("id" = OrganizationId, Path)),
    responses((status = 200, body = Organization)))]
pub async fn get(
    State(state): State<AppState>,
    ReadOrganizations(caller): ReadOrganizations,
    InPath(id): InPath<OrganizationId>,
) -> Result<Json<Organization>, Error> {
    let organization = organizations::get(state.database.read().await?.conn(), &caller.environment, &id).await?;
    Ok(Json(organization.into()))
}
