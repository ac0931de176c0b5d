//! The errors that operations have in common, each with its description.

use utoipa::openapi::{
    ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
    path::{Operation, Parameter, ParameterIn},
    security::SecurityRequirement,
};

use super::walk::operations;
use crate::http::{extract::idempotency, middleware::limits::is_exempt};

/// The one route with a lower limit on its body.
pub const VALIDATIONS: &str = "/api_keys/validations";

/// Whether it needs a management key. The routes for operators do not.
fn is_protected(operation: &Operation) -> bool {
    operation.security.as_deref() != Some(&[SecurityRequirement::default()])
}

/// Whether it accepts an `Idempotency-Key`.
pub fn takes_idempotency_key(operation: &Operation) -> bool {
    let is_idempotency_key =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(p) if p.name == idempotency::HEADER);
    operation.parameters.iter().flatten().any(is_idempotency_key)
}

/// Whether it takes query parameters.
pub fn has_query(operation: &Operation) -> bool {
    let is_in_query =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(p) if p.parameter_in == ParameterIn::Query);
    operation.parameters.iter().flatten().any(is_in_query)
}

/// The errors that an operation can return because of what it is. Errors of its own are in its description.
fn common_errors(path: &str, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let mut errors = vec![
        ("408", "The request took longer than 30 seconds."),
        ("414", "The path and the query are longer than 8,192 characters."),
        ("500", "An unexpected failure. The server log has the cause."),
    ];
    if !matches!(path, "/health" | "/openapi.json") {
        errors.push(("503", "The database is busy or unavailable. Retry after `Retry-After` seconds."));
    }
    if !is_exempt(path) {
        errors.push((
            "429",
            "The management key or the client address makes too many requests. Retry after `Retry-After` seconds.",
        ));
    }
    if is_protected(operation) {
        errors.extend([
            ("401", "The management key is missing, malformed, unknown or revoked."),
            ("403", "The management key lacks the scope that this operation requires."),
        ]);
    }
    let (has_body, is_repeatable) = (operation.request_body.is_some(), takes_idempotency_key(operation));
    if let Some(description) = bad_request(has_body, is_repeatable) {
        let is_validation = path == VALIDATIONS;
        errors.extend([
            ("400", description),
            ("413", if is_validation { "The body is longer than 16 KiB." } else { "The body is longer than 128 KiB." }),
        ]);
    }
    errors.extend(unprocessable(has_body, is_repeatable, has_query(operation)).map(|description| ("422", description)));
    if path.contains('{') {
        errors.push(("404", not_found(path)));
    }
    errors
}

/// A body is read wherever there is an `Idempotency-Key`, for the two belong together.
fn bad_request(has_body: bool, is_repeatable: bool) -> Option<&'static str> {
    match (has_body, is_repeatable) {
        (_, true) => Some("The body is not valid JSON, or `Idempotency-Key` is invalid."),
        (true, false) => Some("The body is not valid JSON."),
        (false, false) => None,
    }
}

fn unprocessable(has_body: bool, is_repeatable: bool, has_query: bool) -> Option<&'static str> {
    match (has_body, is_repeatable) {
        (true, true) => Some(
            "A field is missing or invalid; `errors` lists the fields at fault. With the code `idempotency_key_reused`, the \
             `Idempotency-Key` was used for another request.",
        ),
        (true, false) => Some("A field is missing or invalid. `errors` lists the fields at fault."),
        (false, true) => Some("The `Idempotency-Key` was used for another request."),
        (false, false) if has_query => Some("A query parameter is invalid. `errors` lists the parameters at fault."),
        (false, false) => None,
    }
}

fn not_found(path: &str) -> &'static str {
    let is_below = |prefix: &str| path.starts_with(prefix);
    match path {
        "/api_keys/{id}/usage" => "The API key does not exist in this environment.",
        _ if is_below("/api_keys/") => "The API key does not exist in this environment, or is revoked.",
        _ if is_below("/authorization/permissions/") => "The permission does not exist in this environment.",
        _ if path.contains("{permission_slug}") => {
            "The organization, the role or the permission does not exist in this environment."
        }
        _ if is_below("/authorization/roles/") => "The role does not exist in this environment.",
        _ if path.contains("/roles/{slug}") => "The organization or the role does not exist in this environment.",
        _ if is_below("/user_management/organization_memberships/") => {
            "The membership does not exist in this environment."
        }
        _ if is_below("/user_management/users/") => "The user does not exist in this environment.",
        _ if is_below("/webhook_endpoints/") => "The webhook endpoint does not exist in this environment.",
        _ if is_below("/webhook_deliveries/") => "The webhook delivery does not exist in this environment.",
        _ => "The organization does not exist in this environment.",
    }
}

/// Adds the common errors that an operation does not describe itself.
pub fn add(document: &mut OpenApi) {
    for (path, operation) in operations(document) {
        for (status, description) in common_errors(path, operation) {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
            let response = ResponseBuilder::new().description(description).content("application/json", body);
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
        }
    }
}
