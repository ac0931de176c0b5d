//! Tells the story of the examples to the real routes.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use serde_json::{Value, json};
use shared::Timestamp;

use super::{OPERATIONS, OfOperation, ids, other_permission};
use crate::{
    storage::{Db, testing::conformance},
    testing::server::Server,
};

/// The document, and the real server that it describes.
struct Story {
    document: Value,
    server: Server,
    /// What the ids and the values of the examples are on the real server.
    real: BTreeMap<String, String>,
}

impl Story {
    async fn new(db: Db) -> Self {
        let server = Server::new(db).await;
        let document = serde_json::to_value(crate::http::openapi()).unwrap();
        let mut story = Self { document, server, real: BTreeMap::new() };
        let permission = other_permission();
        let fields = ["slug", "name", "description"].map(|field| (field, &permission[field]));
        let created = story.server.post("/authorization/permissions", json!(BTreeMap::from(fields))).await.expect(201);
        story.compare("posts:write", &permission, &created);
        story
    }

    fn example(&self, name: &str) -> Value {
        self.document["components"]["examples"][name]["value"].clone()
    }

    /// Sends a request with this body to an operation, with the example of each parameter, and expects it to succeed.
    async fn send(&self, operation_id: &str, body: Option<&Value>) -> Value {
        let paths = self.document["paths"].as_object().unwrap().iter();
        let mut operations = paths.flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
        });
        let (path, method, operation) = operations.find(|(.., found)| found["operationId"] == operation_id).unwrap();
        let mut path = path.clone() + "?";
        if operation_id == "listEvents" {
            path += "limit=1&";
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            match (parameter["in"].as_str().unwrap(), parameter["example"].as_str()) {
                ("path", example) => path = path.replace(&format!("{{{name}}}"), example.expect(name)),
                ("query", Some(example)) => path += &format!("{name}={example}&"),
                _ => {}
            }
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(self.really(&body.to_string())));
        let reply = self.server.send(&method.to_uppercase(), &self.really(&path), body).await;
        assert!((200..300).contains(&reply.status), "{operation_id}: {reply:?}");
        if reply.text.is_empty() { Value::Null } else { reply.json() }
    }

    /// The text with the ids and the values of the real server.
    fn really(&self, text: &str) -> String {
        self.real.iter().fold(text.to_owned(), |text, (example, real)| text.replace(example, real))
    }

    /// Requires that a response is as its example says, but for what differs from server to server.
    fn compare(&mut self, place: &str, example: &Value, found: &Value) {
        match (example, found) {
            (Value::Object(_), Value::Object(_)) if place.ends_with(".outcomes") => {}
            (Value::Object(example), Value::Object(found)) => {
                // The server of the test has no edge.
                let keys: BTreeSet<_> = example.keys().filter(|key| *key != "edge").collect();
                assert_eq!(keys, found.keys().collect(), "{place}");
                for key in keys {
                    self.compare(&format!("{place}.{key}"), &example[key], &found[key]);
                }
            }
            (Value::Array(example), Value::Array(found)) => {
                assert_eq!(example.len(), found.len(), "{place}: {found:?}");
                for (at, (example, found)) in example.iter().zip(found).enumerate() {
                    self.compare(&format!("{place}.{at}"), example, found);
                }
            }
            (Value::String(example), Value::String(found)) => self.compare_texts(place, example, found),
            (Value::Number(_), Value::Number(_)) if place.ends_with(".total") => {}
            _ => assert_eq!(example, found, "{place}"),
        }
    }

    fn compare_texts(&mut self, place: &str, example: &str, found: &str) {
        let kind =
            |text: &str| text.rsplit_once('_').filter(|(_, ulid)| ulid.len() == 26).map(|(kind, _)| kind.to_owned());
        let is_value = example.starts_with("lk_live_") && !example.contains('…');
        if is_value || kind(example).is_some() {
            assert_eq!(kind(example), kind(found), "{place}");
            let real = self.real.entry(example.to_owned()).or_insert_with(|| found.to_owned());
            assert_eq!(real, found, "{place}: {example} stands for two things");
        } else if Timestamp::parse(example).is_some() {
            assert!(Timestamp::parse(found).is_some(), "{place}: {found}");
        } else if place.ends_with(".actor.name") {
            assert!(!found.is_empty(), "{place}");
        } else if example.starts_with("whsec_") {
            assert_eq!(example.chars().count(), found.chars().count(), "{place}");
        } else if example.starts_with("lk_live_…") {
            assert!(found.starts_with("lk_test_…"), "{place}: {found}");
        } else {
            assert_eq!(example, found, "{place}");
        }
    }

    /// Sends the first request example of an operation, and compares the response with the first response example.
    async fn tell(&mut self, operation: &OfOperation) {
        let OfOperation { operation_id, requests, responses } = operation;
        if operation_id.ends_with("Usage") {
            self.server.write_usage().await;
        }
        while self.server.append_events().await {}
        let body = requests.first().map(|name| self.example(name));
        let found = self.send(operation_id, body.as_ref()).await;
        if let Some(response) = responses.first().filter(|_| *operation_id != "getOpenApi") {
            self.compare(operation_id, &self.example(response), &found);
        }
        // What is created later sorts later.
        self.server.advance(1);
    }

    /// Sends the other request examples of an operation.
    async fn send_others(&self, operation: &OfOperation) {
        for name in operation.requests.iter().skip(1) {
            self.send(operation.operation_id, Some(&self.example(name))).await;
        }
    }
}

#[test]
fn every_operation_with_a_body_has_a_place_in_the_story() {
    let document = serde_json::to_value(crate::http::openapi()).unwrap();
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let has_body = |operation: &&Value| {
        let responses = ["200", "201"].map(|status| &operation["responses"][status]);
        operation.get("requestBody").is_some()
            || responses.iter().any(|response| response["content"].get("application/json").is_some())
    };
    let with_body: BTreeSet<&str> =
        operations.filter(has_body).map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(with_body, OPERATIONS.iter().map(|operation| operation.operation_id).collect());
}

#[test]
fn no_example_is_a_real_key() {
    let document = serde_json::to_string(&crate::http::openapi()).unwrap();
    let words = document.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let keys: Vec<&str> = words.filter(|word| shared::key::parse(word).is_ok()).collect();
    assert!(keys.is_empty(), "{keys:?}");
    assert!(ids::OF_SCHEMAS.iter().all(|(_, id)| document.contains(id)));
}

conformance! {
    async fn request_examples_are_accepted_and_responses_are_as_their_examples(db: Db) {
        let mut story = Story::new(db).await;
        // A policy limits the keys that are created after it, so it comes last.
        let is_of_policy = |operation: &&OfOperation| operation.operation_id.ends_with("ExpiryPolicy");
        for operation in OPERATIONS.iter().filter(|operation| !is_of_policy(operation)) {
            story.tell(operation).await;
        }
        for operation in OPERATIONS.iter().filter(|operation| !is_of_policy(operation)) {
            story.send_others(operation).await;
        }
        for operation in OPERATIONS.iter().filter(is_of_policy) {
            story.tell(operation).await;
        }
        for operation in OPERATIONS.iter().filter(is_of_policy) {
            story.send_others(operation).await;
        }
    }
}
