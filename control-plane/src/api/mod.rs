//! Every route. One verb, one file: what it takes, what it answers, and its tests.

mod access;
#[cfg(test)]
mod acknowledgements;
mod api_key_permissions;
mod api_keys;
mod body;
mod client_address;
mod error;
mod fields;
mod idempotency;
mod layers;
pub mod limits;
mod list;
mod memberships;
pub mod operations;
mod organizations;
mod path;
mod permissions;
mod request_id;
mod request_log;
mod roles;
#[cfg(test)]
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
mod usage;
mod user_api_keys;
mod users;

use axum::Router;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder,
        path::{Operation, Parameter, ParameterIn},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, config::Config};

pub use error::{EdgePending, Error};
pub use layers::REQUEST_TIME_LIMIT;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Latchkey",
        description = "API keys for the customers of your product: create, scope, list, expire, revoke, validate."
    ),
    components(schemas(shared::error::ErrorBody, shared::id::ApiKeyId, shared::id::OrganizationId)),
    modifiers(&CommonParts),
    security(("management_key" = []))
)]
struct Document;

/// What every operation has in common: how callers show who they are, and the errors that any of them can meet.
struct CommonParts;

impl Modify for CommonParts {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A management key, `mk_…`. `latchkey management-keys create` makes one."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("management_key", SecurityScheme::Http(bearer));
    }
}

/// The routes, with their descriptions.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(organizations::create::create, organizations::list::list))
        .routes(routes!(organizations::get::get, organizations::update::update, organizations::delete::delete))
        .routes(routes!(organizations::get_by_external_id::get_by_external_id))
        .routes(routes!(organizations::expiry_policy::get, organizations::expiry_policy::set))
        .routes(routes!(api_keys::create::create, api_keys::list::list))
        .routes(routes!(api_keys::get::get, api_keys::update::update, api_keys::delete::delete))
        .routes(routes!(api_keys::expire::expire))
        .routes(routes!(api_keys::rotate::rotate))
        .routes(routes!(api_keys::validate::validate))
        .routes(routes!(api_keys::usage::usage))
        .routes(routes!(permissions::create::create, permissions::list::list))
        .routes(routes!(permissions::get::get, permissions::update::update, permissions::delete::delete))
        .routes(routes!(api_key_permissions::get::get, api_key_permissions::set::set))
        .routes(routes!(roles::of_environment::create::create, roles::of_environment::list::list))
        .routes(routes!(roles::of_environment::get::get, roles::of_environment::update::update))
        .routes(routes!(
            roles::of_environment::set_permissions::set_permissions,
            roles::of_environment::add_permission::add_permission
        ))
        .routes(routes!(roles::of_organization::create::create, roles::of_organization::list::list))
        .routes(routes!(
            roles::of_organization::get::get,
            roles::of_organization::update::update,
            roles::of_organization::delete::delete
        ))
        .routes(routes!(
            roles::of_organization::set_permissions::set_permissions,
            roles::of_organization::add_permission::add_permission
        ))
        .routes(routes!(roles::of_organization::remove_permission::remove_permission))
        .routes(routes!(users::create::create, users::list::list))
        .routes(routes!(users::get::get, users::update::update, users::delete::delete))
        .routes(routes!(users::get_by_external_id::get_by_external_id))
        .routes(routes!(user_api_keys::create::create, user_api_keys::list::list))
        .routes(routes!(memberships::create::create, memberships::list::list))
        .routes(routes!(memberships::get::get, memberships::update::update, memberships::delete::delete))
        .routes(routes!(memberships::deactivate::deactivate))
        .routes(routes!(memberships::reactivate::reactivate))
        .routes(routes!(usage::get::get))
        .routes(routes!(operations::health))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
}

/// What the Worker asks for itself, if there is one. It is not for clients, so it is not in the document.
fn routes_of_the_edge(config: &Config) -> Router<App> {
    match config.edge() {
        Ok(Some(edge)) => usage::take::route(edge.secrets),
        _ => Router::new(),
    }
}

/// The server.
pub fn router(app: App, config: &Config) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router
        .fallback(layers::no_such_route)
        .method_not_allowed_fallback(layers::no_such_method)
        .layer(axum::Extension(operations::MetricsAccess::new(config)))
        .with_state(app.clone());
    layers::around(router, routes_of_the_edge(config).with_state(app.clone()), app)
}

/// The description of every route.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut document) = routes().split_for_parts();
    add_common_errors(&mut document);
    document
}

const UNPROCESSABLE: &str = "The request was understood and cannot be accepted; `errors` names the fields at fault.";
const UNPROCESSABLE_OR_REUSED: &str = "The request was understood and cannot be accepted; `errors` names the fields at fault. With the code \
     `idempotency_key_reused`, there was another request with this Idempotency-Key.";

/// The errors that an operation can answer for what it is. Those of its own are in its description.
fn common_errors(path: &str, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let mut errors = vec![
        ("408", "The request took longer than it may."),
        ("414", "The URL is too long."),
        ("500", "Latchkey failed; its log says why."),
        ("503", "Latchkey is overloaded or cannot reach its database; try again after `Retry-After` seconds."),
    ];
    if !limits::is_exempt(path) {
        errors.push(("429", "There were too many requests; try again after `Retry-After` seconds."));
    }
    let is_in_query =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(p) if p.parameter_in == ParameterIn::Query);
    let is_idempotency_key =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(p) if p.name == idempotency::HEADER);
    // What the server's own operators ask for overrides the requirement of a management key.
    if operation.security.is_none() {
        errors.extend([("401", "No valid management key was sent."), ("403", "The management key lacks the scope.")]);
    }
    if operation.request_body.is_some() {
        errors.extend([
            ("400", "The body is not JSON, or a header is not as it must be."),
            ("413", "The body is too long."),
        ]);
    }
    if operation.request_body.is_some() || operation.parameters.iter().flatten().any(is_in_query) {
        let is_repeatable = operation.parameters.iter().flatten().any(is_idempotency_key);
        errors.push(("422", if is_repeatable { UNPROCESSABLE_OR_REUSED } else { UNPROCESSABLE }));
    }
    if path.contains('{') {
        errors.push(("404", "There is no such thing in this environment."));
    }
    errors
}

fn add_common_errors(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            for (status, description) in common_errors(path, operation) {
                let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
                let response = ResponseBuilder::new().description(description).content("application/json", body);
                let responses = &mut operation.responses.responses;
                responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn references(value: &Value) -> Vec<String> {
            match value {
                Value::Object(fields) => fields
                    .iter()
                    .flat_map(|(name, value)| match value {
                        Value::String(reference) if name == "$ref" => vec![reference.clone()],
                        value => references(value),
                    })
                    .collect(),
                Value::Array(items) => items.iter().flat_map(references).collect(),
                _ => vec![],
            }
        }
        let document = serde_json::to_value(super::openapi()).unwrap();
        let references = references(&document);
        assert!(references.len() > 20);
        for reference in references {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    #[test]
    fn the_document_that_is_checked_in_is_that_of_the_code() {
        let checked_in = include_str!("../../openapi.json");
        let of_the_code = super::openapi().to_pretty_json().unwrap();
        assert!(
            checked_in.trim_end() == of_the_code,
            "run `cargo run -p control-plane -- openapi > control-plane/openapi.json` and read the difference"
        );
    }
}
