use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::{Outcome, arbitrary, ensure, equal, property, vectors};
use crate::{
    Timestamp,
    error::ApiError,
    id::EnvironmentId,
    reason::Reason,
    record::Record,
    validation::{Answer, Validation},
};

const GOLDEN: &str = include_str!("../../testdata/validations.json");

#[derive(Deserialize)]
struct Golden {
    bodies: Vec<Body>,
    lengths: Vec<Length>,
    answers: Vec<GoldenAnswer>,
}

#[derive(Deserialize)]
struct Body {
    body: String,
    /// Instead of the body, where it is no text.
    bytes: Option<Vec<u8>>,
    error: Option<GoldenError>,
}

#[derive(Deserialize)]
struct Length {
    length: usize,
    error: Option<GoldenError>,
}

/// An error as it goes over the wire.
#[derive(Debug, PartialEq, Deserialize)]
pub struct GoldenError {
    status: u16,
    body: String,
}

impl From<ApiError> for GoldenError {
    fn from(error: ApiError) -> Self {
        Self { status: error.status, body: error.to_json() }
    }
}

#[derive(Deserialize)]
struct GoldenAnswer {
    name: String,
    body: String,
    environment: EnvironmentId,
    record: Option<Record>,
    now: Timestamp,
    answer: String,
    refused: Option<String>,
}

fn error(body: &[u8]) -> Option<GoldenError> {
    Validation::parse(body).err().map(GoldenError::from)
}

pub fn golden_bodies() -> Outcome {
    vectors::<Golden>(GOLDEN)?.bodies.into_iter().try_for_each(|vector| {
        let body = vector.bytes.unwrap_or_else(|| vector.body.into_bytes());
        equal(&String::from_utf8_lossy(&body), error(&body), vector.error)
    })
}

pub fn golden_lengths() -> Outcome {
    vectors::<Golden>(GOLDEN)?.lengths.into_iter().try_for_each(|vector| {
        let (before, after) = (r#"{"value":""#, r#""}"#);
        let value = "x".repeat(vector.length - before.len() - after.len());
        equal("the length", error(format!("{before}{value}{after}").as_bytes()), vector.error)
    })
}

pub fn golden_answers() -> Outcome {
    vectors::<Golden>(GOLDEN)?.answers.into_iter().try_for_each(|vector| {
        let name = &vector.name;
        let validation = Validation::parse(vector.body.as_bytes()).map_err(|error| error.to_json())?;
        let answer = validation.answer(&vector.environment, vector.record.as_ref(), vector.now);
        equal(name, answer.body, vector.answer)?;
        equal(name, answer.refused.map(Reason::code), vector.refused.as_deref())
    })
}

pub fn any_body_can_be_read() -> Outcome {
    const VALUES: &[&str] =
        &["\"a\"", "\"\"", "null", "5", "[]", "{}", "\"1.2.3.4\"", "\"a AND b\"", "\"\\u0000\"", "x", ""];
    let value = || prop::sample::select(VALUES);
    let near = (value(), value(), value(), value())
        .prop_map(|(a, b, c, d)| format!(r#"{{"value":{a},"ip":{b},"permissions":{c},"other":{d}}}"#).into_bytes());
    let far = prop::collection::vec(any::<u8>(), 0..100);
    property(prop_oneof![near, far], |body| match error(&body) {
        None => Ok(()),
        Some(error) => {
            ensure("400 or 422", [400, 422].contains(&error.status))?;
            let body: Value = serde_json::from_str(&error.body).map_err(|error| error.to_string())?;
            ensure("a message", body["message"].is_string())?;
            ensure("a code", body["code"].is_string())?;
            equal("fields with 422", body["errors"].is_array(), error.status == 422)
        }
    })
}

pub fn errors_do_not_repeat_the_key() -> Outcome {
    const SHAPES: &[&str] = &[
        "KEY",
        "\"KEY\"",
        "[\"KEY\"]",
        "{\"KEY\":1}",
        "{\"value\":[\"KEY\"]}",
        "{\"value\":{\"KEY\":\"KEY\"}}",
        "{\"value\":\"KEY",
        "{\"value\":\"KEY\" \"KEY\"}",
        "{\"value\":\"KEY\",\"value\":\"KEY\"}",
        "{\"value\":\"KEY\",\"ip\":\"KEY\"}",
        "{\"value\":\"KEY\",\"ip\":5}",
        "{\"value\":5,\"ip\":\"KEY\"}",
        "{\"value\":\"KEY\"}KEY",
    ];
    property((prop::sample::select(SHAPES), arbitrary::key()), |(shape, key)| {
        let error = error(shape.replace("KEY", &key).as_bytes()).ok_or_else(|| format!("{shape}: is accepted"))?;
        ensure(shape, !error.body.contains(&key))
    })
}

pub fn an_answer_is_one_of_two_shapes() -> Outcome {
    let question = (prop::option::of(arbitrary::record()), arbitrary::timestamp(), arbitrary::environment_id());
    property((question, any::<bool>()), |((record, now, other), at_home)| {
        let validation =
            Validation::parse(br#"{"value":"lk_live_secret","ip":"10.0.0.1"}"#).map_err(|e| e.to_json())?;
        let home = record.as_ref().filter(|_| at_home).map_or(&other, |record| &record.environment);
        let Answer { body, refused } = validation.answer(home, record.as_ref(), now);
        ensure("no key in it", !body.contains("lk_live_secret"))?;
        let shown: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let fields = |value: &Value| value.as_object().map_or(0, serde_json::Map::len);
        match refused {
            None => {
                equal("nothing but the key", fields(&shown), 1)?;
                equal("the fields of the key that are always there", fields(&shown["api_key"]).min(10), 10)
            }
            Some(reason) => {
                equal("null, code and message", fields(&shown), 3)?;
                ensure("no key", shown.get("api_key").is_some_and(Value::is_null))?;
                equal("its code", shown["code"].as_str(), Some(reason.code()))
            }
        }
    })
}
