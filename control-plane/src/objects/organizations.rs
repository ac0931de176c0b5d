//! Organizations.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{Rfc3339, id::OrganizationId};
use utoipa::ToSchema;

use crate::storage::organizations::{self as rows, Domain};

/// An organization: a customer of your product.
#[derive(Debug, Serialize, ToSchema)]
pub struct Organization {
    /// Always `organization`.
    object: &'static str,
    /// The id of the organization.
    id: OrganizationId,
    /// The display name.
    name: String,
    /// The domains of the organization, sorted by name.
    domains: Vec<Domain>,
    /// Your own key-value pairs.
    metadata: BTreeMap<String, String>,
    /// Your own id for the organization. Null if it has none.
    #[schema(required)]
    external_id: Option<String>,
    /// Stored for compatibility with WorkOS. It has no effect.
    allow_profiles_outside_organization: bool,
    /// When the organization was created.
    created_at: Rfc3339,
    /// When the organization was last changed.
    updated_at: Rfc3339,
}

impl From<rows::Organization> for Organization {
    fn from(row: rows::Organization) -> Self {
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
