//! Descriptions of an API in OpenAPI 3.1, and whether answers keep what they promise.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::recorder::Exchange;

/// A description of an API.
#[derive(Debug)]
pub struct Document {
    root: Value,
    operations: Vec<Operation>,
    /// Those that were needed so far, by where their schema stands.
    validators: Mutex<HashMap<String, Validator>>,
}

/// One method of one path.
#[derive(Debug)]
pub struct Operation {
    /// The path, with `{}` for what differs from call to call, whatever the description calls that.
    pub path: String,
    /// The method, in capital letters.
    pub method: String,
    /// Where the operation is described.
    pointer: String,
}

impl Document {
    /// Reads a description in YAML or JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::parse(&text)
    }

    /// The description that this text is, in YAML or JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut root: Value = yaml_serde::from_str(text).expect("a description in YAML or JSON");
        require_once(&mut root);
        let operations = operations(&root);
        assert!(!operations.is_empty(), "the description has no paths");
        Self { root, operations, validators: Mutex::default() }
    }

    /// Every operation that it describes.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation that a call of this path is, if it describes one. Words that stand in it count for more than blanks.
    #[must_use]
    pub fn operation(&self, method: &str, path: &str) -> Option<&Operation> {
        let fitting = self.operations.iter().filter(|operation| operation.method == method && operation.is_of(path));
        fitting.min_by_key(|operation| operation.path.matches("{}").count())
    }

    /// What is wrong with an answer, if anything is. One to a path that is not described is never wrong; one with a status
    /// that is described nowhere is, unless that status is excused.
    #[must_use]
    pub fn complaint(&self, exchange: &Exchange, excused: &[u16]) -> Option<String> {
        let Exchange { method, path, status, body, .. } = exchange;
        let operation = self.operation(method, path)?;
        let response = self.resolved(format!("{}/responses/{status}", operation.pointer));
        let complaint = match self.root.pointer(&response) {
            None if excused.contains(status) => return None,
            None => "this status is not described".to_owned(),
            Some(_) => self.mistakes(&response, exchange)?,
        };
        Some(format!("{method} {path} answered {status} {body:.600}: {complaint}"))
    }

    /// Where the reference at this pointer leads, or the pointer itself if there is no reference.
    fn resolved(&self, pointer: String) -> String {
        let reference = self.root.pointer(&pointer).and_then(|value| value["$ref"].as_str());
        reference.map_or(pointer, |reference| reference.trim_start_matches('#').to_owned())
    }

    /// How the body differs from what is described there.
    fn mistakes(&self, response: &str, exchange: &Exchange) -> Option<String> {
        let Exchange { status, content_type, body, .. } = exchange;
        let content = self.root.pointer(&format!("{response}/content")).and_then(Value::as_object);
        let Some(content) = content.filter(|content| !content.is_empty()) else {
            // Of an error, the status alone may be described.
            return (*status < 400 && !body.is_empty()).then(|| "no body is described".to_owned());
        };
        let given = content_type.as_deref().unwrap_or_default();
        let given = given.split(';').next().unwrap_or_default().trim();
        let schema = content.get(given).map(|described| described.get("schema").is_some());
        match (schema, given) {
            (None, _) => Some(format!("the content type `{given}` is not described")),
            (Some(true), "application/json") => {
                let place = format!("{response}/content/application~1json/schema");
                match serde_json::from_str(body) {
                    Ok(body) => self.mistakes_of_json(&place, &body),
                    Err(error) => Some(format!("not JSON: {error}")),
                }
            }
            _ => None,
        }
    }

    fn mistakes_of_json(&self, schema: &str, body: &Value) -> Option<String> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = validators.entry(schema.to_owned()).or_insert_with(|| self.validator(schema));
        let mistakes: Vec<String> =
            validator.iter_errors(body).map(|mistake| format!("at `{}`: {mistake}", mistake.instance_path())).collect();
        (!mistakes.is_empty()).then(|| mistakes.join("; "))
    }

    /// What the references of a schema lead to stands under `components`, so that comes along.
    fn validator(&self, schema: &str) -> Validator {
        let mut root = self.root.pointer(schema).expect("there is a schema").clone();
        root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        root["components"] = self.root["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&root);
        validator.unwrap_or_else(|error| panic!("no schema at {schema}: {error}"))
    }
}

