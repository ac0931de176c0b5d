use axum::{Json, extract::State};

use super::Organization;
use crate::{
    api::{
        Error,
        access::ReadOrganizations,
        path::{ExternalId, InPath},
    },
    app::App,
    storage::organizations,
};

/// Get an organization by what the product calls it.
#[utoipa::path(get, path = "/organizations/external_id/{external_id}", tag = "organizations",
    operation_id = "getOrganizationByExternalId", security(("management_key" = ["organizations:read"])),
    params(("external_id" = String, Path)),
    responses((status = 200, body = Organization)))]
pub async fn get_by_external_id(
    State(app): State<App>,
    ReadOrganizations(caller): ReadOrganizations,
    InPath(ExternalId(external_id)): InPath<ExternalId>,
) -> Result<Json<Organization>, Error> {
    let mut db = app.db.read().await?;
    let organization = organizations::by_external_id(db.conn(), &caller.environment, &external_id).await?;
    organization.map(|row| Json(row.into())).ok_or_else(|| Error::not_found("Organization"))
}
