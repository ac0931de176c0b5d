//! Each type of event.

use std::{fmt, str::FromStr};

macro_rules! event_types {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $origin:ident;)*) => {
        /// A type of event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType {
            $($(#[doc = $doc])* $name,)*
        }

        impl EventType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Who defined it.
            #[must_use]
            pub const fn origin(self) -> Origin {
                match self { $(Self::$name => Origin::$origin),* }
            }
        }
    };
}

/// Who defined a type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// WorkOS, so that its clients can decode it.
    WorkOs,
    /// Latchkey. Readers get it only if they ask for it by name.
    Latchkey,
}

event_types! {
    /// An API key was created.
    ApiKeyCreated = "api_key.created", WorkOs;
    /// The settings of an API key were changed.
    ApiKeyUpdated = "api_key.updated", WorkOs;
    /// An API key was revoked.
    ApiKeyRevoked = "api_key.revoked", WorkOs;
    /// An organization was created.
    OrganizationCreated = "organization.created", WorkOs;
    /// An organization was changed.
    OrganizationUpdated = "organization.updated", WorkOs;
    /// An organization was deleted.
    OrganizationDeleted = "organization.deleted", WorkOs;
    /// A user was created.
    UserCreated = "user.created", WorkOs;
    /// A user was changed.
    UserUpdated = "user.updated", WorkOs;
    /// A user was deleted.
    UserDeleted = "user.deleted", WorkOs;
    /// A user became a member of an organization.
    OrganizationMembershipCreated = "organization_membership.created", WorkOs;
    /// The role or the status of a membership was changed.
    OrganizationMembershipUpdated = "organization_membership.updated", WorkOs;
    /// A membership ended.
    OrganizationMembershipDeleted = "organization_membership.deleted", WorkOs;
    /// A role of the environment was created.
    RoleCreated = "role.created", WorkOs;
    /// A role of the environment was changed.
    RoleUpdated = "role.updated", WorkOs;
    /// A role of an organization was created.
    OrganizationRoleCreated = "organization_role.created", WorkOs;
    /// A role of an organization was changed.
    OrganizationRoleUpdated = "organization_role.updated", WorkOs;
    /// A role of an organization was deleted.
    OrganizationRoleDeleted = "organization_role.deleted", WorkOs;
    /// A permission was created.
    PermissionCreated = "permission.created", WorkOs;
    /// A permission was changed.
    PermissionUpdated = "permission.updated", WorkOs;
    /// A permission was deleted.
    PermissionDeleted = "permission.deleted", WorkOs;
    /// An API key was replaced by a new one.
    ApiKeyRotated = "api_key.rotated", Latchkey;
    /// An API key expires soon.
    ApiKeyExpiring = "api_key.expiring", Latchkey;
    /// An API key has expired.
    ApiKeyExpired = "api_key.expired", Latchkey;
    /// The permissions that customers may put on keys were set.
    ApiKeyPermissionsUpdated = "api_key_permissions.updated", Latchkey;
    /// The expiry policy of an organization was set.
    ApiKeyExpiryPolicyUpdated = "api_key_expiry_policy.updated", Latchkey;
    /// The environment was created.
    EnvironmentCreated = "environment.created", Latchkey;
    /// A management key was created.
    ManagementKeyCreated = "management_key.created", Latchkey;
    /// A management key was restored from the change feed after a backup was restored.
    ManagementKeyUpdated = "management_key.updated", Latchkey;
    /// A management key was revoked.
    ManagementKeyRevoked = "management_key.revoked", Latchkey;
    /// A webhook endpoint was created.
    WebhookEndpointCreated = "webhook_endpoint.created", Latchkey;
    /// A webhook endpoint was changed, or its secret was rotated.
    WebhookEndpointUpdated = "webhook_endpoint.updated", Latchkey;
    /// A webhook endpoint was deleted.
    WebhookEndpointDeleted = "webhook_endpoint.deleted", Latchkey;
    /// A webhook endpoint was disabled, because it kept failing or responded 410.
    WebhookEndpointDisabled = "webhook_endpoint.disabled", Latchkey;
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no such type of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown type of event")]
pub struct UnknownEventType;

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or(UnknownEventType)
    }
}

/// What the names of WorkOS's other event types begin with. Its clients may ask for them, and nothing happens here that they
/// report.
const NEVER_REPORTED: [&str; 18] = [
    "agent.",
    "authentication.",
    "connection.",
    "dsync.",
    "email_verification.",
    "flag.",
    "group.",
    "invitation.",
    "magic_auth.",
    "organization_domain.",
    "password_reset.",
    "pipes.",
    "radar.",
    "role.deleted",
    "session.",
    "vault.",
    "waitlist_user.",
    "action.",
];

/// Whether clients may ask for a type of event: one of ours, or one of WorkOS's.
#[must_use]
pub fn is_known(name: &str) -> bool {
    let is_name = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b));
    name.parse::<EventType>().is_ok() || is_name && NEVER_REPORTED.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_found_by_its_name() {
        for event in EventType::ALL {
            assert_eq!(event.as_str().parse(), Ok(*event));
            assert!(is_known(event.as_str()));
        }
    }

    #[test]
    fn other_types_of_workos_are_known_and_inventions_are_not() {
        for known in ["dsync.user.created", "session.revoked", "role.deleted"] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["", "api_key", "api_key.exploded", "dsync.\u{0}", "user.*", "*"] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
