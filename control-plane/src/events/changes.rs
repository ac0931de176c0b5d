//! The event of each change. Its data is the object that responses show, so that one decoder reads both.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Serialize;
use shared::{
    Rfc3339, Timestamp,
    id::{EnvironmentId, ManagementKeyId, OrganizationId},
};

use super::{EventType, NewEvent};
use crate::{
    objects::{
        api_keys::ManagedApiKey,
        memberships::Membership,
        organizations::Organization,
        permissions::Permission,
        roles::{OrganizationRole, Role},
        users::User,
        webhooks::WebhookEndpoint,
    },
    storage::{
        Result, api_keys, environments, expiry_policies, management_keys::ManagementKey, memberships, organizations,
        permissions, roles, users, webhook_endpoints,
    },
};

/// An event about an API key.
///
/// # Errors
/// If it cannot be JSON, which is a defect; so of all functions here.
pub fn api_key(event: EventType, key: &api_keys::ApiKey) -> Result<NewEvent> {
    of_api_key(event, key, &ManagedApiKey::from(key.clone()))
}

fn of_api_key(event: EventType, key: &api_keys::ApiKey, data: &impl Serialize) -> Result<NewEvent> {
    Ok(NewEvent::new(event, &key.environment_id, data)?.of_organization(&key.organization_id))
}

/// What was changed, and what it was before.
#[derive(Serialize)]
struct UpdatedApiKey {
    #[serde(flatten)]
    key: ManagedApiKey,
    previous_attributes: PreviousAttributes,
}

/// The values before the change, of the settings that it changed. `expires_at` is always there, because the published client for
/// Python raises an error without it.
#[derive(Serialize)]
struct PreviousAttributes {
    expires_at: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Option<Rfc3339>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_allow_list: Option<Vec<IpNet>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
}

/// The settings of an API key were changed.
pub fn api_key_updated(before: &api_keys::ApiKey, after: &api_keys::ApiKey) -> Result<NewEvent> {
    let (old, new) = (before.settings(), after.settings());
    let previous_attributes = PreviousAttributes {
        expires_at: old.expires_at.map(Rfc3339),
        name: (old.name != new.name).then_some(old.name),
        permissions: (old.permissions != new.permissions).then_some(old.permissions),
        enabled: (old.disabled != new.disabled).then_some(!old.disabled),
        not_before: (old.not_before != new.not_before).then_some(old.not_before.map(Rfc3339)),
        ip_allow_list: (old.ip_allow_list != new.ip_allow_list).then_some(old.ip_allow_list),
        metadata: (old.metadata != new.metadata).then_some(old.metadata),
    };
    let data = UpdatedApiKey { key: after.clone().into(), previous_attributes };
    of_api_key(EventType::ApiKeyUpdated, after, &data)
}

/// An event about an organization.
pub fn organization(event: EventType, organization: &organizations::Organization) -> Result<NewEvent> {
    let data = Organization::from(organization.clone());
    Ok(NewEvent::new(event, &organization.environment_id, &data)?.of_organization(&organization.id))
}

/// An event about a user.
pub fn user(event: EventType, user: &users::User) -> Result<NewEvent> {
    NewEvent::new(event, &user.environment_id, &User::from(user.clone()))
}

/// An event about a membership.
pub fn membership(event: EventType, membership: &memberships::Membership) -> Result<NewEvent> {
    let data = Membership::without_user(membership.clone());
    Ok(NewEvent::new(event, &membership.environment_id, &data)?.of_organization(&membership.organization_id))
}

/// What becomes of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// It was created.
    Created,
    /// It was changed.
    Updated,
    /// It was deleted, which only a role of an organization can be.
    Deleted,
}

/// An event about a role.
pub fn role(change: RoleChange, role: &roles::Role) -> Result<NewEvent> {
    let environment = &role.environment_id;
    let Some(organization) = &role.organization_id else {
        let event = if change == RoleChange::Created { EventType::RoleCreated } else { EventType::RoleUpdated };
        return NewEvent::new(event, environment, &Role::from(role.clone()));
    };
    let event = match change {
        RoleChange::Created => EventType::OrganizationRoleCreated,
        RoleChange::Updated => EventType::OrganizationRoleUpdated,
        RoleChange::Deleted => EventType::OrganizationRoleDeleted,
    };
    let data = OrganizationRole::new(role.clone(), organization.clone());
    Ok(NewEvent::new(event, environment, &data)?.of_organization(organization))
}

/// An event about a permission.
pub fn permission(event: EventType, permission: &permissions::Permission) -> Result<NewEvent> {
    NewEvent::new(event, &permission.environment_id, &Permission::from(permission.clone()))
}

