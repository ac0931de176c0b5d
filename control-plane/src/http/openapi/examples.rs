//! Examples of request and response bodies.
//!
//! They tell one story, of one organization, its user and its keys, in the order of [`OPERATIONS`]. A test sends each
//! request example to the real routes and compares the response with the first response example. The examples of errors
//! are in `errors`.

mod errors;
pub mod ids;
mod reference;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::{reason::Reason, validation::Answer};
use utoipa::openapi::{Components, Content, OpenApi, RefOr, path::Operation};

use self::ids::{
    API_KEY, DELIVERED_EVENT, DOMAIN, EVENT, MANAGEMENT_KEY, MEMBER_ROLE, MEMBERSHIP, ORGANIZATION,
    ORGANIZATION_EXTERNAL_ID, ORGANIZATION_ROLE, OTHER_PERMISSION, PERMISSION, REPLAYED_DELIVERY, ROLE,
    ROTATED_API_KEY, USER, USER_API_KEY, USER_EXTERNAL_ID, WEBHOOK_DELIVERY, WEBHOOK_ENDPOINT, WEBHOOK_REPLAY,
};
use self::reference::refer_to;
use super::walk::operations;

/// The examples of an operation, by name: those of its request body, and those of its successful response.
#[derive(Debug)]
pub struct OfOperation {
    pub operation_id: &'static str,
    pub requests: &'static [&'static str],
    pub responses: &'static [&'static str],
}

const fn of(
    operation_id: &'static str,
    requests: &'static [&'static str],
    responses: &'static [&'static str],
) -> OfOperation {
    OfOperation { operation_id, requests, responses }
}

/// The operations with bodies, in the order of the story. Each call finds what the calls before it have left.
pub const OPERATIONS: &[OfOperation] = &[
    of("getHealth", &[], &["health"]),
    of("getReadiness", &[], &["health"]),
    of("getOpenApi", &[], &["openapi"]),
    of("createPermission", &["create_permission"], &["permission"]),
    of("getPermission", &[], &["permission"]),
    of("listPermissions", &[], &["permissions"]),
    of("updatePermission", &["update_permission"], &["permission_updated"]),
    of("setApiKeyPermissions", &["api_key_permissions"], &["api_key_permissions"]),
    of("getApiKeyPermissions", &[], &["api_key_permissions"]),
    of("createEnvironmentRole", &["create_environment_role"], &["environment_role_created"]),
    of("setEnvironmentRolePermissions", &["set_role_permissions"], &["environment_role_limited"]),
    of("addEnvironmentRolePermission", &["add_role_permission"], &["environment_role"]),
    of("getEnvironmentRole", &[], &["environment_role"]),
    of("listEnvironmentRoles", &[], &["environment_roles"]),
    of("createOrganization", &["create_organization"], &["organization"]),
    of("getOrganization", &[], &["organization"]),
    of("getOrganizationByExternalId", &[], &["organization"]),
    of("listOrganizations", &[], &["organizations"]),
    of("createOrganizationRole", &["create_organization_role"], &["organization_role_created"]),
    of("setOrganizationRolePermissions", &["set_role_permissions"], &["organization_role"]),
    of("addOrganizationRolePermission", &["add_role_permission"], &["organization_role_extended"]),
    of("removeOrganizationRolePermission", &[], &["organization_role"]),
    of("getOrganizationRole", &[], &["organization_role"]),
    of("listOrganizationRoles", &[], &["organization_roles"]),
    of("createUser", &["create_user", "create_user_with_external_id"], &["user"]),
    of("getUser", &[], &["user"]),
    of("getUserByExternalId", &[], &["user"]),
    of("createOrganizationMembership", &["create_membership"], &["membership"]),
    of("getOrganizationMembership", &[], &["membership"]),
    of("listOrganizationMemberships", &[], &["memberships"]),
    of("listUsers", &[], &["users"]),
    of("deactivateOrganizationMembership", &[], &["membership_inactive"]),
    of("reactivateOrganizationMembership", &[], &["membership"]),
    of("createOrganizationApiKey", &["create_api_key", "create_restricted_api_key"], &["api_key_created"]),
    of("validateApiKey", &["validate_with_permissions", "validate"], &["accepted", "refused"]),
    of("getApiKey", &[], &["api_key_at_edge"]),
    of("listOrganizationApiKeys", &[], &["api_keys"]),
    of("updateApiKey", &["restrict_api_key", "disable_api_key", "enable_api_key"], &["api_key_restricted"]),
    of("rotateApiKey", &["rotate_api_key"], &["api_key_rotated"]),
    of("createUserApiKey", &["create_user_api_key"], &["user_api_key_created"]),
    of("listUserApiKeys", &[], &["user_api_keys"]),
    of("createWebhookEndpoint", &["create_webhook_endpoint"], &["webhook_endpoint_created"]),
    of("getWebhookEndpoint", &[], &["webhook_endpoint"]),
    of("listWebhookEndpoints", &[], &["webhook_endpoints"]),
    of("rotateWebhookSecret", &["rotate_webhook_secret"], &["webhook_secret_rotated"]),
    of("expireApiKey", &["expire_later", "expire_never", "expire_now"], &["user_api_key_expiring"]),
    of("listEvents", &[], &["events"]),
    of("listWebhookDeliveries", &[], &["webhook_deliveries"]),
    of("getWebhookDelivery", &[], &["webhook_delivery"]),
    of("replayWebhookDelivery", &[], &["webhook_delivery_replayed"]),
    of("replayWebhookEvents", &["replay_webhook_events"], &["webhook_replay"]),
    of("updateWebhookEndpoint", &["update_webhook_endpoint"], &["webhook_endpoint_updated"]),
    of("getApiKeyUsage", &[], &["api_key_usage"]),
    of("getUsage", &[], &["usage"]),
    of("updateOrganizationMembership", &["update_membership"], &["membership_updated"]),
    of("updateUser", &["update_user"], &["user_updated"]),
    of("updateOrganization", &["update_organization"], &["organization_updated"]),
    of("updateEnvironmentRole", &["update_role"], &["environment_role_updated"]),
    of("updateOrganizationRole", &["update_role"], &["organization_role_updated"]),
    of("setApiKeyExpiryPolicy", &["limit_lifetimes", "remove_limits"], &["expiry_policy"]),
    of("getApiKeyExpiryPolicy", &[], &["expiry_policy"]),
];

