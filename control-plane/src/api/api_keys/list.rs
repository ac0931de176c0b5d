use std::collections::HashSet;

use axum::{Json, extract::State};
use shared::{
    Timestamp,
    error::FieldError,
    id::{ApiKeyId, OrganizationId},
};
use utoipa::{IntoParams, ToSchema};

use super::ShownApiKey;
use crate::{
    api::{
        Error,
        access::ReadApiKeys,
        list::{List, ListParams, Query, Wanted},
        path::InPath,
    },
    app::App,
    storage::{
        self, Conn, Page,
        api_keys::{self, ApiKey, Which},
        organizations, outbox,
    },
};

/// What else a list of keys can be asked for, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `which` reads the parameter")]
pub struct IncludeParams {
    /// `revoked`: show revoked keys too.
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

/// List an organization's API keys, without the revoked ones unless they are asked for.
#[utoipa::path(get, path = "/organizations/{organization_id}/api_keys", tag = "api_keys",
    operation_id = "listOrganizationApiKeys", security(("management_key" = ["api_keys:read"])),
    params(("organization_id" = OrganizationId, Path), ListParams, IncludeParams),
    responses((status = 200, body = List<ShownApiKey>)))]
pub async fn list(
    State(app): State<App>,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(organization): InPath<OrganizationId>,
    query: Query,
) -> Result<Json<List<ShownApiKey>>, Error> {
    let wanted = query.page::<ApiKeyId>()?;
    let which = which(&query)?;
    let environment = &caller.environment;
    let mut db = app.db.read().await?;
    if organizations::get(db.conn(), environment, &organization).await?.is_none() {
        return Err(Error::not_found("Organization"));
    }
    let page = api_keys::list_of_organization(db.conn(), environment, &organization, which, &wanted.page).await?;
    answer(&app, db.conn(), &wanted, page).await.map(Json)
}

/// The answer that shows a page of keys, whose ever they are.
pub async fn answer(
    app: &App,
    conn: Conn<'_>,
    wanted: &Wanted,
    page: Page<ApiKey>,
) -> Result<List<ShownApiKey>, Error> {
    let propagating = match app.edge {
        Some(_) => propagating(conn, &page).await?,
        None => HashSet::new(),
    };
    let now = app.clock.now();
    Ok(wanted.answer(page, |row| row.id.as_str(), |row| show(row, &propagating, now)))
}

/// Whether revoked keys are asked for.
pub fn which(query: &Query) -> Result<Which, Error> {
    match query.all("include").as_slice() {
        [] => Ok(Which::Unrevoked),
        named if named.iter().all(|name| *name == "revoked") => Ok(Which::All),
        _ => Err(FieldError::new("include", "invalid", "must be `revoked`").into()),
    }
}

/// The revoked keys of a page that the edge has yet to be told of.
async fn propagating(conn: Conn<'_>, page: &Page<ApiKey>) -> storage::Result<HashSet<String>> {
    let revoked = page.items.iter().filter(|key| key.revoked_at.is_some());
    let ids: Vec<&str> = revoked.map(|key| key.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(outbox::unfed_of(conn, &ids).await?.into_iter().collect())
}

fn show(row: ApiKey, propagating: &HashSet<String>, now: Timestamp) -> ShownApiKey {
    let is_propagating = propagating.contains(row.id.as_str());
    let shown = ShownApiKey::new(row, now);
    if is_propagating { shown.propagating() } else { shown }
}
