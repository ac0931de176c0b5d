use axum::{Json, extract::State};
use shared::{error::ErrorBody, id::OrganizationId};

use super::Organization;
use crate::{
    api::{
        Error,
        access::ReadOrganizations,
        fields::{Checks, DOMAINS_MAX, NAME_MAX_LENGTH},
        list::{List, ListParams, Query},
    },
    app::App,
    storage::organizations::{self, Filter},
};

/// List organizations.
#[utoipa::path(get, path = "/organizations", tag = "organizations",
    params(
        ListParams,
        ("domains" = Option<Vec<String>>, Query, explode = false, description = "Only those with one of these domains."),
        ("search" = Option<String>, Query, description = "Only those with this in their name, in any case."),
    ),
    responses((status = 200, body = List<Organization>), (status = 422, body = ErrorBody)))]
pub async fn list(
    State(app): State<App>,
    ReadOrganizations(caller): ReadOrganizations,
    query: Query,
) -> Result<Json<List<Organization>>, Error> {
    let wanted = query.page::<OrganizationId>()?;
    let filter = filter(&query)?;
    let page = organizations::list(app.db.read().await?.conn(), &caller.environment, &filter, &wanted.page).await?;
    Ok(Json(wanted.answer(page, |row| row.id.as_str(), Organization::from)))
}

fn filter(query: &Query) -> Result<Filter, Error> {
    let search = query.get("search").filter(|text| !text.is_empty());
    let domains: Vec<String> = query.all("domains").into_iter().map(str::to_lowercase).collect();
    let mut checks = Checks::default();
    checks.at_most("search", search.unwrap_or_default(), NAME_MAX_LENGTH);
    checks.require(domains.len() <= DOMAINS_MAX, "domains", "too_long", format!("must be at most {DOMAINS_MAX}"));
    for domain in domains.iter().take(DOMAINS_MAX) {
        checks.at_most("domains", domain, NAME_MAX_LENGTH);
    }
    checks.finish()?;
    Ok(Filter { search: search.map(str::to_owned), domains: (!domains.is_empty()).then_some(domains) })
}
