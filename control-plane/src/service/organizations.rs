//! Organizations: the customers of the product.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use shared::{
    Rfc3339, Timestamp,
    entropy::Entropy,
    feed::{Effect, Scope},
    id::{EnvironmentId, OrganizationDomainId, OrganizationId},
};
use tracing::Instrument;
use utoipa::ToSchema;

use super::{
    Change, Database, Entity, Error, Refusal, Result, Transaction,
    fields::{self, Checks, DOMAINS_MAX, NAME_MAX_LENGTH, merge_metadata, or_null},
    targets::{batch, target_roles},
};
use crate::{
    events::{EventType, changes},
    storage::{
        Conn, FairTurns, JsonText, Page, PageRequest, api_keys, as_caller, current_caller, memberships,
        organizations::{self as rows, Domain, DomainState, Filter, Organization},
        roles,
    },
};

/// How long a search waits for others.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// An organization to create.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateOrganization {
    /// The display name. At most 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// The domains of the organization, each in the state `pending`. At most 50. Ignored if `domain_data` is sent.
    #[serde(default)]
    domains: Option<Vec<String>>,
    /// The domains of the organization, with their states. At most 50.
    #[serde(default)]
    domain_data: Option<Vec<DomainData>>,
    /// Your own key-value pairs: at most 50, with keys of at most 40 and values of at most 600 characters.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    /// Your own id for the organization: 1 to 128 printable ASCII characters, unique among the organizations of the
    /// environment.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<String>,
    /// Stored for compatibility with WorkOS. It has no effect. Default: false.
    #[serde(default)]
    allow_profiles_outside_organization: Option<bool>,
}

/// Changes to an organization. Omitted fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateOrganization {
    /// The display name. At most 255 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// All domains of the organization, each in the state `pending`. At most 50. Ignored if `domain_data` is sent.
    #[serde(default)]
    domains: Option<Vec<String>>,
    /// All domains of the organization, with their states. At most 50.
    #[serde(default)]
    domain_data: Option<Vec<DomainData>>,
    /// Key-value pairs to add or replace. A null value removes its entry; null instead of the object removes all
    /// entries.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// Your own id for the organization: 1 to 128 printable ASCII characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<Option<String>>,
    /// Stored for compatibility with WorkOS. It has no effect.
    #[serde(default)]
    allow_profiles_outside_organization: Option<bool>,
}

/// A domain of an organization and its state.
#[derive(Debug, Deserialize, ToSchema)]
pub struct DomainData {
    /// The domain, such as `example.com`.
    domain: String,
    /// Whether you have verified the domain.
    state: DomainState,
}

/// An organization that can be created.
#[derive(Debug)]
pub struct NewOrganization {
    name: String,
    external_id: Option<String>,
    metadata: BTreeMap<String, String>,
    domains: Vec<DomainData>,
    allow_profiles_outside_organization: bool,
}

impl CreateOrganization {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<NewOrganization> {
        let metadata = self.metadata.unwrap_or_default();
        let mut checks = Checks::default();
        checks.text("name", &self.name, NAME_MAX_LENGTH);
        checks.metadata(&metadata);
        let domains = named_domains(&mut checks, self.domains, self.domain_data).unwrap_or_default();
        if let Some(external_id) = &self.external_id {
            checks.external_id(external_id);
        }
        checks.finish()?;
        let allow_profiles_outside_organization = self.allow_profiles_outside_organization.unwrap_or_default();
        let (name, external_id) = (self.name, self.external_id);
        Ok(NewOrganization { name, external_id, metadata, domains, allow_profiles_outside_organization })
    }
}

