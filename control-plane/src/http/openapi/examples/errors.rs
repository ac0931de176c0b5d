//! Examples of error responses, made by the code that makes the real ones.

use serde_json::{Map, Value};
use shared::{
    error::{ApiError, FieldError},
    scope::Scope,
    validation,
};
use utoipa::openapi::{Components, RefOr, path::Operation};

use super::reference::refer_to;
use crate::{
    http::{
        RequestError,
        error::{edge_pending, exceeded_limit, not_found, refused, request_error, unavailable, unexpected_failure},
        extract::body,
        openapi::common_errors::{VALIDATIONS, has_query, takes_idempotency_key},
    },
    limits::Exceeded,
    service::{Entity, Refusal},
    storage::Failure,
};

/// An example: its name among the components, and the error.
type Example = (String, ApiError);

/// Adds examples to each error response of an operation.
pub fn add(path: &str, operation: &mut Operation, components: &mut Components) {
    let examples = examples(path, operation);
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        for content in response.content.values_mut() {
            let RefOr::T(content) = content else { continue };
            for (name, error) in examples.iter().filter(|(_, error)| error.status.to_string() == *status) {
                let value = serde_json::to_value(&error.body).unwrap_or_default();
                refer_to(content, name, "", value, components);
            }
        }
    }
}

/// The errors that an operation shows as examples, of every status.
fn examples(path: &str, operation: &Operation) -> Vec<Example> {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let (has_body, is_repeatable) = (operation.request_body.is_some(), takes_idempotency_key(operation));
    let (reads_body, scope) = (has_body || is_repeatable, scope(operation));
    let mut examples: Vec<Example> = [
        invalid_json(),
        ApiError::unauthorized(),
        request_error(RequestError::RequestTimeout),
        request_error(RequestError::UrlTooLong),
        exceeded_limit(Exceeded::Rate { retry_after_seconds: 1 }),
        exceeded_limit(Exceeded::InProgress),
        unexpected_failure(),
        unavailable(Failure::Overloaded),
        unavailable(Failure::Unavailable),
    ]
    .into_iter()
    .filter(|error| reads_body || error.status != 400)
    .filter(|error| scope.is_some() || error.status != 401)
    .map(named)
    .collect();
    if is_repeatable {
        let errors = [RequestError::InvalidIdempotencyKey, RequestError::IdempotencyKeyReused];
        examples.extend(errors.map(request_error).map(named));
    }
    if reads_body {
        let limit = if path == VALIDATIONS { validation::BODY_LIMIT } else { body::LIMIT };
        examples.push((format!("payload_larger_than_{}_kib", limit / 1024), ApiError::too_large(limit)));
    }
    if waits_for_edge(operation) {
        examples.push(named(edge_pending()));
    }
    examples.extend(scope.map(|scope| {
        let name = format!("forbidden_without_{}", scope.as_str().replace(':', "_"));
        (name, ApiError::forbidden(scope))
    }));
    examples.extend(entities(path, id).into_iter().map(|entity| {
        let name = entity.to_string().to_lowercase().replace(' ', "_");
        (format!("{name}_not_found"), not_found(entity))
    }));
    examples.extend(refusals(id).iter().map(|refusal| refusal_named(*refusal)));
    if has_body || has_query(operation) {
        examples.push(unprocessable(id));
    }
    examples.extend(of_operators(id).into_iter().map(|(name, error)| (name.to_owned(), error)));
    examples
}

/// An error whose code says all of it.
fn named(error: ApiError) -> Example {
    (error.body.code.clone(), error)
}

fn invalid_json() -> ApiError {
    let cut_short = shared::json::parse::<Map<String, Value>>(br#"{"name": "Production""#);
    cut_short.err().unwrap_or_else(shared::json::not_utf8)
}

fn waits_for_edge(operation: &Operation) -> bool {
    let response = operation.responses.responses.get("503");
    matches!(response, Some(RefOr::T(response)) if response.description.contains("edge_propagation_pending"))
}

/// The scope that an operation requires.
fn scope(operation: &Operation) -> Option<Scope> {
    let security = serde_json::to_value(&operation.security).unwrap_or_default();
    security.pointer("/0/management_key/0")?.as_str()?.parse().ok()
}

/// What an operation may not find.
fn entities(path: &str, operation_id: &str) -> Vec<Entity> {
    let is_below = |prefix: &str| path.starts_with(prefix);
    match operation_id {
        "createOrganizationMembership" | "listOrganizationMemberships" | "createUserApiKey" | "listUserApiKeys" => {
            return vec![Entity::User, Entity::Organization];
        }
        _ if !path.contains('{') => return vec![],
        _ => {}
    }
    match path {
        _ if is_below("/api_keys/") => vec![Entity::ApiKey],
        _ if is_below("/webhook_endpoints/") => vec![Entity::WebhookEndpoint],
        _ if is_below("/webhook_deliveries/") => vec![Entity::WebhookDelivery],
        _ if is_below("/authorization/permissions/") => vec![Entity::Permission],
        _ if is_below("/authorization/roles/") => vec![Entity::Role],
        _ if path.contains("{permission_slug}") => vec![Entity::Organization, Entity::Role, Entity::Permission],
        _ if path.contains("/roles/{slug}") => vec![Entity::Organization, Entity::Role],
        _ if is_below("/user_management/organization_memberships/") => vec![Entity::OrganizationMembership],
        _ if is_below("/user_management/users/") => vec![Entity::User],
        _ => vec![Entity::Organization],
    }
}

/// What the state of things may not allow.
fn refusals(operation_id: &str) -> &'static [Refusal] {
    match operation_id {
        "createOrganization" | "updateOrganization" => &[Refusal::OrganizationExternalIdTaken],
        "createUser" | "updateUser" => &[Refusal::UserExternalIdTaken, Refusal::EmailTaken],
        "createUserApiKey" => &[Refusal::MembershipRequired],
        "updateApiKey" | "expireApiKey" => &[Refusal::ApiKeyExpired],
        "rotateApiKey" => &[Refusal::ApiKeyExpired, Refusal::ApiKeyRotated, Refusal::MembershipRequired],
        "createPermission" => &[Refusal::PermissionSlugTaken],
        "createEnvironmentRole" => &[Refusal::RoleSlugTaken, Refusal::RoleLimitReached],
        "createOrganizationRole" => &[Refusal::OrganizationRoleSlugTaken, Refusal::RoleLimitReached],
        "deleteOrganizationRole" => &[Refusal::RoleHasAssignments],
        "createOrganizationMembership" => &[Refusal::MembershipExists, Refusal::UnknownRole, Refusal::SeveralRoles],
        "updateOrganizationMembership" => &[Refusal::UnknownRole, Refusal::SeveralRoles],
        "createWebhookEndpoint" => {
            &[Refusal::WebhookEndpointExists, Refusal::WebhookEndpointLimitReached, Refusal::EncryptionKeyRequired]
        }
        "updateWebhookEndpoint" => &[Refusal::WebhookEndpointExists],
        "rotateWebhookSecret" => &[Refusal::SecretOverlapInProgress, Refusal::EncryptionKeyRequired],
        "replayWebhookEvents" => &[Refusal::WebhookEndpointDisabled, Refusal::ReplayInProgress],
        "replayWebhookDelivery" => &[Refusal::WebhookEndpointDisabled, Refusal::EventExpired],
        _ => &[],
    }
}