/// An example, and what it shows.
struct Example {
    summary: &'static str,
    value: Value,
}

type Examples = BTreeMap<&'static str, Example>;

/// Adds the examples to the bodies. Each is in the components once, and bodies refer to it by its name.
pub fn add(document: &mut OpenApi) {
    let mut components = document.components.take().unwrap_or_default();
    let examples = examples();
    for (path, operation) in operations(document) {
        add_to_bodies(operation, &examples, &mut components);
        errors::add(path, operation, &mut components);
    }
    document.components = Some(components);
}

fn add_to_bodies(operation: &mut Operation, examples: &Examples, components: &mut Components) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let Some(of_operation) = OPERATIONS.iter().find(|of_operation| of_operation.operation_id == id) else { return };
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        refer_to_all(body.content.values_mut(), of_operation.requests, examples, components);
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('2')
        {
            refer_to_all(response.content.values_mut(), of_operation.responses, examples, components);
        }
    }
}

fn refer_to_all<'a>(
    contents: impl Iterator<Item = &'a mut RefOr<Content>>,
    names: &[&'static str],
    examples: &Examples,
    components: &mut Components,
) {
    for content in contents {
        let RefOr::T(content) = content else { continue };
        for name in names {
            if let Some(Example { summary, value }) = examples.get(name) {
                refer_to(content, name, summary, value.clone(), components);
            }
        }
    }
}

/// The object with some fields changed or added.
fn with(mut object: Value, changes: Value) -> Value {
    if let (Value::Object(fields), Value::Object(changes)) = (&mut object, changes) {
        fields.extend(changes);
    }
    object
}

fn list(items: Value) -> Value {
    json!({"object": "list", "data": items, "list_metadata": {"before": null, "after": null}})
}

