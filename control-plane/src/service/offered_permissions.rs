//! Which permissions customers may put on keys.

use serde::{Deserialize, Serialize};
use shared::{Timestamp, id::EnvironmentId};
use utoipa::ToSchema;

use super::{
    Change, Result, Transaction,
    fields::{Checks, without_repeats},
    permissions::require_known,
};
use crate::{
    events::changes,
    storage::{
        Conn, JsonText,
        environments::{self as rows, OfferedPermissions},
    },
};

/// How many permissions a list may have.
const OFFERED_MAX: usize = 500;

/// The permissions that are offered for API keys. If a list is omitted or null, all permissions are offered.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyPermissions {
    /// The slugs of the permissions that keys of organizations can have. At most 500.
    #[serde(default)]
    organization: Option<Vec<String>>,
    /// The slugs of the permissions that keys of users can have. At most 500.
    #[serde(default)]
    user: Option<Vec<String>>,
}

impl From<OfferedPermissions> for ApiKeyPermissions {
    fn from(row: OfferedPermissions) -> Self {
        let list = |list: Option<JsonText<Vec<String>>>| list.map(|list| list.0);
        Self { organization: list(row.organization_key_permissions), user: list(row.user_key_permissions) }
    }
}

impl ApiKeyPermissions {
    /// Removes repeated slugs, and checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<Self> {
        let checked =
            Self { organization: self.organization.map(without_repeats), user: self.user.map(without_repeats) };
        let mut checks = Checks::default();
        for (field, slugs) in checked.lists() {
            checks.slugs(field, slugs, OFFERED_MAX);
        }
        checks.finish()?;
        Ok(checked)
    }

    fn lists(&self) -> [(&'static str, &[String]); 2] {
        [
            ("organization", self.organization.as_deref().unwrap_or_default()),
            ("user", self.user.as_deref().unwrap_or_default()),
        ]
    }
}

/// The permissions that customers may put on keys.
///
/// # Errors
/// If the database fails.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId) -> Result<ApiKeyPermissions> {
    Ok(rows::offered(conn, environment).await?.into())
}

/// Sets the permissions that customers may put on keys from now on. Existing keys keep what they have.
///
/// # Errors
/// If one of them is no permission of the environment, or the database fails.
pub async fn set(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    offered: ApiKeyPermissions,
    now: Timestamp,
) -> Result<(ApiKeyPermissions, Change)> {
    for (field, slugs) in offered.lists() {
        require_known(transaction, environment, slugs, |at| format!("{field}.{at}")).await?;
    }
    let offered = OfferedPermissions {
        organization_key_permissions: offered.organization.map(JsonText),
        user_key_permissions: offered.user.map(JsonText),
    };
    if rows::offered(transaction.conn(), environment).await? == offered {
        return Ok((offered.into(), Change::nothing()));
    }
    rows::set_offered(transaction.conn(), environment, &offered, now).await?;
    let event = changes::offered_permissions(environment, &offered)?;
    Ok((offered.into(), Change::local(event)))
}
