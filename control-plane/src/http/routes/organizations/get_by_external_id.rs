use axum::{Json, extract::State};

use crate::{
    http::{
        Error,
        extract::{
            access::ReadOrganizations,
            path::{ExternalId, InPath},
        },
    },
    objects::organizations::Organization,
    service::organizations,
    state::AppState,
};

/// Get an organization by its external id.
///
/// Finds the organization by your own id for it.
#[utoipa::path(get, path = "/organizations/external_id/{external_id}", tag = "organizations",
    operation_id = "getOrganizationByExternalId", security(("management_key" = ["organizations:read"])),
    params(("external_id" = String, Path)),
    responses((status = 200, body = Organization)))]
pub async fn get_by_external_id(
    State(state): State<AppState>,
    ReadOrganizations(caller): ReadOrganizations,
    InPath(ExternalId(external_id)): InPath<ExternalId>,
) -> Result<Json<Organization>, Error> {
    let mut reader = state.database.read().await?;
    let found = organizations::get_by_external_id(reader.conn(), &caller.environment, &external_id).await?;
    Ok(Json(found.into()))
}