/// When the objects of the story were created, and when the changes were made.
const PERMISSIONS_CREATED: &str = "2026-11-28T02:56:51.953Z";
const ENVIRONMENT_CREATED: &str = "2026-11-28T02:56:21.953Z";
const ROLE_CREATED: &str = "2026-11-28T02:57:21.953Z";
const ORGANIZATION_CREATED: &str = "2026-11-28T02:57:51.953Z";
const ORGANIZATION_ROLE_CREATED: &str = "2026-11-28T02:57:51.993Z";
const USER_CREATED: &str = "2026-11-28T02:57:52.013Z";
const MEMBERSHIP_CREATED: &str = "2026-11-28T02:57:52.043Z";
const API_KEY_CREATED: &str = "2026-11-28T02:57:52.062Z";
const USER_API_KEY_CREATED: &str = "2026-11-28T02:59:51.953Z";
const CHANGED: &str = "2026-11-29T02:57:51.953Z";

/// Values that have the length of a key, and are none: their checksums are wrong.
const VALUE: &str = "lk_live_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLG1yY";
const ROTATED_VALUE: &str = "lk_live_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLp7Wd";
const USER_VALUE: &str = "lk_live_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLx3Kf";

fn permission() -> Value {
    json!({
        "object": "permission",
        "id": PERMISSION,
        "slug": "posts:read",
        "name": "Read posts",
        "description": "View posts and their comments.",
        "system": false,
        "resource_type_slug": "organization",
        "created_at": PERMISSIONS_CREATED,
        "updated_at": PERMISSIONS_CREATED,
    })
}

/// The permission that the story finds.
pub fn other_permission() -> Value {
    json!({
        "object": "permission",
        "id": OTHER_PERMISSION,
        "slug": "posts:write",
        "name": "Write posts",
        "description": "Create, edit and delete posts.",
        "system": false,
        "resource_type_slug": "organization",
        "created_at": ENVIRONMENT_CREATED,
        "updated_at": ENVIRONMENT_CREATED,
    })
}

fn member_role() -> Value {
    json!({
        "object": "role",
        "id": MEMBER_ROLE,
        "slug": "member",
        "name": "Member",
        "description": "The role of a member if no other is named.",
        "type": "EnvironmentRole",
        "resource_type_slug": "organization",
        "permissions": [],
        "created_at": ENVIRONMENT_CREATED,
        "updated_at": ENVIRONMENT_CREATED,
    })
}

fn environment_role() -> Value {
    json!({
        "object": "role",
        "id": ROLE,
        "slug": "editor",
        "name": "Editor",
        "description": "Writes posts.",
        "type": "EnvironmentRole",
        "resource_type_slug": "organization",
        "permissions": ["posts:read", "posts:write"],
        "created_at": ROLE_CREATED,
        "updated_at": ROLE_CREATED,
    })
}

fn organization_role() -> Value {
    json!({
        "object": "role",
        "id": ORGANIZATION_ROLE,
        "slug": "org-reviewer",
        "name": "Reviewer",
        "description": "Reviews posts.",
        "type": "OrganizationRole",
        "resource_type_slug": "organization",
        "permissions": ["posts:read"],
        "created_at": ORGANIZATION_ROLE_CREATED,
        "updated_at": ORGANIZATION_ROLE_CREATED,
    })
}

fn organization() -> Value {
    json!({
        "object": "organization",
        "id": ORGANIZATION,
        "name": "Acme",
        "domains": [{
            "object": "organization_domain",
            "id": DOMAIN,
            "organization_id": ORGANIZATION,
            "domain": "acme.example",
            "state": "verified",
            "created_at": ORGANIZATION_CREATED,
            "updated_at": ORGANIZATION_CREATED,
        }],
        "metadata": {"plan": "team"},
        "external_id": ORGANIZATION_EXTERNAL_ID,
        "allow_profiles_outside_organization": false,
        "created_at": ORGANIZATION_CREATED,
        "updated_at": ORGANIZATION_CREATED,
    })
}

