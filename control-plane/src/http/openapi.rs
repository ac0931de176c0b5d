//! The description of the API, made from the descriptions of its routes and what all of them have in common.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder,
        path::{Operation, Parameter, ParameterIn},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{extract::idempotency, middleware::limits::is_exempt};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Latchkey",
        description = "API keys for the customers of your product: create, scope, list, expire, revoke, validate."
    ),
    servers((
        url = "{base_url}",
        description = "The Worker, which answers validations itself and passes everything else on, or the control plane.",
        variables(("base_url" = (default = "http://127.0.0.1:8787", description = "Where yours is deployed.")))
    )),
    tags(
        (name = "api_keys", description = "Keys of your customers: create, list, update, rotate, expire, revoke, validate."),
        (name = "organizations", description = "Your customers. Each key belongs to one."),
        (name = "users", description = "People who work for your customers, as far as their keys need it."),
        (name = "memberships", description = "Which user belongs to which organization, and with which role."),
        (name = "permissions", description = "What your product lets keys do, and which of it customers may pick."),
        (name = "roles", description = "What users may do, and so what their keys can be allowed: for all organizations, or for one."),
        (name = "usage", description = "How often keys were validated, and with which result."),
        (name = "operations", description = "Health, readiness, metrics and this document, for those who run the server.")
    ),
    components(schemas(shared::error::ErrorBody, shared::id::ApiKeyId, shared::id::OrganizationId)),
    modifiers(&CommonParts),
    security(("management_key" = []))
)]
pub(super) struct Document;

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

/// Adds to the description of the routes what all of them have in common.
pub(super) fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    add_common_errors(&mut document);
    describe_successes(&mut document);
    document
}

const UNPROCESSABLE: &str = "The request was understood and cannot be accepted; `errors` names the fields at fault.";
const UNPROCESSABLE_OR_REUSED: &str = "The request was understood and cannot be accepted; `errors` names the fields at fault. With the code \
     `idempotency_key_reused`, there was another request with this Idempotency-Key.";

/// Whether it needs a management key. What operators and load balancers request does not.
fn is_protected(operation: &Operation) -> bool {
    operation.security.as_deref() != Some(&[SecurityRequirement::default()])
}

/// The errors that an operation can answer for what it is. Those of its own are in its description.
fn common_errors(path: &str, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let mut errors = vec![
        ("408", "The request took longer than it may."),
        ("414", "The URL is too long."),
        ("500", "Latchkey failed; its log says why."),
        ("503", "Latchkey is overloaded or cannot reach its database; try again after `Retry-After` seconds."),
    ];
    if !is_exempt(path) {
        errors.push(("429", "There were too many requests; try again after `Retry-After` seconds."));
    }
    let is_in_query =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(p) if p.parameter_in == ParameterIn::Query);
    let is_idempotency_key =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(p) if p.name == idempotency::HEADER);
    if is_protected(operation) {
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

/// OpenAPI wants a description of each response, and that of a success is its body.
fn describe_successes(document: &mut utoipa::openapi::OpenApi) {
    for (status, response) in operations(document).flat_map(|(_, operation)| &mut operation.responses.responses) {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            (if status == "201" { "Created" } else { "Success" }).clone_into(&mut response.description);
        }
    }
}

fn operations(document: &mut utoipa::openapi::OpenApi) -> impl Iterator<Item = (&String, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        methods.into_iter().flatten().map(move |operation| (path, operation))
    })
}

fn add_common_errors(document: &mut utoipa::openapi::OpenApi) {
    for (path, operation) in operations(document) {
        for (status, description) in common_errors(path, operation) {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
            let response = ResponseBuilder::new().description(description).content("application/json", body);
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use shared::reason::Reason;

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
        let document = serde_json::to_value(crate::http::openapi()).unwrap();
        let references = references(&document);
        assert!(references.len() > 20);
        for reference in references {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_a_tag_that_is_described() {
        let document = serde_json::to_value(crate::http::openapi()).unwrap();
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
        };
        let tags = names(&document["tags"]);
        let mut ids = BTreeSet::new();
        for operation in
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
        {
            let id = operation["operationId"].as_str().unwrap();
            assert!(id.starts_with(char::is_lowercase) && id.chars().all(char::is_alphanumeric), "{id}");
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            for tag in operation["tags"].as_array().unwrap() {
                assert!(tags.iter().any(|described| described == tag), "{id}: {tag}");
            }
        }
    }

    #[test]
    fn refusal_codes_are_those_of_the_table() {
        let document = serde_json::to_value(crate::http::openapi()).unwrap();
        let codes: Vec<&str> = Reason::EVERY.iter().map(|reason| reason.code()).collect();
        assert_eq!(document["components"]["schemas"]["RefusalCode"]["enum"], serde_json::json!(codes));
    }

    #[test]
    fn readme_has_every_refusal_code_with_its_status() {
        let readme = include_str!("../../../README.md");
        let rows = readme.lines().skip_while(|line| !line.starts_with("| `code` | the key |")).skip(2);
        let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), Reason::EVERY.len());
        for (row, reason) in rows.iter().zip(Reason::EVERY) {
            let is_whole = row.starts_with(&format!("| `{}` |", reason.code()))
                && row.ends_with(&format!("| {} |", reason.status()));
            assert!(is_whole, "{row}");
        }
    }

    #[test]
    fn the_document_that_is_checked_in_is_that_of_the_code() {
        let checked_in = include_str!("../../openapi.json");
        let of_the_code = crate::http::openapi().to_pretty_json().unwrap();
        assert!(
            checked_in.trim_end() == of_the_code,
            "run `cargo run -p control-plane -- openapi > control-plane/openapi.json` and read the difference"
        );
    }
}
