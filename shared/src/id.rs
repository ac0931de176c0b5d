//! Identifiers: a prefix that says what they name, and a ULID, whose order is that of creation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Timestamp, entropy::Entropy};

/// The text is no identifier of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an id of the form {prefix}_01H…")]
pub struct BadId {
    prefix: &'static str,
}

fn new_ulid(now: Timestamp, entropy: &mut impl Entropy) -> ulid::Ulid {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    ulid::Ulid::from_parts(now.as_millis().max(0).unsigned_abs(), u128::from_be_bytes(random))
}

fn ulid_following(last: Option<&str>, now: Timestamp, entropy: &mut impl Entropy) -> ulid::Ulid {
    let id = new_ulid(now, entropy);
    match last.and_then(|last| ulid::Ulid::from_string(last).ok()).filter(|last| *last >= id) {
        // Incremented beyond its random part, it goes on with the next millisecond.
        Some(last) => ulid::Ulid(last.0.saturating_add(1)),
        None => id,
    }
}

/// ULIDs are read in their canonical form alone, so that one thing has one name.
fn is_id(prefix: &str, text: &str) -> bool {
    let ulid = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    ulid.is_some_and(|text| ulid::Ulid::from_string(text).is_ok_and(|ulid| ulid.to_string() == text))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "server", derive(sqlx::Type), sqlx(transparent))]
        #[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(String);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new one.
            pub fn generate(now: Timestamp, entropy: &mut impl Entropy) -> Self {
                Self(format!("{}_{}", Self::PREFIX, new_ulid(now, entropy)))
            }

            /// An id that is greater than the last one, even if the clock stands still or was set back.
            #[must_use]
            pub fn following(last: Option<&Self>, now: Timestamp, entropy: &mut impl Entropy) -> Self {
                let last = last.and_then(|last| last.0.strip_prefix(Self::PREFIX)?.strip_prefix('_'));
                Self(format!("{}_{}", Self::PREFIX, ulid_following(last, now, entropy)))
            }

            /// The least text that an id of this time or later can have, for comparing with ids.
            #[must_use]
            pub fn first_at(time: Timestamp) -> String {
                let ulid = ulid::Ulid::from_parts(time.as_millis().max(0).unsigned_abs(), 0);
                format!("{}_{ulid}", Self::PREFIX)
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                if is_id(Self::PREFIX, &text) { Ok(Self(text)) } else { Err(BadId { prefix: Self::PREFIX }) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// The id of an environment: `environment_` and a ULID.
    EnvironmentId = "environment";
    /// The id of an organization: `org_` and a ULID.
    OrganizationId = "org";
    /// The id of a domain of an organization: `org_domain_` and a ULID.
    OrganizationDomainId = "org_domain";
    /// The id of a user: `user_` and a ULID.
    UserId = "user";
    /// The id of a membership: `om_` and a ULID.
    MembershipId = "om";
    /// The id of a role: `role_` and a ULID.
    RoleId = "role";
    /// The id of an API key: `api_key_` and a ULID.
    ApiKeyId = "api_key";
    /// The id of a management key: `management_key_` and a ULID.
    ManagementKeyId = "management_key";
    /// The id of a request that was sent without one: `req_` and a ULID.
    RequestId = "req";
    /// The id of a permission: `perm_` and a ULID.
    PermissionId = "perm";
    /// The id of an event: `event_` and a ULID. Later events of the log have greater ids.
    EventId = "event";
    /// The id of a webhook endpoint: `we_` and a ULID.
    WebhookEndpointId = "we";
    /// The id of a webhook delivery: `wd_` and a ULID.
    WebhookDeliveryId = "wd";
    /// The id of a replay of webhooks: `wr_` and a ULID.
    WebhookReplayId = "wr";
}

impl EventId {
    /// When the event was added to the log.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        let ulid = self.0.strip_prefix("event_").and_then(|ulid| ulid::Ulid::from_string(ulid).ok());
        let millis = ulid.map_or(0, |ulid| ulid.timestamp_ms());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Repeating;

    #[test]
    fn event_ids_rise_when_the_clock_stands_still_or_goes_back() {
        let mut last: Option<EventId> = None;
        for millis in [5, 5, 5, 4, 9, 1, 1_800_000_000_000, 0] {
            let next = EventId::following(last.as_ref(), Timestamp::from_millis(millis), &mut Repeating(200));
            assert!(last.is_none_or(|last| last < next), "{next}");
            last = Some(next);
        }
    }

    #[test]
    fn event_ids_tell_their_time_and_sort_after_its_first_id() {
        let time = Timestamp::from_millis(1_800_000_000_000);
        let id = EventId::following(None, time, &mut Repeating(0));
        assert_eq!(id.time(), time);
        assert!(EventId::first_at(time).as_str() <= id.as_str());
        assert!(EventId::first_at(time.plus_millis(1)).as_str() > id.as_str());
    }
}
