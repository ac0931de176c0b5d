use std::net::IpAddr;

use proptest::prelude::*;
use serde::Deserialize;

use super::{Outcome, arbitrary, ensure, equal, property, vectors};
use crate::{
    Timestamp,
    decide::{Request, decide},
    id::EnvironmentId,
    permission::Expression,
    reason::Reason,
    record::{Grant, Owner, Record, Revoked, Version},
};

const GOLDEN: &str = include_str!("../../testdata/decisions.json");

#[derive(Deserialize)]
struct Golden {
    reasons: Vec<GoldenReason>,
    decisions: Vec<Decision>,
    versions: Vec<Versions>,
}

#[derive(Deserialize)]
struct GoldenReason {
    code: String,
    status: u16,
    message: String,
}

#[derive(Deserialize)]
struct Decision {
    name: String,
    record: Record,
    now: Timestamp,
    environment: EnvironmentId,
    ip: Option<IpAddr>,
    permissions: Option<String>,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    version: Version,
    now: Timestamp,
    next: Version,
}

pub fn golden_reasons() -> Outcome {
    let reasons = vectors::<Golden>(GOLDEN)?.reasons;
    equal("how many", reasons.len(), Reason::EVERY.len())?;
    reasons.iter().zip(Reason::EVERY).try_for_each(|(vector, reason)| {
        let found = (reason.code(), reason.status(), reason.message());
        equal("in this order", found, (vector.code.as_str(), vector.status, vector.message.as_str()))?;
        equal("as JSON", serde_json::to_string(reason).ok(), Some(format!("\"{}\"", vector.code)))
    })
}

pub fn golden_decisions() -> Outcome {
    vectors::<Golden>(GOLDEN)?.decisions.iter().try_for_each(|vector| {
        let parse = |text: &String| text.parse::<Expression>().map_err(|bad| format!("{}: {bad}", vector.name));
        let permissions = vector.permissions.as_ref().map(parse).transpose()?;
        let request = Request { environment: &vector.environment, ip: vector.ip, permissions: permissions.as_ref() };
        let refused = decide(&vector.record, &request, vector.now).err().map(Reason::code);
        equal(&vector.name, refused, vector.refused.as_deref())
    })
}

pub fn golden_versions() -> Outcome {
    vectors::<Golden>(GOLDEN)?.versions.iter().try_for_each(|vector| {
        equal(&format!("{:?} at {}", vector.version, vector.now), vector.version.next(vector.now), vector.next)
    })
}

fn ip() -> impl Strategy<Value = Option<IpAddr>> {
    let near = ["10.1.2.3", "192.0.2.7", "2001:db8::1", "::1", "::ffff:10.0.0.1", "203.0.113.9"].map(str::parse);
    prop::option::of(prop::sample::select(near.into_iter().flatten().collect::<Vec<IpAddr>>()))
}

/// A record, a demand, and a moment.
fn question() -> impl Strategy<Value = (Record, Option<IpAddr>, Option<Expression>, Timestamp)> {
    (arbitrary::record(), ip(), prop::option::of(arbitrary::expression()), arbitrary::timestamp())
}

pub fn another_environment_wins() -> Outcome {
    property((question(), arbitrary::environment_id()), |((record, ip, permissions, now), environment)| {
        let request = Request { environment: &environment, ip, permissions: permissions.as_ref() };
        let decided = decide(&record, &request, now);
        ensure("not found", environment == record.environment || decided == Err(Reason::NotFound))
    })
}

pub fn revoked_wins() -> Outcome {
    property((question(), arbitrary::timestamp()), |((mut record, ip, permissions, now), at)| {
        record.revoked = Some(Revoked { at, reason: String::new() });
        let request = Request { environment: &record.environment, ip, permissions: permissions.as_ref() };
        equal("decided", decide(&record, &request, now), Err(Reason::Revoked))
    })
}

pub fn disabled_wins() -> Outcome {
    property(question(), |(mut record, ip, permissions, now)| {
        (record.revoked, record.disabled) = (None, true);
        let request = Request { environment: &record.environment, ip, permissions: permissions.as_ref() };
        equal("decided", decide(&record, &request, now), Err(Reason::Disabled))
    })
}

pub fn only_within_its_time() -> Outcome {
    property(question(), |(record, ip, permissions, now)| {
        let request = Request { environment: &record.environment, ip, permissions: permissions.as_ref() };
        let accepted = |now| decide(&record, &request, now).is_ok();
        if let Some(start) = record.not_before {
            ensure("refused before its start", !accepted(start.plus_millis(-1)))?;
        }
        if let Some(end) = record.expires_at {
            ensure("refused from its end on", !accepted(end) && !accepted(end.plus_millis(1)))?;
            ensure("refused long after", !accepted(Timestamp::from_millis(i64::MAX)))?;
        }
        let starts_later = record.not_before.is_some_and(|start| now < start);
        let is_over = record.expires_at.is_some_and(|end| end <= now);
        ensure("refused now", !accepted(now) || !(starts_later || is_over))
    })
}

pub fn a_demand_dropped_does_no_harm() -> Outcome {
    property(question(), |(record, ip, permissions, now)| {
        let request = Request { environment: &record.environment, ip, permissions: permissions.as_ref() };
        let accepted = decide(&record, &request, now).is_ok();
        let milder = decide(&record, &Request { permissions: None, ..request.clone() }, now);
        ensure("accepted without the permissions", !accepted || milder.is_ok())?;
        let nowhere = decide(&record, &Request { ip: None, ..request }, now);
        ensure("not accepted for want of an address", accepted || nowhere.is_err())
    })
}

pub fn what_is_accepted_has_nothing_against_it() -> Outcome {
    property(question(), |(record, ip, permissions, now)| {
        let request = Request { environment: &record.environment, ip, permissions: permissions.as_ref() };
        let Grant::ApiKey(key) = &record.grant else { return Ok(()) };
        let of_its_address = key.ip_allow_list.is_empty()
            || ip.is_some_and(|ip| key.ip_allow_list.iter().any(|range| range.contains(&ip.to_canonical())));
        let of_its_permissions =
            permissions.as_ref().is_none_or(|needed| needed.is_met_by(&key.effective_permissions()));
        let is_users = matches!(key.owner, Owner::User { .. });
        let against = [
            record.revoked.is_some(),
            record.disabled,
            is_users && key.membership.as_ref().is_none_or(|membership| membership.inactive),
            record.not_before.is_some_and(|start| start > now),
            record.expires_at.is_some_and(|end| end <= now || end <= record.updated_at),
            !of_its_address,
            !of_its_permissions,
        ];
        equal("accepted", decide(&record, &request, now).is_ok(), !against.contains(&true))
    })
}