#[derive(Serialize)]
struct ExpiringApiKey {
    #[serde(flatten)]
    key: ManagedApiKey,
    /// Rounded up.
    expires_in_days: i64,
}

/// An API key expires soon.
pub fn api_key_expiring(key: &api_keys::ApiKey, expires_at: Timestamp, now: Timestamp) -> Result<NewEvent> {
    const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
    let left = (expires_at.as_millis() - now.as_millis()).max(0);
    let expires_in_days = left.div_euclid(DAY_MILLIS) + i64::from(left.rem_euclid(DAY_MILLIS) > 0);
    let data = ExpiringApiKey { key: key.clone().into(), expires_in_days };
    of_api_key(EventType::ApiKeyExpiring, key, &data)
}

/// An event about a webhook endpoint.
pub fn webhook_endpoint(
    event: EventType,
    endpoint: &webhook_endpoints::WebhookEndpoint,
    now: Timestamp,
) -> Result<NewEvent> {
    NewEvent::new(event, &endpoint.environment_id, &WebhookEndpoint::new(endpoint.clone(), now))
}

#[derive(Serialize)]
struct OfferedPermissions<'a> {
    object: &'static str,
    organization: Option<&'a [String]>,
    user: Option<&'a [String]>,
}

/// The permissions that customers may put on keys were changed.
pub fn offered_permissions(
    environment: &EnvironmentId,
    offered: &environments::OfferedPermissions,
) -> Result<NewEvent> {
    let data = OfferedPermissions {
        object: "api_key_permissions",
        organization: offered.organization_key_permissions.as_ref().map(|slugs| slugs.0.as_slice()),
        user: offered.user_key_permissions.as_ref().map(|slugs| slugs.0.as_slice()),
    };
    NewEvent::new(EventType::ApiKeyPermissionsUpdated, environment, &data)
}

#[derive(Serialize)]
struct ExpiryPolicy<'a> {
    object: &'static str,
    organization_id: &'a OrganizationId,
    max_lifetime_seconds: Option<i64>,
    default_lifetime_seconds: Option<i64>,
}

/// The expiry policy of an organization was set.
pub fn expiry_policy(
    environment: &EnvironmentId,
    organization_id: &OrganizationId,
    policy: &expiry_policies::ExpiryPolicy,
) -> Result<NewEvent> {
    let data = ExpiryPolicy {
        object: "api_key_expiry_policy",
        organization_id,
        max_lifetime_seconds: policy.max_lifetime_seconds,
        default_lifetime_seconds: policy.default_lifetime_seconds,
    };
    let event = NewEvent::new(EventType::ApiKeyExpiryPolicyUpdated, environment, &data)?;
    Ok(event.of_organization(organization_id))
}

#[derive(Serialize)]
struct Environment<'a> {
    object: &'static str,
    id: &'a EnvironmentId,
    name: &'a str,
    key_prefix: &'a str,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

/// The environment was created.
pub fn environment_created(environment: &environments::Environment) -> Result<NewEvent> {
    let data = Environment {
        object: "environment",
        id: &environment.id,
        name: &environment.name,
        key_prefix: environment.key_prefix.as_str(),
        created_at: Rfc3339(environment.created_at),
        updated_at: Rfc3339(environment.updated_at),
    };
    NewEvent::new(EventType::EnvironmentCreated, &environment.id, &data)
}

/// A management key, without its value.
#[derive(Serialize)]
pub struct ManagementKeyData<'a> {
    object: &'static str,
    /// Its id.
    pub id: &'a ManagementKeyId,
    /// Its display name.
    pub name: &'a str,
    /// What may be shown of its value.
    pub obfuscated_value: &'a str,
    /// What it may do.
    pub scopes: &'a [String],
    /// When it was created.
    pub created_at: Rfc3339,
    /// When it was revoked.
    pub revoked_at: Option<Rfc3339>,
    /// Why it was revoked.
    pub revoked_reason: Option<&'a str>,
}

/// An event about a management key.
pub fn management_key(event: EventType, environment: &EnvironmentId, key: &ManagementKey) -> Result<NewEvent> {
    let data = ManagementKeyData {
        object: "management_key",
        id: &key.id,
        name: &key.name,
        obfuscated_value: &key.obfuscated_value,
        scopes: &key.scopes.0,
        created_at: Rfc3339(key.created_at),
        revoked_at: key.revoked_at.map(Rfc3339),
        revoked_reason: key.revoked_reason.as_deref(),
    };
    NewEvent::new(event, environment, &data)
}