/// Two refusals have the same code, so that does not name them.
fn refusal_named(refusal: Refusal) -> Example {
    let name = match refusal {
        Refusal::OrganizationExternalIdTaken => "organization_external_id_already_used",
        Refusal::UserExternalIdTaken => "user_external_id_already_used",
        refusal => refusal.code(),
    };
    (name.to_owned(), refused(refusal))
}

/// A field that an operation does not accept.
fn unprocessable(operation_id: &str) -> Example {
    let (name, field, code, message) = match operation_id {
        "validateApiKey" => ("invalid_ip", "ip", "invalid", "must be an IPv4 or IPv6 address"),
        "createOrganizationApiKey" | "createUserApiKey" | "updateApiKey" => {
            ("unknown_permission", "permissions.1", "not_found", "there is no such permission")
        }
        "expireApiKey" => {
            let message = "must be an RFC 3339 date and time, such as 2030-01-01T00:00:00.000Z";
            ("invalid_time", "expires_at", "invalid", message)
        }
        "rotateApiKey" => ("time_in_the_past", "expires_at", "invalid", "must be in the future"),
        "revokeApiKey" => ("reason_too_long", "reason", "too_long", "must have at most 200 characters"),
        "getUsage" | "getApiKeyUsage" => ("invalid_range", "from", "invalid", "must lie before `to`"),
        "setApiKeyPermissions" => {
            ("unknown_organization_permission", "organization.1", "not_found", "there is no such permission")
        }
        "setEnvironmentRolePermissions" | "setOrganizationRolePermissions" => {
            ("unknown_role_permission", "permissions.0", "not_found", "there is no such permission")
        }
        "addEnvironmentRolePermission" | "addOrganizationRolePermission" => {
            ("unknown_slug", "slug", "not_found", "there is no such permission")
        }
        "setApiKeyExpiryPolicy" => ("missing_lifetime", "max_lifetime_seconds", "required", "is required"),
        "createOrganizationMembership" => ("missing_user_id", "user_id", "required", "is required"),
        "updateOrganizationMembership" => {
            ("role_slug_twice", "role_slugs", "invalid", "cannot be sent together with `role_slug`")
        }
        "createUser" | "updateUser" => {
            ("invalid_email", "email", "invalid", "must be an e-mail address of at most 254 characters")
        }
        "createWebhookEndpoint" | "updateWebhookEndpoint" => {
            ("unknown_event_type", "events.0", "unknown_event_type", "is not an event type")
        }
        "rotateWebhookSecret" => ("overlap_too_long", "overlap_seconds", "invalid", "must be from 0 to 2592000"),
        "replayWebhookEvents" => ("missing_since", "since", "required", "is required"),
        _ if operation_id.starts_with("list") => {
            ("invalid_limit", "limit", "invalid", "must be a number from 1 to 100")
        }
        _ => ("blank_name", "name", "required", "must not be blank"),
    };
    (name.to_owned(), ApiError::unprocessable(vec![FieldError::new(field, code, message)]))
}

/// Errors that only some operations have: those for operators, and a list that needs a filter.
fn of_operators(operation_id: &str) -> Vec<(&'static str, ApiError)> {
    match operation_id {
        "getReadiness" => vec![
            ("shutting_down", request_error(RequestError::ShuttingDown)),
            ("database_read_only", unavailable(Failure::ReadOnly)),
            ("database_full", unavailable(Failure::Full)),
        ],
        "getMetrics" => vec![
            ("metrics_token_required", request_error(RequestError::MetricsTokenRequired)),
            ("metrics_are_local", request_error(RequestError::MetricsAreLocal)),
        ],
        "listOrganizationMemberships" => {
            vec![("missing_user_id_or_organization_id", request_error(RequestError::MissingUserOrOrganization))]
        }
        _ => vec![],
    }
}
