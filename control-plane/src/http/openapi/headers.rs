//! The headers of responses. Each is described once, and responses refer to it.

use serde_json::{Value, json};
use utoipa::openapi::{
    HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, Type, path::Operation, schema::SchemaType,
};

use super::{common_errors::takes_idempotency_key, walk::operations};

const REQUEST_ID: &str = "X-Request-ID";
const RETRY_AFTER: &str = "Retry-After";
const CHALLENGE: &str = "WWW-Authenticate";
const REPLAYED: &str = "Idempotent-Replayed";

/// Every header: its name, its type, its description and an example.
fn headers() -> [(&'static str, Type, &'static str, Value); 4] {
    [
        (
            REQUEST_ID,
            Type::String,
            "The request id: the one that the request sent in this header, or a new one. The server log has the same id. A \
             validation that the Worker answers has one only if the request sent one.",
            json!("req_01M8G1K04HBH8QASF0TTH1MVHR"),
        ),
        (RETRY_AFTER, Type::Integer, "The number of seconds to wait before the next attempt.", json!(1)),
        (
            CHALLENGE,
            Type::String,
            "The authentication scheme. Contains `error=\"invalid_token\"` if the request has an `Authorization` header.",
            json!("Bearer realm=\"latchkey\", error=\"invalid_token\""),
        ),
        (
            REPLAYED,
            Type::String,
            "`true` if this is the response of an earlier request with the same `Idempotency-Key`. Omitted otherwise.",
            json!("true"),
        ),
    ]
}

/// Describes the headers, and says which responses have them.
pub fn add(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for (name, r#type, description, example) in headers() {
        let schema = ObjectBuilder::new().schema_type(SchemaType::new(r#type)).build();
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).example(Some(example));
        components.headers.insert(name.to_owned(), header.build().into());
    }
    for (_, operation) in operations(document) {
        let replays = takes_idempotency_key(operation);
        for (status, response) in responses(operation) {
            let names = match status {
                "201" if replays => vec![REQUEST_ID, REPLAYED],
                "401" => vec![REQUEST_ID, CHALLENGE],
                "429" | "503" => vec![REQUEST_ID, RETRY_AFTER],
                _ => vec![REQUEST_ID],
            };
            let reference = |name: &str| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
            response.headers.extend(names.into_iter().map(|name| (name.to_owned(), reference(name))));
        }
    }
}

fn responses(operation: &mut Operation) -> impl Iterator<Item = (&str, &mut Response)> {
    operation.responses.responses.iter_mut().filter_map(|(status, response)| match response {
        RefOr::T(response) => Some((status.as_str(), response)),
        RefOr::Ref(_) => None,
    })
}
