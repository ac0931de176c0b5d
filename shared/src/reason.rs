//! Why a key is refused: one table for every surface that says so.

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $message:literal;)*) => {
        /// Why a key is refused. The first that holds, in this order, is the one that is said.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = RefusalCode, rename_all = "snake_case"))]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, first match first.
            pub const EVERY: &[Self] = &[$(Self::$name),*];

            /// The stable code that programs compare.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The HTTP status where a refusal is told by one (a validation itself is always 200).
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message),* }
            }
        }
    };
}

reasons! {
    /// Not of the shape of a key of this environment.
    Malformed = "malformed", 401, "This is not an API key. Check that it was copied completely and without typos.";
    /// No such key here.
    NotFound = "not_found", 401, "This API key does not exist.";
    /// Revoked for ever.
    Revoked = "revoked", 401, "This API key was revoked.";
    /// Switched off for the time being, or its user is no active member of the organization.
    Disabled = "disabled", 401, "This API key is disabled.";
    /// Its time has not come.
    NotYetValid = "not_yet_valid", 401, "This API key is not valid yet.";
    /// Its time is over.
    Expired = "expired", 401, "This API key has expired.";
    /// Used from an address that it is not meant for.
    IpNotAllowed = "ip_not_allowed", 403, "This API key cannot be used from this IP address.";
    /// It may not do what was asked.
    InsufficientPermissions = "insufficient_permissions", 403, "This API key lacks a required permission.";
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
