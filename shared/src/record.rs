//! What the edge stores of a key: all that a decision and an answer need, and never the key itself.

use std::{borrow::Cow, collections::BTreeMap};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId, ManagementKeyId, MembershipId, OrganizationId, RoleId, UserId},
    key::Prefix,
    permission,
};

/// The state of one key at one version.
///
/// Fields that are usually empty are left out of the JSON. A Worker ignores fields that it does not know, so an older
/// one reads newer records; a new field that *narrows* what a key may do therefore needs a new version of the codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The tenant.
    pub environment: EnvironmentId,
    /// What people call the key.
    pub name: String,
    /// What people may see of its text.
    pub obfuscated_value: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Until when it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Whether it is refused for the time being.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// Set for ever once the key is revoked: the record is then a tombstone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
    /// Goes up with every change.
    pub version: Version,
    /// When this record was made from the database.
    pub sealed_at: Timestamp,
    /// The state of all that the key depends on when the record was made.
    #[serde(default, skip_serializing_if = "Generations::is_initial")]
    pub generations: Generations,
    /// What the key is for.
    pub grant: Grant,
}

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A customer's key.
    ApiKey(ApiKeyGrant),
    /// A key of the product's own back end.
    ManagementKey(ManagementKeyGrant),
}

/// What a customer's key carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyGrant {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub owner: Owner,
    /// The slugs of what it may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// The resources that it is limited to; none means no limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The addresses that it may be used from; none means anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_allow_list: Vec<IpNet>,
    /// The product's own notes, 2 KB at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its last use, as far as it was known when the record was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// What a user's key is limited by. An organization's has none; a user's without any is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<Membership>,
}

/// That a user belongs to an organization, as it was when the record was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// How often it was changed.
    pub generation: i64,
    /// Whether its keys are refused for the time being.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inactive: bool,
    /// What the user is in the organization.
    pub role: Role,
}

/// A role, and all that it allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// How often it was changed.
    pub generation: i64,
    /// The slugs of what it allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

/// What a management key carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementKeyGrant {
    /// Its id.
    pub id: ManagementKeyId,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Every prefix that its environment's keys ever had.
    pub prefixes: Vec<Prefix>,
    /// Whether its environment has imported keys, whose shape is not ours.
    #[serde(default, skip_serializing_if = "is_false")]
    pub accepts_foreign: bool,
}

/// The owner of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum Owner {
    /// An organization.
    Organization {
        /// The id of the organization.
        id: OrganizationId,
    },
    /// A user, in one organization.
    User {
        /// The id of the user.
        id: UserId,
        /// The id of the organization that the key works in.
        organization_id: OrganizationId,
    },
}

/// When and why a key was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// Why, in a word: `deleted`, `organization_deleted`, …
    pub reason: String,
}

impl Revoked {
    /// A revocation at this time, for this reason.
    #[must_use]
    pub fn new(reason: &str, at: Timestamp) -> Self {
        Self { at, reason: reason.to_owned() }
    }
}

/// Orders the states of one key. It never goes back, not even after a backup was restored, because it follows the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "server", derive(sqlx::Type), sqlx(transparent))]
pub struct Version(pub i64);

impl Version {
    /// The version of a key that is created now.
    #[must_use]
    pub const fn first(now: Timestamp) -> Self {
        Self(now.as_millis())
    }

    /// The version of a change that is made now.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self(self.0.saturating_add(1).max(now.as_millis()))
    }
}

/// How often each thing that a key depends on was narrowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Generations {
    /// Its environment.
    pub environment: i64,
    /// Its organization.
    pub organization: i64,
}

impl Generations {
    fn is_initial(&self) -> bool {
        *self == Self::default()
    }
}

impl Owner {
    /// The organization in which the key is.
    #[must_use]
    pub const fn organization(&self) -> &OrganizationId {
        match self {
            Self::Organization { id } => id,
            Self::User { organization_id, .. } => organization_id,
        }
    }
}

impl ApiKeyGrant {
    /// What the key may do: of a user's, what both the key and the user's role allow.
    #[must_use]
    pub fn effective_permissions(&self) -> Cow<'_, [String]> {
        match (&self.owner, &self.membership) {
            (Owner::Organization { .. }, _) => Cow::Borrowed(&self.permissions),
            (Owner::User { .. }, Some(membership)) => {
                Cow::Owned(permission::of_both(&self.permissions, &membership.role.permissions))
            }
            (Owner::User { .. }, None) => Cow::Owned(vec![]),
        }
    }

    /// Whether it is a user's who is no active member of the organization.
    #[must_use]
    pub fn is_without_member(&self) -> bool {
        let is_users = matches!(self.owner, Owner::User { .. });
        is_users && self.membership.as_ref().is_none_or(|membership| membership.inactive)
    }

    pub(crate) fn change_membership(&mut self, change: impl FnOnce(&mut Membership)) {
        if let Some(membership) = &mut self.membership {
            change(membership);
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Record {
    pub(crate) fn revoke(&mut self, reason: &str) {
        self.revoked = Some(Revoked { at: self.updated_at, reason: reason.to_owned() });
    }

    /// A customer's key as the documentation and the golden vectors show it.
    ///
    /// # Panics
    /// Never: its ids are constants of the right form.
    #[must_use]
    #[expect(clippy::expect_used, reason = "constants, checked by the doctest of the crate")]
    pub fn example() -> Self {
        let created_at = Timestamp::from_millis(1_768_478_400_000);
        let id = |text: &str| format!("{text}_01KF0JZ4G0000000000000000A");
        Self {
            environment: id("environment").try_into().expect("an id"),
            name: "Production".into(),
            obfuscated_value: "lk_live_…1a2B".into(),
            created_at,
            updated_at: created_at,
            expires_at: Some(Timestamp::from_millis(1_893_456_000_000)),
            not_before: None,
            disabled: false,
            revoked: None,
            version: Version::first(created_at),
            sealed_at: created_at,
            generations: Generations::default(),
            grant: Grant::ApiKey(ApiKeyGrant {
                id: id("api_key").try_into().expect("an id"),
                owner: Owner::Organization { id: id("org").try_into().expect("an id") },
                permissions: vec!["posts:read".into()],
                resources: vec![],
                ip_allow_list: vec![],
                metadata: BTreeMap::new(),
                last_used_at: None,
                membership: None,
            }),
        }
    }
}
