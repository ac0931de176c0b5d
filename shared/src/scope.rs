//! What a management key may do.

use std::{fmt, str::FromStr};

/// The scope that grants every other.
pub const ALL: &str = "*";

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// One thing that a management key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Scope {
            $($(#[$doc])* $name,)*
        }

        impl Scope {
            /// Every scope, in the order in which help and documentation list them.
            pub const EVERY: &[Self] = &[$(Self::$name),*];

            /// Its text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

scopes! {
    /// Validate customers' keys.
    ApiKeysValidate = "api_keys:validate";
    /// See customers' keys.
    ApiKeysRead = "api_keys:read";
    /// Create, expire and revoke customers' keys.
    ApiKeysWrite = "api_keys:write";
    /// See organizations.
    OrganizationsRead = "organizations:read";
    /// Create, change and delete organizations.
    OrganizationsWrite = "organizations:write";
    /// See permissions.
    PermissionsRead = "permissions:read";
    /// Create, change and delete permissions.
    PermissionsWrite = "permissions:write";
    /// See roles.
    RolesRead = "roles:read";
    /// Create, change and delete roles.
    RolesWrite = "roles:write";
    /// See users and their memberships.
    UsersRead = "users:read";
    /// Create, change and delete users and their memberships.
    UsersWrite = "users:write";
    /// See events.
    EventsRead = "events:read";
    /// See webhook endpoints and their deliveries.
    WebhooksRead = "webhooks:read";
    /// Create, change and delete webhook endpoints, and send events again.
    WebhooksWrite = "webhooks:write";
}

impl Scope {
    /// Whether a management key with these scopes may do this. Scopes are kept as text, because an older Worker may
    /// meet one that it does not know.
    pub fn is_granted_by(self, held: &[String]) -> bool {
        held.iter().any(|held| held == ALL || held == self.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No such scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope `{0}`")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let known = Self::EVERY.iter().copied().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| UnknownScope(text.to_owned()))
    }
}