/// Creates an organization.
///
/// # Errors
/// If its external id is taken, or the database fails.
pub async fn create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    new: NewOrganization,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(Organization, Change)> {
    let id = OrganizationId::generate(now, entropy);
    let organization = Organization {
        environment_id: environment.clone(),
        name: new.name,
        external_id: new.external_id,
        metadata: JsonText(new.metadata),
        domains: JsonText(domains_of(&id, new.domains, &[], now, entropy)),
        allow_profiles_outside_organization: new.allow_profiles_outside_organization,
        created_at: now,
        updated_at: now,
        id,
    };
    if !rows::insert(transaction.conn(), &organization).await? {
        return Err(Refusal::OrganizationExternalIdTaken.into());
    }
    rows::index_domains(transaction.conn(), &organization).await?;
    let event = changes::organization(EventType::OrganizationCreated, &organization)?;
    Ok((organization, Change::local(event)))
}

/// The organization with this id.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &OrganizationId) -> Result<Organization> {
    rows::get(conn, environment, id).await?.ok_or(Error::NotFound(Entity::Organization))
}

/// The organization with this external id.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get_by_external_id(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    external_id: &str,
) -> Result<Organization> {
    let organization = rows::by_external_id(conn, environment, external_id).await?;
    organization.ok_or(Error::NotFound(Entity::Organization))
}

/// Which organizations a list shows: those with a text in their name, and those that have one of some domains.
///
/// # Errors
/// If the text or the domains are too long, or there are too many domains.
pub fn filter(search: Option<&str>, domains: &[&str]) -> Result<Filter> {
    let search = search.filter(|text| !text.is_empty());
    let domains: Vec<String> = domains.iter().map(|domain| domain.to_lowercase()).collect();
    let mut checks = Checks::default();
    checks.at_most("search", search.unwrap_or_default(), NAME_MAX_LENGTH);
    checks.at_most_items("domains", domains.len(), DOMAINS_MAX);
    for domain in domains.iter().take(DOMAINS_MAX) {
        checks.at_most("domains", domain, NAME_MAX_LENGTH);
    }
    checks.finish()?;
    Ok(Filter { search: search.map(str::to_owned), domains: (!domains.is_empty()).then_some(domains) })
}

/// A page of the organizations of an environment.
///
/// A search reads all of them. Few run at once, so that connections are left for everybody else, and a search waits without
/// one. A search whose caller went away runs to its end in the database, so it keeps its turn until then.
///
/// # Errors
/// If the database fails.
pub async fn list(
    database: &Database,
    searches: &FairTurns,
    environment: &EnvironmentId,
    filter: Filter,
    page: &PageRequest,
) -> Result<Page<Organization>> {
    if filter.search.is_none() {
        return Ok(rows::list(database.read().await?.conn(), environment, &filter, page).await?);
    }
    let turn = searches.turn(SEARCH_TIMEOUT).await?;
    let (database, environment, page) = (database.clone(), environment.clone(), page.clone());
    let search = async move {
        let page = rows::list(database.read().await?.conn(), &environment, &filter, &page).await;
        drop(turn);
        page
    };
    let search = as_caller(current_caller(), search).in_current_span();
    Ok(tokio::spawn(search).await.map_err(|error| Error::Internal(error.into()))??)
}

