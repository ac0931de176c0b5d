//! How long the keys of an organization may live.

use serde::Deserialize;
use shared::id::{EnvironmentId, OrganizationId};
use utoipa::ToSchema;

use super::{Change, Entity, Error, Result, Transaction, fields::Checks};
use crate::{
    events::changes,
    storage::{
        Conn,
        expiry_policies::{self as rows, ExpiryPolicy},
    },
};

/// The shortest lifetime that a policy can name: a minute.
const LIFETIME_MIN_SECONDS: i64 = 60;
/// The longest lifetime that a policy can name: a hundred years of 365 days.
const LIFETIME_MAX_SECONDS: i64 = 100 * 365 * 24 * 60 * 60;

/// The limits on the lifetime of an organization's keys. Both fields are required, so that a typo cannot remove a
/// limit.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SetApiKeyExpiryPolicy {
    /// The maximum lifetime of a key, in seconds: 60 to 3,153,600,000 (100 years). With null there is no limit.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, minimum = 60, maximum = 3_153_600_000_i64)]
    max_lifetime_seconds: Option<i64>,
    /// The lifetime of a key that is created without `expires_at`, in seconds: 60 to 3,153,600,000, and no more than
    /// the maximum. With null it is the maximum.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, minimum = 60, maximum = 3_153_600_000_i64)]
    default_lifetime_seconds: Option<i64>,
}

impl SetApiKeyExpiryPolicy {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(&self) -> Result<ExpiryPolicy> {
        let (max, default) = (self.max_lifetime_seconds, self.default_lifetime_seconds);
        let mut checks = Checks::default();
        for (field, seconds) in [("max_lifetime_seconds", max), ("default_lifetime_seconds", default)] {
            let range = LIFETIME_MIN_SECONDS..=LIFETIME_MAX_SECONDS;
            let in_range = seconds.is_none_or(|seconds| range.contains(&seconds));
            let message = format!("must be from {LIFETIME_MIN_SECONDS} to {LIFETIME_MAX_SECONDS}");
            checks.require(in_range, field, "invalid", message);
        }
        let in_order = default.zip(max).is_none_or(|(default, max)| default <= max);
        checks.require(in_order, "default_lifetime_seconds", "invalid", "must not be above max_lifetime_seconds");
        checks.finish()?;
        Ok(ExpiryPolicy { max_lifetime_seconds: max, default_lifetime_seconds: default })
    }
}

/// The policy of an organization.
///
/// # Errors
/// If there is no such organization, or the database fails.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, organization: &OrganizationId) -> Result<ExpiryPolicy> {
    rows::get(conn, environment, organization).await?.ok_or(Error::NotFound(Entity::Organization))
}

/// Sets the policy of an organization, for keys that are created, rotated or extended from now on.
///
/// # Errors
/// If there is no such organization, or the database fails.
pub async fn set(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    policy: &ExpiryPolicy,
) -> Result<Change> {
    if rows::get(transaction.conn(), environment, organization).await?.as_ref() == Some(policy) {
        return Ok(Change::nothing());
    }
    if !rows::set(transaction.conn(), environment, organization, policy).await? {
        return Err(Error::NotFound(Entity::Organization));
    }
    Ok(Change::local(changes::expiry_policy(environment, organization, policy)?))
}
