//! Whether a key is accepted.

use std::net::IpAddr;

use crate::{
    Timestamp,
    id::EnvironmentId,
    permission::Expression,
    reason::Reason,
    record::{Grant, Record},
};

/// What the key is to be accepted for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The environment in which it is presented.
    pub environment: &'a EnvironmentId,
    /// Where it is used from, if the caller says so.
    pub ip: Option<IpAddr>,
    /// What it must be allowed to do, if the caller demands anything.
    pub permissions: Option<&'a Expression>,
}

impl<'a> Request<'a> {
    /// A request that demands nothing more than a good key of this environment.
    #[must_use]
    pub const fn of_environment(environment: &'a EnvironmentId) -> Self {
        Self { environment, ip: None, permissions: None }
    }
}

/// Accepts the key that this record describes, or says the first reason against it.
///
/// [`Reason::Malformed`] and the usual [`Reason::NotFound`] come before there is a record, from [`crate::key`] and the
/// look-up.
///
/// # Errors
/// The reason why the key is refused.
pub fn decide(record: &Record, request: &Request<'_>, now: Timestamp) -> Result<(), Reason> {
    refuse_if(record.environment != *request.environment, Reason::NotFound)?;
    refuse_if(record.revoked.is_some(), Reason::Revoked)?;
    refuse_if(record.disabled || is_without_member(&record.grant), Reason::Disabled)?;
    refuse_if(record.not_before.is_some_and(|start| now < start), Reason::NotYetValid)?;
    // A key that was made to expire at once has expired, though the clock here may be behind the one that said so.
    refuse_if(record.expires_at.is_some_and(|end| now >= end || record.updated_at >= end), Reason::Expired)?;
    let Grant::ApiKey(key) = &record.grant else {
        return Ok(());
    };
    // A caller that does not say where the key is used from cannot use one that is limited to some addresses.
    let address_fits = key.ip_allow_list.is_empty()
        || request.ip.is_some_and(|ip| key.ip_allow_list.iter().any(|range| range.contains(&ip.to_canonical())));
    refuse_if(!address_fits, Reason::IpNotAllowed)?;
    let may = request.permissions.is_none_or(|needed| needed.is_met_by(&key.effective_permissions()));
    refuse_if(!may, Reason::InsufficientPermissions)
}

fn is_without_member(grant: &Grant) -> bool {
    matches!(grant, Grant::ApiKey(key) if key.is_without_member())
}

const fn refuse_if(condition: bool, reason: Reason) -> Result<(), Reason> {
    if condition { Err(reason) } else { Ok(()) }
}