fn user() -> Value {
    json!({
        "object": "user",
        "id": USER,
        "email": "ada@acme.example",
        "email_verified": true,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "name": "Ada Lovelace",
        "profile_picture_url": null,
        "last_sign_in_at": null,
        "locale": null,
        "external_id": USER_EXTERNAL_ID,
        "metadata": {"team": "blog"},
        "created_at": USER_CREATED,
        "updated_at": USER_CREATED,
    })
}

fn membership() -> Value {
    json!({
        "object": "organization_membership",
        "id": MEMBERSHIP,
        "user_id": USER,
        "organization_id": ORGANIZATION,
        "organization_name": "Acme",
        "status": "active",
        "directory_managed": false,
        "custom_attributes": {},
        "role": {"slug": "editor"},
        "roles": [{"slug": "editor"}],
        "user": user(),
        "created_at": MEMBERSHIP_CREATED,
        "updated_at": MEMBERSHIP_CREATED,
    })
}

/// A key, as a validation returns it.
fn api_key() -> Value {
    json!({
        "object": "api_key",
        "id": API_KEY,
        "owner": {"type": "organization", "id": ORGANIZATION},
        "name": "Production",
        "obfuscated_value": "lk_live_…G1yY",
        "last_used_at": null,
        "expires_at": null,
        "permissions": ["posts:read"],
        "created_at": API_KEY_CREATED,
        "updated_at": API_KEY_CREATED,
    })
}

fn managed_api_key() -> Value {
    with(api_key(), json!({"created_by": MANAGEMENT_KEY}))
}

fn user_api_key() -> Value {
    let changes = json!({
        "id": USER_API_KEY,
        "owner": {"type": "user", "id": USER, "organization_id": ORGANIZATION},
        "name": "Ada's laptop",
        "obfuscated_value": "lk_live_…x3Kf",
        "created_at": USER_API_KEY_CREATED,
        "updated_at": USER_API_KEY_CREATED,
    });
    with(managed_api_key(), changes)
}

fn usage() -> Value {
    json!({
        "interval": "hour",
        "from": "2026-11-27T04:00:00.000Z",
        "to": "2026-11-28T05:00:00.000Z",
        "data": [{
            "start": "2026-11-28T04:00:00.000Z",
            "outcomes": {"valid": 1204, "insufficient_permissions": 3},
            "total": 1207,
        }],
    })
}

fn examples() -> Examples {
    [requests(), permissions_and_roles(), organizations_and_users(), api_keys(), events_and_webhooks()]
        .into_iter()
        .flatten()
        .collect()
}

fn webhook_endpoint() -> Value {
    json!({
        "object": "webhook_endpoint",
        "id": WEBHOOK_ENDPOINT,
        "endpoint_url": "https://api.acme.example/latchkey",
        "secret": "whsec_…9fTk",
        "status": "enabled",
        "events": ["api_key.updated"],
        "created_at": USER_API_KEY_CREATED,
        "updated_at": USER_API_KEY_CREATED,
    })
}

fn webhook_delivery() -> Value {
    json!({
        "object": "webhook_delivery",
        "id": WEBHOOK_DELIVERY,
        "webhook_endpoint_id": WEBHOOK_ENDPOINT,
        "event_id": DELIVERED_EVENT,
        "event": "api_key.updated",
        "status": "pending",
        "attempts": 0,
        "is_replay": false,
        "next_attempt_at": CHANGED,
        "created_at": CHANGED,
        "completed_at": null,
    })
}

