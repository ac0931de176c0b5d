use axum::{Json, extract::State};
use shared::{
    api_key::ApiKeyObject,
    id::{ApiKeyId, OrganizationId},
};

use super::ShownApiKey;
use crate::{
    api::{
        Error,
        access::ReadApiKeys,
        list::{List, ListParams, Query},
        path::InPath,
    },
    app::App,
    storage::{
        api_keys::{self, Which},
        organizations,
    },
};

/// List an organization's API keys, without the revoked ones.
#[utoipa::path(get, path = "/organizations/{organization_id}/api_keys", tag = "api_keys",
    params(("organization_id" = OrganizationId, Path), ListParams),
    responses((status = 200, body = List<ApiKeyObject>)))]
pub async fn list(
    State(app): State<App>,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(organization): InPath<OrganizationId>,
    query: Query,
) -> Result<Json<List<ShownApiKey>>, Error> {
    let wanted = query.page::<ApiKeyId>()?;
    let environment = &caller.environment;
    let mut db = app.db.read().await?;
    if organizations::get(db.conn(), environment, &organization).await?.is_none() {
        return Err(Error::not_found("Organization", organization.as_str()));
    }
    let page =
        api_keys::list_of_organization(db.conn(), environment, &organization, Which::Unrevoked, &wanted.page).await?;
    let now = app.clock.now();
    Ok(Json(wanted.answer(page, |row| row.id.as_str(), |row| ShownApiKey::new(row, now))))
}
