//! The description of the API, made from the descriptions of its routes and from what is added to them here.
//!
//! | module | what it adds |
//! | --- | --- |
//! | `common_errors` | the errors that operations have in common |
//! | `headers` | the headers of responses |
//! | `examples` | examples of bodies |
//! | `descriptions` | the introduction, and the descriptions of parameters and of successful responses |
//! | `shared_responses` | references to responses that several operations have |

mod common_errors;
mod descriptions;
mod examples;
mod headers;
mod shared_responses;
#[cfg(test)]
mod tests;
mod walk;

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Ref, RefOr, Schema,
        schema::ArrayItems,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Latchkey"),
    servers((
        url = "{base_url}",
        description = "The Worker or, without one, the control plane.",
        variables(("base_url" = (default = "http://127.0.0.1:8787", description = "The URL of your deployment.")))
    )),
    tags(
        (name = "api_keys", description = "The API keys of your customers: create, validate, update, rotate, expire and revoke them."),
        (name = "organizations", description = "Your customers. Each API key belongs to one organization."),
        (name = "users", description = "The users of organizations, who can have API keys of their own."),
        (name = "memberships", description = "The organizations that a user belongs to, and the user's role in each."),
        (name = "permissions", description = "The permissions of your product, and those that customers can put on API keys."),
        (name = "roles", description = "Sets of permissions that limit the API keys of users. A role belongs to the environment or to one organization."),
        (name = "usage", description = "Counts of the validations in the environment, by time and outcome."),
        (name = "events", description = "What happened in the environment, in order. See docs/EVENTS.md."),
        (name = "webhooks", description = "Your URLs to which events are sent, and the log of deliveries. See docs/EVENTS.md."),
        (name = "operations", description = "Health, readiness, metrics and this document, for operators.")
    ),
    components(schemas(shared::error::ErrorBody, shared::id::ApiKeyId, shared::id::OrganizationId)),
    modifiers(&Authentication),
    security(("management_key" = []))
)]
pub(super) struct Document;

/// How callers authenticate.
struct Authentication;

impl Modify for Authentication {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let description = "A management key, `mk_…`. `latchkey management-keys create` creates one. Each operation names the scope that \
                           the key needs.";
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("management_key", SecurityScheme::Http(bearer));
    }
}

/// Adds what the descriptions of the routes do not contain.
pub(super) fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    refer_to_items(&mut document);
    common_errors::add(&mut document);
    headers::add(&mut document);
    examples::add(&mut document);
    descriptions::add(&mut document);
    shared_responses::refer_to_all(&mut document);
    document
}

/// The schema of a list repeats that of its items, because it is generic. A reference is shorter, and generated clients
/// then have one type for both.
fn refer_to_items(document: &mut utoipa::openapi::OpenApi) {
    let components = document.components.get_or_insert_default();
    for (name, schema) in &mut components.schemas {
        let Some(item) = name.strip_prefix("List_") else { continue };
        if let RefOr::T(Schema::Object(list)) = schema
            && let Some(RefOr::T(Schema::Array(data))) = list.properties.get_mut("data")
        {
            data.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
        }
    }
}
