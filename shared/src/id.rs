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
    /// A tenant of this server: staging, production, or one per product.
    EnvironmentId = "environment";
    /// A customer of the product.
    OrganizationId = "org";
    /// A domain of an organization.
    OrganizationDomainId = "org_domain";
    /// A person in an organization.
    UserId = "user";
    /// That a user belongs to an organization.
    MembershipId = "om";
    /// What a user is in an organization.
    RoleId = "role";
    /// A customer's key.
    ApiKeyId = "api_key";
    /// A key of the product's own back end.
    ManagementKeyId = "management_key";
    /// A request whose sender gave it no name.
    RequestId = "req";
    /// A permission that keys can carry.
    PermissionId = "perm";
}
