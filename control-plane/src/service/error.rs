//! Why a use case was refused or failed. What each error means in HTTP is said by the routes.

use std::fmt;

use shared::error::FieldError;

use crate::{edge::acknowledge::Unacknowledged, storage::Failure};

/// What a use case returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing in the caller's environment.
    #[error("{0} not found")]
    NotFound(Entity),
    /// Fields of the request are not acceptable.
    #[error("fields are not acceptable: {0:?}")]
    Invalid(Vec<FieldError>),
    /// The request is well-formed, and the state of things does not allow it.
    #[error("{}", .0.message())]
    Refused(Refusal),
    /// The change is committed, and the edge does not have it yet. The caller should repeat the call.
    #[error("the change is not effective at the edge yet")]
    EdgePending,
    /// The change is committed, and the database failed while the edge was waited for. The caller should repeat the call.
    #[error("the change is committed, but the database failed while waiting for the edge: {0}")]
    Unconfirmed(sqlx::Error),
    /// The database cannot serve the call at the moment. The caller should repeat it.
    #[error("{}", .0.message())]
    Unavailable(Failure),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
    /// A defect of ours.
    #[error(transparent)]
    Internal(anyhow::Error),
}

/// What use cases are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`Display` has their names")]
pub enum Entity {
    ApiKey,
    Organization,
    OrganizationMembership,
    Permission,
    Role,
    User,
    WebhookDelivery,
    WebhookEndpoint,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey => "API key",
            Self::Organization => "Organization",
            Self::OrganizationMembership => "Organization membership",
            Self::Permission => "Permission",
            Self::Role => "Role",
            Self::User => "User",
            Self::WebhookDelivery => "Webhook delivery",
            Self::WebhookEndpoint => "Webhook endpoint",
        })
    }
}

impl Error {
    /// A single field is not acceptable.
    pub fn invalid(field: &str, code: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unacknowledged> for Error {
    fn from(error: Unacknowledged) -> Self {
        match error {
            Unacknowledged::Pending => Self::EdgePending,
            Unacknowledged::Storage(error) => Self::Unconfirmed(error),
        }
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $code:literal, $message:literal;)*) => {
        /// What the state of things does not allow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable code that callers compare.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                }
            }
        }
    };
}

refusals! {
    /// An external id belongs to one organization.
    OrganizationExternalIdTaken: "external_id_already_used", "Another organization has this external_id already.";
    /// An external id belongs to one user.
    UserExternalIdTaken: "external_id_already_used", "Another user has this external_id already.";
    /// An e-mail address belongs to one user.
    EmailTaken: "user_creation_error", "Another user has this e-mail address already.";
    /// A slug belongs to one permission of the environment.
    PermissionSlugTaken: "permission_slug_conflict", "A permission with this slug exists already.";
    /// A slug belongs to one role of the environment.
    RoleSlugTaken: "role_slug_conflict", "A role with this slug exists already.";
    /// A slug belongs to one role that an organization can use.
    OrganizationRoleSlugTaken: "organization_role_slug_conflict", "The organization or its environment has a role with this slug already.";
    /// The number of roles is bounded.
    RoleLimitReached: "role_limit_reached", "There cannot be more than 200 roles.";
    /// Members would be left without a role.
    RoleHasAssignments: "role_has_assignments", "Users have this role. Give them another one first.";
    /// There is no such role for members of the organization.
    UnknownRole: "invalid_role", "The organization has no role with this slug.";
    /// A member has one role.
    SeveralRoles: "multiple_roles_not_enabled", "A user has one role in an organization.";
    /// A user belongs to an organization once.
    MembershipExists: "organization_membership_already_exists", "The user is already an active member of this organization.";
    /// Only active members have keys.
    MembershipRequired: "organization_membership_required", "The user must be an active member of the organization to have keys in it.";
    /// An expired key stays expired.
    ApiKeyExpired: "api_key_already_expired", "The API key has expired already.";
    /// A key is rotated once.
    ApiKeyRotated: "api_key_already_rotated", "Another API key has replaced this one already.";
    /// A URL belongs to one endpoint of the environment.
    WebhookEndpointExists: "duplicate_endpoint", "A webhook endpoint with this URL exists already.";
    /// The number of endpoints is bounded.
    WebhookEndpointLimitReached: "webhook_endpoint_limit_reached", "There cannot be more than 50 webhook endpoints.";
    /// A disabled endpoint receives nothing.
    WebhookEndpointDisabled: "webhook_endpoint_disabled", "The webhook endpoint is disabled. Enable it first.";
    /// Only what is in the log can be sent again.
    EventExpired: "event_expired", "The event is older than the retention of events, so it cannot be sent again.";
    /// An endpoint has one replay at a time.
    ReplayInProgress: "replay_in_progress", "Another replay of this webhook endpoint is in progress. Wait until its deliveries are queued.";
    /// Two secrets can be valid at a time.
    SecretOverlapInProgress: "secret_overlap_in_progress", "The previous secret is still valid. Wait until it expires, discard it with DELETE /webhook_endpoints/{id}/previous_secret, or rotate with `overlap_seconds` 0.";
    /// The file of the key cannot be read or created.
    EncryptionKeyUnusable: "encryption_key_unusable", "This server cannot use its encryption key. Its log and `latchkey doctor` say why.";
    /// Secrets that have to be read again are stored encrypted.
    EncryptionKeyRequired: "encryption_key_required", "This server has no encryption key. Set LATCHKEY_ENCRYPTION_KEY for every process, to the output of `openssl rand -base64 32`, and restart.";
}

impl Refusal {
    /// The field of the request that is at fault, if it is one, with the code and the message that it has there.
    #[must_use]
    pub fn field_error(self) -> Option<FieldError> {
        match self {
            Self::EmailTaken => Some(FieldError::new("email", "email_not_available", "is the address of another user")),
            Self::UnknownRole => Some(FieldError::new("role_slug", self.code(), self.message())),
            Self::SeveralRoles => Some(FieldError::new("role_slugs", self.code(), self.message())),
            Self::MembershipRequired => Some(FieldError::new("organization_id", self.code(), self.message())),
            _ => None,
        }
    }
}
