//! Which permissions the product's customers may put on keys.

pub mod get;
pub mod set;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::storage::{JsonText, environments::OfferedPermissions};

/// Which permissions customers may put on keys. A list that is left out or null offers every permission.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyPermissions {
    /// On their organizations' keys.
    #[serde(default)]
    organization: Option<Vec<String>>,
    /// On their users' keys.
    #[serde(default)]
    user: Option<Vec<String>>,
}

impl From<OfferedPermissions> for ApiKeyPermissions {
    fn from(row: OfferedPermissions) -> Self {
        let list = |list: Option<JsonText<Vec<String>>>| list.map(|list| list.0);
        Self { organization: list(row.organization_key_permissions), user: list(row.user_key_permissions) }
    }
}
