//! When keys expire: the expiry policy of their organization, for every use case that creates a key or extends its life.

use shared::{Timestamp, error::FieldError};

use crate::{
    service::{Refusal, Result},
    storage::{api_keys::ApiKey, expiry_policies::ExpiryPolicy},
};

/// When a new key expires: as requested, else as the policy says, else after this many milliseconds.
pub fn of_new_key(
    policy: &ExpiryPolicy,
    wanted: Option<Timestamp>,
    otherwise: Option<i64>,
    now: Timestamp,
) -> std::result::Result<Option<Timestamp>, FieldError> {
    let latest = latest(policy, now);
    let Some(wanted) = wanted else {
        let lifetime = policy.default_lifetime_seconds.map(millis).or(otherwise);
        let usual = lifetime.map(|lifetime| now.plus_millis(lifetime));
        return Ok(usual.into_iter().chain(latest).min());
    };
    if wanted <= now {
        return Err(FieldError::new("expires_at", "invalid", "must be in the future"));
    }
    if latest.is_some_and(|latest| wanted > latest) { Err(too_late(policy)) } else { Ok(Some(wanted)) }
}

/// Whether the policy allows a key to expire at this time. An earlier time than the present one is always allowed, and so is the
/// present one, whatever the policy was when it was set.
pub fn of_key(
    policy: &ExpiryPolicy,
    created_at: Timestamp,
    has: Option<Timestamp>,
    wanted: Option<Timestamp>,
) -> std::result::Result<(), FieldError> {
    let is_longer = |than: Timestamp| wanted.is_none_or(|wanted| wanted > than);
    let beyond_policy = latest(policy, created_at).is_some_and(is_longer);
    if beyond_policy && has.is_some_and(is_longer) { Err(too_late(policy)) } else { Ok(()) }
}

/// When a key expires after a call has changed that. A time in the past means now. An expired key stays expired; but a call that
/// repeats the one that expired it changes nothing and succeeds, until that was acknowledged.
pub fn changed(
    policy: &ExpiryPolicy,
    key: &ApiKey,
    is_acknowledged: bool,
    wanted: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let has_expired = key.expires_at.is_some_and(|at| at <= now);
    let is_repeated = !is_acknowledged && wanted.is_some_and(|at| at <= now);
    if has_expired && is_repeated {
        return Ok(key.expires_at);
    }
    if has_expired {
        return Err(Refusal::ApiKeyExpired.into());
    }
    let wanted = wanted.map(|at| at.max(now));
    of_key(policy, key.created_at, key.expires_at, wanted)?;
    Ok(wanted)
}

fn latest(policy: &ExpiryPolicy, since: Timestamp) -> Option<Timestamp> {
    policy.max_lifetime_seconds.map(|seconds| since.plus_millis(millis(seconds)))
}

fn too_late(policy: &ExpiryPolicy) -> FieldError {
    let seconds = policy.max_lifetime_seconds.unwrap_or_default();
    let message = format!("must not be later: keys of this organization live for at most {seconds} seconds");
    FieldError::new("expires_at", "beyond_policy", message)
}

const fn millis(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of the policy, and of every moment since the key was created.
    type Seconds = Option<i64>;

    fn policy(max: Seconds, default: Seconds) -> ExpiryPolicy {
        ExpiryPolicy { max_lifetime_seconds: max, default_lifetime_seconds: default }
    }

    const CREATED: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        CREATED.plus_millis(millis(seconds))
    }

    #[test]
    fn a_new_key_expires_as_wanted_within_the_policy_or_as_the_policy_says() {
        // The longest lifetime, the default, what is wanted, what the old key had, and what comes of it.
        type Row = (Seconds, Seconds, Seconds, Seconds, std::result::Result<Seconds, &'static str>);
        let rows: [Row; 17] = [
            (None, None, None, None, Ok(None)),
            (None, None, Some(500), None, Ok(Some(500))),
            (None, None, Some(0), None, Err("invalid")),
            (None, None, Some(-1), None, Err("invalid")),
            (None, None, None, Some(70), Ok(Some(70))),
            (None, Some(60), None, None, Ok(Some(60))),
            (None, Some(60), None, Some(70), Ok(Some(60))),
            (None, Some(60), Some(500), None, Ok(Some(500))),
            (Some(100), None, None, None, Ok(Some(100))),
            (Some(100), None, None, Some(70), Ok(Some(70))),
            (Some(100), None, None, Some(700), Ok(Some(100))),
            (Some(100), Some(60), None, None, Ok(Some(60))),
            (Some(100), Some(100), None, None, Ok(Some(100))),
            (Some(100), Some(60), Some(99), None, Ok(Some(99))),
            (Some(100), Some(60), Some(100), None, Ok(Some(100))),
            (Some(100), Some(60), Some(101), None, Err("beyond_policy")),
            (Some(3_153_600_000), None, None, Some(i64::MAX), Ok(Some(3_153_600_000))),
        ];
        for row in rows {
            let (max, default, wanted, had, expected) = row;
            let had = had.map(millis);
            let found = of_new_key(&policy(max, default), wanted.map(at), had, CREATED);
            let found = found.as_ref().map(|at| *at).map_err(|error| error.code.as_str());
            assert_eq!(found, expected.map(|seconds| seconds.map(at)), "{row:?}");
        }
    }

    #[test]
    fn a_key_lives_longer_only_within_the_policy_and_shorter_always() {
        // The longest lifetime, what the key has, what is wanted, and whether it may.
        let rows: [(Seconds, Seconds, Seconds, bool); 14] = [
            (None, Some(50), None, true),
            (None, Some(50), Some(5_000), true),
            (Some(100), Some(50), Some(100), true),
            (Some(100), Some(50), Some(101), false),
            (Some(100), Some(50), None, false),
            (Some(100), Some(50), Some(10), true),
            (Some(100), Some(500), Some(400), true),
            (Some(100), Some(500), Some(500), true),
            (Some(100), Some(500), Some(501), false),
            (Some(100), Some(500), None, false),
            (Some(100), None, Some(5_000), true),
            (Some(100), None, Some(50), true),
            (Some(100), None, None, true),
            (None, None, None, true),
        ];
        for row in rows {
            let (max, has, wanted, may) = row;
            let found = of_key(&policy(max, Some(60)), CREATED, has.map(at), wanted.map(at));
            assert_eq!(found.is_ok(), may, "{row:?}");
        }
    }
}
