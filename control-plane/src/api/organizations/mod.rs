//! Organizations: the customers of the product.

pub mod create;
pub mod delete;
pub mod expiry_policy;
pub mod get;
pub mod get_by_external_id;
pub mod list;
pub mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{
    Rfc3339, Timestamp,
    id::{OrganizationDomainId, OrganizationId},
};
use utoipa::ToSchema;

use super::{
    Error,
    fields::{self, Checks, DOMAINS_MAX},
};
use crate::{
    entropy::OsEntropy,
    storage::organizations::{self as storage, Domain, DomainState},
};

/// An organization, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Organization {
    /// Always `organization`.
    object: &'static str,
    id: OrganizationId,
    name: String,
    domains: Vec<Domain>,
    metadata: BTreeMap<String, String>,
    /// What the product calls it.
    #[schema(required)]
    external_id: Option<String>,
    /// Kept for clients that ask for it; it changes nothing here.
    allow_profiles_outside_organization: bool,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

impl From<storage::Organization> for Organization {
    fn from(row: storage::Organization) -> Self {
        Self {
            object: "organization",
            id: row.id,
            name: row.name,
            domains: row.domains.0,
            metadata: row.metadata.0,
            external_id: row.external_id,
            allow_profiles_outside_organization: row.allow_profiles_outside_organization,
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
        }
    }
}

/// A domain, as requests name it.
#[derive(Debug, Deserialize, ToSchema)]
pub struct DomainData {
    domain: String,
    state: DomainState,
}

/// The domains of a request, in whichever of the two ways it names them. `None` if it names none at all.
fn named_domains(domains: Option<Vec<String>>, domain_data: Option<Vec<DomainData>>) -> Option<Vec<DomainData>> {
    let pending = |domain| DomainData { domain, state: DomainState::Pending };
    let mut named = domain_data.or_else(|| domains.map(|domains| domains.into_iter().map(pending).collect()))?;
    for domain in &mut named {
        domain.domain = domain.domain.trim().to_lowercase();
    }
    named.sort_by(|a, b| a.domain.cmp(&b.domain));
    named.dedup_by(|a, b| a.domain == b.domain);
    Some(named)
}

fn check_domains(checks: &mut Checks, domains: &[DomainData]) {
    let message = format!("must be at most {DOMAINS_MAX}");
    checks.require(domains.len() <= DOMAINS_MAX, "domains", "too_long", message);
    for (at, domain) in domains.iter().enumerate().take(DOMAINS_MAX) {
        let message = "must be a domain name, such as example.com";
        checks.require(fields::is_domain(&domain.domain), &format!("domains.{at}"), "invalid", message);
    }
}

/// Domains that were there already keep their id and the time of their creation.
fn domains_of(organization: &OrganizationId, named: Vec<DomainData>, before: &[Domain], now: Timestamp) -> Vec<Domain> {
    let domain_of = |named: DomainData| {
        let old = before.iter().find(|old| old.domain == named.domain);
        let unchanged = old.filter(|old| old.state == named.state);
        Domain {
            object: "organization_domain".to_owned(),
            id: old.map_or_else(|| OrganizationDomainId::generate(now, &mut OsEntropy), |old| old.id.clone()),
            organization_id: organization.clone(),
            domain: named.domain,
            state: named.state,
            created_at: old.map_or(Rfc3339(now), |old| old.created_at),
            updated_at: unchanged.map_or(Rfc3339(now), |old| old.updated_at),
        }
    };
    named.into_iter().map(domain_of).collect()
}

fn external_id_taken() -> Error {
    Error::bad_request("external_id_already_used", "Another organization has this external_id already.")
}