impl Operation {
    fn is_of(&self, path: &str) -> bool {
        let (wanted, given) = (self.path.split('/'), path.split('/'));
        wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| wanted == given || (wanted == "{}" && !given.is_empty()))
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Descriptions may require a property twice, which no schema may: the validator then misses it though it is there.
fn require_once(value: &mut Value) {
    if let Some(required) = value.get_mut("required").and_then(Value::as_array_mut) {
        let mut seen = HashSet::new();
        required.retain(|name| seen.insert(name.to_string()));
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(require_once),
        Value::Array(items) => items.iter_mut().for_each(require_once),
        _ => {}
    }
}

fn operations(root: &Value) -> Vec<Operation> {
    let methods = ["get", "put", "post", "patch", "delete"];
    let paths = root["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let described = methods.into_iter().filter(|method| item.get(*method).is_some());
        described.map(|method| Operation {
            path: path
                .split('/')
                .map(|part| if part.starts_with('{') { "{}" } else { part })
                .collect::<Vec<_>>()
                .join("/"),
            method: method.to_uppercase(),
            pointer: format!("/paths/{}/{method}", path.replace('~', "~0").replace('/', "~1")),
        })
    });
    operations.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THINGS: &str = r#"
openapi: 3.1.0
paths:
  /things/{id}:
    get:
      responses:
        '200':
          content:
            application/json:
              schema: { $ref: '#/components/schemas/Thing' }
        '404': { description: Not Found }
        '409': { $ref: '#/components/responses/Conflict' }
    delete:
      responses:
        '204': { description: Gone }
  /things/{kind}/{id}:
    get:
      responses: {}
  /things/external_id/{id}:
    get:
      responses: {}
components:
  responses:
    Conflict:
      description: Conflict
      content:
        application/json:
          schema: { type: object, required: [code] }
  schemas:
    Thing:
      type: object
      properties:
        made: { type: string, format: date-time }
        note: { type: [string, 'null'] }
      required: [made, note, note]
"#;

    fn answer(method: &str, path: &str, status: u16, body: &str) -> Exchange {
        let content_type = (!body.is_empty()).then(|| "application/json; charset=utf-8".to_owned());
        let (method, path, body) = (method.to_owned(), path.to_owned(), body.to_owned());
        Exchange { method, path, status, content_type, body, has_idempotency_key: false }
    }

    #[test]
    fn an_answer_that_keeps_its_promise_is_not_complained_of() {
        let document = Document::parse(THINGS);
        for (method, path, status, body) in [
            ("GET", "/things/1", 200, r#"{"made": "2030-01-01T00:00:00.000Z", "note": null, "more": 1}"#),
            ("GET", "/things/1", 404, r#"{"message": "No."}"#),
            ("GET", "/things/1", 429, "{}"),
            ("DELETE", "/things/1", 204, ""),
            ("GET", "/others/1", 418, "{}"),
            ("PATCH", "/things/1", 200, "{}"),
        ] {
            assert_eq!(
                document.complaint(&answer(method, path, status, body), &[429]),
                None,
                "{method} {path} {status}"
            );
        }
    }

    #[test]
    fn an_answer_that_does_not_is() {
        let document = Document::parse(THINGS);
        for (method, status, body, complaint) in [
            ("GET", 200, r#"{"made": "2030-01-01T00:00:00.000Z"}"#, "\"note\" is a required property"),
            ("GET", 200, r#"{"made": "yesterday", "note": null}"#, "at `/made`: \"yesterday\" is not a \"date-time\""),
            ("GET", 200, r#"{"made": "2030-01-01T00:00:00Z", "note": 1}"#, "at `/note`"),
            ("GET", 200, "made", "not JSON"),
            ("GET", 200, "", "the content type `` is not described"),
            ("GET", 409, "{}", "\"code\" is a required property"),
            ("GET", 410, "{}", "this status is not described"),
            ("DELETE", 204, "{}", "no body is described"),
        ] {
            let said = document.complaint(&answer(method, "/things/1", status, body), &[429]).expect(body);
            assert!(said.contains(complaint), "{said}");
        }
    }

    #[test]
    fn a_path_that_names_more_is_meant_before_one_that_names_less() {
        let document = Document::parse(THINGS);
        let found = |path| document.operation("GET", path).map(|operation| operation.path.as_str());
        assert_eq!(found("/things/external_id/a"), Some("/things/external_id/{}"));
        assert_eq!(found("/things/round/a"), Some("/things/{}/{}"));
        assert_eq!(found("/things/"), None);
    }
}
