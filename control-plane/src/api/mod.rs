//! Every route. One verb, one file: what it takes, what it answers, and its tests.

mod access;
mod api_keys;
mod body;
mod error;
mod fields;
mod layers;
mod list;
mod operations;
mod organizations;
mod path;
mod permissions;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod testing;

use axum::Router;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, Ref, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, config::Config};

pub use error::Error;
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
        .routes(routes!(api_keys::create::create, api_keys::list::list))
        .routes(routes!(api_keys::get::get, api_keys::delete::delete))
        .routes(routes!(api_keys::expire::expire))
        .routes(routes!(api_keys::validate::validate))
        .routes(routes!(permissions::create::create, permissions::list::list))
        .routes(routes!(permissions::get::get, permissions::update::update, permissions::delete::delete))
        .routes(routes!(operations::health))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
}

/// The server.
pub fn router(app: App, config: &Config) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router
        .fallback(layers::no_such_route)
        .method_not_allowed_fallback(layers::no_such_method)
        .layer(axum::Extension(operations::MetricsToken::new(&config.metrics_token)))
        .with_state(app.clone());
    layers::around(router, app)
}

/// The description of every route.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut document) = routes().split_for_parts();
    add_common_errors(&mut document);
    document
}

/// Any operation that wants a management key can answer 401 and 403, and any at all 500 and 503.
fn add_common_errors(document: &mut utoipa::openapi::OpenApi) {
    let common = [
        ("401", "No valid management key was sent."),
        ("403", "The management key lacks the scope."),
        ("408", "The request took longer than it may."),
        ("500", "Latchkey failed; its log says why."),
        ("503", "Latchkey is overloaded or cannot reach its database; try again after `Retry-After` seconds."),
    ];
    let operations = document.paths.paths.values_mut().flat_map(|path| {
        [&mut path.get, &mut path.put, &mut path.post, &mut path.patch, &mut path.delete].into_iter().flatten()
    });
    for operation in operations {
        for (status, description) in common {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
            let response = ResponseBuilder::new().description(description).content("application/json", body).build();
            operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
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