fn events_and_webhooks() -> Vec<(&'static str, Example)> {
    let rotated = json!({
        "secret": "whsec_EXAMPLEEXAMPLEEXAMPLEEXAMPLE9fTk",
        "previous_secret_expires_at": CHANGED,
    });
    let event = json!({
        "object": "event",
        "id": EVENT,
        "event": "permission.created",
        "data": other_permission(),
        "created_at": ENVIRONMENT_CREATED,
        "context": {"actor": {"id": MANAGEMENT_KEY, "source": "api", "name": "Back end"}},
    });
    vec![
        example(
            "create_webhook_endpoint",
            "An endpoint",
            json!({"endpoint_url": "https://api.acme.example/latchkey", "events": ["api_key.updated"]}),
        ),
        example("rotate_webhook_secret", "An overlap of an hour", json!({"overlap_seconds": 3600})),
        example("replay_webhook_events", "All events since an outage", json!({"since": "2026-11-29T02:00:00.000Z"})),
        example(
            "update_webhook_endpoint",
            "More types of events",
            json!({"events": ["api_key.created", "api_key.revoked"]}),
        ),
        example(
            "webhook_endpoint_created",
            "The endpoint, with its secret",
            with(webhook_endpoint(), json!({"secret": "whsec_EXAMPLEEXAMPLEEXAMPLEEXAMPLE9fTk"})),
        ),
        example("webhook_endpoint", "The endpoint", webhook_endpoint()),
        example("webhook_endpoints", "One endpoint", list(json!([webhook_endpoint()]))),
        example("webhook_secret_rotated", "The endpoint, with its new secret", with(webhook_endpoint(), rotated)),
        example(
            "webhook_endpoint_updated",
            "The endpoint",
            with(
                webhook_endpoint(),
                json!({"events": ["api_key.created", "api_key.revoked"], "previous_secret_expires_at": CHANGED}),
            ),
        ),
        example(
            "events",
            "The first event of the log",
            json!({"object": "list", "data": [event], "list_metadata": {"after": EVENT}}),
        ),
        example(
            "webhook_replay",
            "The replay",
            json!({
                "object": "webhook_replay",
                "id": WEBHOOK_REPLAY,
                "webhook_endpoint_id": WEBHOOK_ENDPOINT,
                "since": "2026-11-29T02:00:00.000Z",
                "until": CHANGED,
            }),
        ),
        example("webhook_deliveries", "One delivery", list(json!([webhook_delivery()]))),
        example(
            "webhook_delivery",
            "A delivery that was not attempted yet",
            with(webhook_delivery(), json!({"attempt_log": []})),
        ),
        example(
            "webhook_delivery_replayed",
            "The new delivery",
            with(webhook_delivery(), json!({"id": REPLAYED_DELIVERY, "is_replay": true})),
        ),
    ]
}

fn example(name: &'static str, summary: &'static str, value: Value) -> (&'static str, Example) {
    (name, Example { summary, value })
}

