use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::reason::Reason;

fn document() -> Value {
    serde_json::to_value(crate::http::openapi()).unwrap()
}

/// Every operation, with its id.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.map(|operation| (operation["operationId"].as_str().unwrap(), operation))
}

/// What a reference leads to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |reference| document.pointer(&reference[1..]).unwrap())
}

fn fields(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

#[test]
fn every_json_body_has_an_example() {
    let document = document();
    for (id, operation) in operations(&document) {
        let responses = fields(&operation["responses"]);
        let bodies = [("request", &operation["requestBody"])].into_iter();
        for (what, body) in bodies.chain(responses.map(|(status, response)| (status.as_str(), response))) {
            let Some(content) = resolved(&document, body)["content"].get("application/json") else { continue };
            let examples = content["examples"].as_object();
            assert!(examples.is_some_and(|examples| !examples.is_empty()), "{id} {what} has no example");
            for (_, example) in fields(&content["examples"]) {
                assert!(resolved(&document, example).get("value").is_some(), "{id} {what}: {example}");
            }
        }
    }
}

#[test]
fn examples_of_errors_are_in_responses_with_errors_of_that_kind() {
    let document = document();
    for (id, operation) in operations(&document) {
        for (status, response) in fields(&operation["responses"]).filter(|(status, _)| status.as_str() >= "400") {
            let content = &resolved(&document, response)["content"]["application/json"];
            for (name, example) in fields(&content["examples"]) {
                let body = &resolved(&document, example)["value"];
                assert!(body["code"].is_string() && body["message"].is_string(), "{id} {status}: {name}");
                assert!(status != "422" || body["errors"].is_array(), "{id} {status}: {name}");
            }
        }
    }
}

#[test]
fn operation_with_an_idempotency_key_describes_how_it_is_refused() {
    let document = document();
    for (id, operation) in
        operations(&document).filter(|(_, o)| o["parameters"].to_string().contains("Idempotency-Key"))
    {
        for (status, code) in
            [("400", "invalid_idempotency_key"), ("413", "payload_larger"), ("422", "idempotency_key_reused")]
        {
            let response = resolved(&document, &operation["responses"][status]);
            let examples = &response["content"]["application/json"]["examples"];
            assert!(examples.to_string().contains(code), "{id} {status}: {examples}");
        }
    }
}

#[test]
fn every_response_describes_its_headers() {
    let document = document();
    for (id, operation) in operations(&document) {
        let takes_idempotency_key = operation["parameters"].to_string().contains("Idempotency-Key");
        for (status, response) in fields(&operation["responses"]) {
            let has = |name: &str| resolved(&document, response)["headers"].get(name).is_some();
            assert!(has("X-Request-ID"), "{id} {status}");
            assert_eq!(has("Retry-After"), ["429", "503"].contains(&status.as_str()), "{id} {status}");
            assert_eq!(has("WWW-Authenticate"), status == "401", "{id} {status}");
            assert_eq!(has("Idempotent-Replayed"), status == "201" && takes_idempotency_key, "{id} {status}");
        }
    }
}

#[test]
fn every_parameter_field_and_schema_has_a_description() {
    fn check(place: &str, schema: &Value) {
        for (name, field) in fields(&schema["properties"]) {
            let place = format!("{place}.{name}");
            assert!(field["description"].is_string(), "{place} has no description");
            check(&place, field);
        }
        for part in ["oneOf", "allOf"].iter().flat_map(|name| schema[name].as_array().into_iter().flatten()) {
            check(place, part);
        }
        if schema["items"].is_object() {
            check(place, &schema["items"]);
        }
    }
    let document = document();
    for (id, operation) in operations(&document) {
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{id}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{id}: {} has no description", parameter["name"]);
        }
    }
    for (name, schema) in fields(&document["components"]["schemas"]) {
        assert!(schema["description"].is_string(), "{name} has no description");
        check(name, schema);
    }
}

#[test]
fn descriptions_of_refusal_codes_name_each_of_them() {
    let document = document();
    let description = document["components"]["schemas"]["RefusalCode"]["description"].as_str().unwrap();
    let named = description.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next());
    let codes: Vec<&str> = Reason::EVERY.iter().map(|reason| reason.code()).collect();
    assert_eq!(named.collect::<Vec<_>>(), codes);
}

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
    let document = document();
    let references = references(&document);
    assert!(references.len() > 20);
    for reference in references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_and_a_tag_that_is_described() {
    let document = document();
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
    };
    let tags = names(&document["tags"]);
    let mut ids = BTreeSet::new();
    for (id, operation) in operations(&document) {
        assert!(id.starts_with(char::is_lowercase) && id.chars().all(char::is_alphanumeric), "{id}");
        assert!(ids.insert(id.to_owned()), "{id} stands twice");
        for tag in operation["tags"].as_array().unwrap() {
            assert!(tags.iter().any(|described| described == tag), "{id}: {tag}");
        }
    }
}

#[test]
fn refusal_codes_are_those_of_the_table() {
    let document = document();
    let codes: Vec<&str> = Reason::EVERY.iter().map(|reason| reason.code()).collect();
    assert_eq!(document["components"]["schemas"]["RefusalCode"]["enum"], json!(codes));
}

#[test]
fn readme_has_every_refusal_code_with_its_status() {
    let readme = include_str!("../../../../README.md");
    let rows = readme.lines().skip_while(|line| !line.starts_with("| `code` | the key |")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), Reason::EVERY.len());
    for (row, reason) in rows.iter().zip(Reason::EVERY) {
        let is_whole =
            row.starts_with(&format!("| `{}` |", reason.code())) && row.ends_with(&format!("| {} |", reason.status()));
        assert!(is_whole, "{row}");
    }
}

#[test]
fn the_document_that_is_checked_in_is_that_of_the_code() {
    let checked_in = include_str!("../../../openapi.json");
    let of_the_code = crate::http::openapi().to_pretty_json().unwrap();
    assert!(
        checked_in.trim_end() == of_the_code,
        "run `cargo run -p control-plane -- openapi > control-plane/openapi.json` and read the difference"
    );
}