/// Updates an organization.
///
/// # Errors
/// If there is none, a field is not acceptable, its external id is taken, or the database fails.
pub async fn update(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &OrganizationId,
    changes: UpdateOrganization,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(Organization, Change)> {
    let before = rows::lock(transaction.conn(), environment, id).await?;
    let before = before.ok_or(Error::NotFound(Entity::Organization))?;
    let after = updated(before.clone(), changes, now, entropy)?;
    if after == (Organization { updated_at: now, ..before.clone() }) {
        return Ok((before, Change::nothing()));
    }
    if !rows::update(transaction.conn(), &after).await? {
        return Err(Refusal::OrganizationExternalIdTaken.into());
    }
    rows::index_domains(transaction.conn(), &after).await?;
    let event = changes::organization(EventType::OrganizationUpdated, &after)?;
    Ok((after, Change::local(event)))
}

fn updated(
    mut organization: Organization,
    changes: UpdateOrganization,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<Organization> {
    let mut checks = Checks::default();
    if let Some(name) = changes.name {
        checks.text("name", &name, NAME_MAX_LENGTH);
        organization.name = name;
    }
    if let Some(named) = named_domains(&mut checks, changes.domains, changes.domain_data) {
        organization.domains.0 = domains_of(&organization.id, named, &organization.domains.0, now, entropy);
    }
    if let Some(metadata) = changes.metadata {
        merge_metadata(&mut organization.metadata.0, metadata);
        checks.metadata(&organization.metadata.0);
    }
    if let Some(external_id) = changes.external_id {
        checks.external_id(external_id.as_deref().unwrap_or("none"));
        organization.external_id = external_id;
    }
    if let Some(allow) = changes.allow_profiles_outside_organization {
        organization.allow_profiles_outside_organization = allow;
    }
    checks.finish()?;
    organization.updated_at = now;
    Ok(organization)
}

/// Deletes an organization with its roles and memberships, and revokes all of its keys.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn delete(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &OrganizationId,
    now: Timestamp,
) -> Result<Change> {
    let scope = Scope::Organization(id);
    let Some(before) = rows::lock(transaction.conn(), environment, id).await? else {
        let earlier = transaction.unacknowledged(&scope, environment).await?;
        return earlier.ok_or(Error::NotFound(Entity::Organization));
    };
    let batch = batch(&scope, now);
    memberships::target_all_of_organization(transaction.conn(), &batch, id).await?;
    let roles = roles::list_of_organization(transaction.conn(), id).await?;
    target_roles(transaction, &batch, EventType::OrganizationRoleDeleted, roles).await?;
    let generation = rows::delete(transaction.conn(), environment, id, now).await?;
    let generation = generation.ok_or(Error::NotFound(Entity::Organization))?;
    let reason = "organization_deleted";
    api_keys::revoke_all_of_organization(transaction.conn(), environment, id, reason, &batch, now).await?;
    let event = changes::organization(EventType::OrganizationDeleted, &before)?.with_targets(batch);
    Ok(Change::scope(&scope, environment, generation, Effect::Revoke, event))
}

/// The domains of a request, in whichever of the two ways it names them. `None` if it names none at all.
fn named_domains(
    checks: &mut Checks,
    domains: Option<Vec<String>>,
    domain_data: Option<Vec<DomainData>>,
) -> Option<Vec<DomainData>> {
    let pending = |domain| DomainData { domain, state: DomainState::Pending };
    let (field, place) = if domain_data.is_some() { ("domain_data", ".domain") } else { ("domains", "") };
    let mut named = domain_data.or_else(|| domains.map(|domains| domains.into_iter().map(pending).collect()))?;
    for domain in &mut named {
        domain.domain = domain.domain.trim().to_lowercase();
    }
    let is_invalid = |(_, named): &(usize, &DomainData)| !fields::is_domain(&named.domain);
    for (at, _) in named.iter().enumerate().filter(is_invalid).take(DOMAINS_MAX) {
        let message = "must be a domain name, such as example.com";
        checks.require(false, &format!("{field}.{at}{place}"), "invalid", message);
    }
    named.sort_by(|a, b| a.domain.cmp(&b.domain));
    named.dedup_by(|a, b| a.domain == b.domain);
    checks.at_most_items(field, named.len(), DOMAINS_MAX);
    Some(named)
}

/// Domains that existed before keep their id and their creation time.
fn domains_of(
    organization: &OrganizationId,
    named: Vec<DomainData>,
    before: &[Domain],
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Vec<Domain> {
    let domain_of = |named: DomainData| {
        let old = before.iter().find(|old| old.domain == named.domain);
        let unchanged = old.filter(|old| old.state == named.state);
        Domain {
            object: "organization_domain".to_owned(),
            id: old.map_or_else(|| OrganizationDomainId::generate(now, entropy), |old| old.id.clone()),
            organization_id: organization.clone(),
            domain: named.domain,
            state: named.state,
            created_at: old.map_or(Rfc3339(now), |old| old.created_at),
            updated_at: unchanged.map_or(Rfc3339(now), |old| old.updated_at),
        }
    };
    named.into_iter().map(domain_of).collect()
}