fn requests() -> Vec<(&'static str, Example)> {
    vec![
        example(
            "create_permission",
            "A permission",
            json!({
                "slug": "posts:read",
                "name": "Read posts",
                "description": "View posts and their comments.",
            }),
        ),
        example("update_permission", "Another description", json!({"description": "View posts, drafts and comments."})),
        example(
            "create_environment_role",
            "A role",
            json!({
                "slug": "editor",
                "name": "Editor",
                "description": "Writes posts.",
            }),
        ),
        example(
            "create_organization_role",
            "A role",
            json!({
                "slug": "org-reviewer",
                "name": "Reviewer",
                "description": "Reviews posts.",
            }),
        ),
        example("update_role", "Another description", json!({"description": "Works on posts and on their comments."})),
        example("set_role_permissions", "One permission", json!({"permissions": ["posts:read"]})),
        example("add_role_permission", "A permission", json!({"slug": "posts:write"})),
        example(
            "create_organization",
            "An organization",
            json!({
                "name": "Acme",
                "external_id": ORGANIZATION_EXTERNAL_ID,
                "domain_data": [{"domain": "acme.example", "state": "verified"}],
                "metadata": {"plan": "team"},
            }),
        ),
        example(
            "update_organization",
            "Another name, and an entry of metadata",
            json!({
                "name": "Acme Inc.",
                "metadata": {"plan": "enterprise"},
            }),
        ),
        example(
            "create_user",
            "A user",
            json!({
                "email": "ada@acme.example",
                "email_verified": true,
                "first_name": "Ada",
                "last_name": "Lovelace",
                "name": "Ada Lovelace",
                "external_id": USER_EXTERNAL_ID,
                "metadata": {"team": "blog"},
            }),
        ),
        example("create_user_with_external_id", "Only an external id", json!({"external_id": "user-43"})),
        example("update_user", "A language", json!({"locale": "en-GB"})),
        example(
            "create_membership",
            "A membership",
            json!({
                "user_id": USER,
                "organization_id": ORGANIZATION,
                "role_slug": "editor",
            }),
        ),
        example("update_membership", "Another role", json!({"role_slug": "org-reviewer"})),
        example(
            "create_api_key",
            "A key that does not expire",
            json!({
                "name": "Production",
                "permissions": ["posts:read"],
            }),
        ),
        example(
            "create_restricted_api_key",
            "A key with all limits",
            json!({
                "name": "Import",
                "permissions": ["posts:read", "posts:write"],
                "not_before": "2029-12-01T00:00:00.000Z",
                "expires_at": "2030-01-01T00:00:00.000Z",
                "ip_allow_list": ["192.0.2.7", "2001:db8::/32"],
                "metadata": {"job": "nightly-import"},
            }),
        ),
        example(
            "create_user_api_key",
            "A key of a user",
            json!({
                "name": "Ada's laptop",
                "organization_id": ORGANIZATION,
                "permissions": ["posts:read"],
            }),
        ),
        example("validate", "Only the key", json!({"value": VALUE})),
        example(
            "validate_with_permissions",
            "The key, and what the request requires",
            json!({
                "value": VALUE,
                "permissions": "posts:read",
                "ip": "192.0.2.7",
            }),
        ),
        example(
            "restrict_api_key",
            "Another name, and an IP allow list",
            json!({
                "name": "Production (EU)",
                "ip_allow_list": ["192.0.2.0/24"],
            }),
        ),
        example("disable_api_key", "Disable the key", json!({"enabled": false})),
        example("enable_api_key", "Enable the key again", json!({"enabled": true})),
        example("rotate_api_key", "An overlap of an hour", json!({"overlap_seconds": 3600})),
        example("expire_later", "Expire at a time", json!({"expires_at": "2030-01-01T00:00:00.000Z"})),
        example("expire_never", "Remove the expiry", json!({"expires_at": null})),
        example("expire_now", "Expire now", json!({})),
        example(
            "limit_lifetimes",
            "At most a year, and 90 days by default",
            json!({
                "max_lifetime_seconds": 31_536_000,
                "default_lifetime_seconds": 7_776_000,
            }),
        ),
        example(
            "remove_limits",
            "No limits",
            json!({
                "max_lifetime_seconds": null,
                "default_lifetime_seconds": null,
            }),
        ),
    ]
}

fn permissions_and_roles() -> Vec<(&'static str, Example)> {
    let changed = |object: Value, changes: Value| with(with(object, json!({"updated_at": CHANGED})), changes);
    let role_list = |roles: Value| json!({"object": "list", "data": roles});
    vec![
        example("permission", "A permission", permission()),
        example(
            "permission_updated",
            "A permission",
            changed(
                permission(),
                json!({
                    "description": "View posts, drafts and comments.",
                }),
            ),
        ),
        example("permissions", "All permissions", list(json!([permission(), other_permission()]))),
        example(
            "api_key_permissions",
            "Both permissions for organizations, one for users",
            json!({
                "organization": ["posts:read", "posts:write"],
                "user": ["posts:read"],
            }),
        ),
        example(
            "environment_role_created",
            "A role without permissions",
            with(
                environment_role(),
                json!({
                    "permissions": [],
                }),
            ),
        ),
        example(
            "environment_role_limited",
            "A role with one permission",
            with(
                environment_role(),
                json!({
                    "permissions": ["posts:read"],
                }),
            ),
        ),
        example("environment_role", "A role", environment_role()),
        example(
            "environment_role_updated",
            "A role",
            changed(
                environment_role(),
                json!({
                    "description": "Works on posts and on their comments.",
                }),
            ),
        ),
        example("environment_roles", "All roles", role_list(json!([member_role(), environment_role()]))),
        example(
            "organization_role_created",
            "A role without permissions",
            with(
                organization_role(),
                json!({
                    "permissions": [],
                }),
            ),
        ),
        example(
            "organization_role_extended",
            "A role with both permissions",
            with(
                organization_role(),
                json!({
                    "permissions": ["posts:read", "posts:write"],
                }),
            ),
        ),
        example("organization_role", "A role", organization_role()),
        example(
            "organization_role_updated",
            "A role",
            changed(
                organization_role(),
                json!({
                    "description": "Works on posts and on their comments.",
                }),
            ),
        ),
        example(
            "organization_roles",
            "All roles",
            role_list(json!([member_role(), environment_role(), organization_role(),])),
        ),
    ]
}

