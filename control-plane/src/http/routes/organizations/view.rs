use std::collections::BTreeMap;

use serde::Serialize;
use shared::{Rfc3339, id::OrganizationId};
use utoipa::ToSchema;

use crate::storage::organizations::{self as rows, Domain};

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct Organization {
    /// Always `organization`.
    object: &'static str,
    id: OrganizationId,
    /// The name that people read.
    name: String,
    domains: Vec<Domain>,
    /// Your own data.
    metadata: BTreeMap<String, String>,
    /// Your own id of the organization.
    #[schema(required)]
    external_id: Option<String>,
    /// Stored for compatibility; it has no effect.
    allow_profiles_outside_organization: bool,
    created_at: Rfc3339,
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
