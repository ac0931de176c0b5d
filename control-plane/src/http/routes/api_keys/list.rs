use axum::{Json, extract::State};
use shared::{
    error::FieldError,
    id::{ApiKeyId, OrganizationId},
};
use utoipa::{IntoParams, ToSchema};

use super::view;
use crate::{
    http::{
        Error,
        extract::{
            access::ReadApiKeys,
            now::Now,
            path::InPath,
            query::{ListParams, Query},
        },
        list::List,
    },
    objects::api_keys::ManagedApiKey,
    service::api_keys,
    state::AppState,
    storage::api_keys::Which,
};

/// The query parameter of lists of keys, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `which` reads the parameter")]
pub struct IncludeParams {
    /// What to include: `revoked` also returns revoked keys. Default: only keys that are not revoked.
    #[param(inline)]
    include: Option<Include>,
}

/// What a list of keys can include.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "likewise")]
pub enum Include {
    /// Revoked keys.
    Revoked,
}

/// List the API keys of an organization.
///
/// Revoked keys are included only with `include=revoked`. Keys of users are not included.
#[utoipa::path(get, path = "/organizations/{organization_id}/api_keys", tag = "api_keys",
    operation_id = "listOrganizationApiKeys", security(("management_key" = ["api_keys:read"])),
    params(("organization_id" = OrganizationId, Path), ListParams, IncludeParams),
    responses((status = 200, body = List<ManagedApiKey>)))]
pub async fn list(
    State(state): State<AppState>,
    Now(now): Now,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(organization): InPath<OrganizationId>,
    query: Query,
) -> Result<Json<List<ManagedApiKey>>, Error> {
    let (wanted, which) = (query.page::<ApiKeyId>()?, which(&query)?);
    let (database, environment) = (&state.database, &caller.environment);
    let keys = api_keys::list_of_organization(database, environment, &organization, which, &wanted.page).await?;
    Ok(Json(view::list(&wanted, keys, now)))
}

/// Whether revoked keys are requested.
pub fn which(query: &Query) -> Result<Which, Error> {
    match query.all("include").as_slice() {
        [] => Ok(Which::Unrevoked),
        named if named.iter().all(|name| *name == "revoked") => Ok(Which::All),
        _ => Err(FieldError::new("include", "invalid", "must be `revoked`").into()),
    }
}