fn organizations_and_users() -> Vec<(&'static str, Example)> {
    let changed = |object: Value, changes: Value| with(with(object, json!({"updated_at": CHANGED})), changes);
    vec![
        example("organization", "An organization", organization()),
        example(
            "organization_updated",
            "An organization",
            changed(
                organization(),
                json!({
                    "name": "Acme Inc.",
                    "metadata": {"plan": "enterprise"},
                }),
            ),
        ),
        example("organizations", "A single page", list(json!([organization()]))),
        example(
            "expiry_policy",
            "At most a year, and 90 days by default",
            json!({
                "object": "api_key_expiry_policy",
                "organization_id": ORGANIZATION,
                "max_lifetime_seconds": 31_536_000,
                "default_lifetime_seconds": 7_776_000,
            }),
        ),
        example("user", "A user", user()),
        example("user_updated", "A user", changed(user(), json!({"locale": "en-GB"}))),
        example("users", "A single page", list(json!([user()]))),
        example("membership", "An active membership", membership()),
        example("membership_inactive", "An inactive membership", changed(membership(), json!({"status": "inactive"}))),
        example(
            "membership_updated",
            "A membership with another role",
            changed(
                membership(),
                json!({
                    "role": {"slug": "org-reviewer"},
                    "roles": [{"slug": "org-reviewer"}],
                }),
            ),
        ),
        example("memberships", "A single page", list(json!([membership()]))),
    ]
}

fn api_keys() -> Vec<(&'static str, Example)> {
    let version = 1_795_834_672_062_i64;
    let restricted = with(
        managed_api_key(),
        json!({
            "name": "Production (EU)",
            "ip_allow_list": ["192.0.2.0/24"],
            "updated_at": CHANGED,
        }),
    );
    let rotated = with(
        restricted.clone(),
        json!({
            "id": ROTATED_API_KEY,
            "obfuscated_value": "lk_live_…p7Wd",
            "rotated_from": API_KEY,
            "created_at": CHANGED,
            "value": ROTATED_VALUE,
        }),
    );
    let refused = Answer::refused(Reason::InsufficientPermissions).body;
    vec![
        example("api_key_created", "A new key", with(managed_api_key(), json!({"value": VALUE}))),
        example(
            "api_key_at_edge",
            "A key that the edge has",
            with(
                managed_api_key(),
                json!({
                    "edge": {"database": version, "feed": version, "kv": version, "propagating": false},
                }),
            ),
        ),
        example("api_keys", "A single page", list(json!([managed_api_key()]))),
        example("api_key_restricted", "A key with an IP allow list", restricted),
        example("api_key_rotated", "The new key", rotated),
        example("user_api_key_created", "A new key of a user", with(user_api_key(), json!({"value": USER_VALUE}))),
        example("user_api_keys", "A single page", list(json!([user_api_key()]))),
        example(
            "user_api_key_expiring",
            "A key that expires",
            with(
                user_api_key(),
                json!({
                    "expires_at": "2030-01-01T00:00:00.000Z",
                    "updated_at": CHANGED,
                }),
            ),
        ),
        example("accepted", "The key is accepted", json!({"api_key": api_key()})),
        example("refused", "The key is refused", serde_json::from_str(&refused).unwrap_or_default()),
        example(
            "api_key_usage",
            "Validations in one hour",
            with(
                usage(),
                json!({
                    "object": "api_key_usage",
                    "api_key_id": API_KEY,
                }),
            ),
        ),
        example("usage", "Validations in one hour", with(usage(), json!({"object": "usage"}))),
        example("health", "The server is healthy", json!({"status": "ok"})),
        example(
            "openapi",
            "The beginning of this document",
            json!({
                "openapi": "3.1.0",
                "info": {"title": "Latchkey", "version": env!("CARGO_PKG_VERSION")},
                "paths": {},
            }),
        ),
    ]
}
