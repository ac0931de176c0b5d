use serde::{Deserialize, Serialize};

use super::{Outcome, ensure, equal};
use crate::{Rfc3339, error::ApiError, json};

/// A body with a field of each sort that requests have.
#[derive(Debug, Deserialize, Serialize)]
struct Body {
    name: String,
    #[serde(default)]
    count: Option<u32>,
    #[serde(default)]
    expires_at: Option<Rfc3339>,
    #[serde(default)]
    owner: Option<Owner>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Owner {
    id: String,
}

fn error(body: &str) -> Result<ApiError, String> {
    json::parse::<Body>(body.as_bytes()).err().ok_or_else(|| format!("{body}: is accepted"))
}

pub fn the_field_at_fault_is_named() -> Outcome {
    let vectors = [
        ("{}", "name", "required", "is required"),
        (r#"{"name":5}"#, "name", "invalid", "must be a string"),
        (r#"{"name":"a","count":"5"}"#, "count", "invalid", "must be u32"),
        (r#"{"name":"a","owner":{}}"#, "owner.id", "required", "is required"),
        (r#"{"name":"a","owner":{"id":[]}}"#, "owner.id", "invalid", "must be a string"),
        (r#"{"name":"a","owner":"b"}"#, "owner", "invalid", "must be an object"),
        (r#"{"name":"a","tags":["b",5]}"#, "tags.1", "invalid", "must be a string"),
        (r#"{"name":"a","tags":{}}"#, "tags", "invalid", "must be a sequence"),
        (
            r#"{"name":"a","expires_at":"tomorrow"}"#,
            "expires_at",
            "invalid",
            "must be an RFC 3339 date and time, such as 2030-01-01T00:00:00.000Z",
        ),
        ("[]", "body", "invalid", "must be an object"),
        ("5", "body", "invalid", "must be an object"),
    ];
    vectors.into_iter().try_for_each(|(body, field, code, message)| {
        let error = error(body)?;
        equal(body, error.status, 422)?;
        let found: Vec<_> =
            error.body.errors.iter().map(|e| (e.field.as_str(), e.code.as_str(), e.message.as_str())).collect();
        equal(body, found, vec![(field, code, message)])
    })
}

pub fn what_was_given_is_not_repeated() -> Outcome {
    let secret = "lk_live_secret";
    for body in [
        r#""lk_live_secret""#,
        r#"["lk_live_secret"]"#,
        r#"{"name":{"lk_live_secret":1}}"#,
        r#"{"name":"a","count":"lk_live_secret"}"#,
        r#"{"name":"a","tags":"lk_live_secret"}"#,
        r#"{"name":"a","owner":"lk_live_secret"}"#,
        r#"{"name":"a","expires_at":"lk_live_secret"}"#,
        r#"{"name":"lk_live_secret"#,
        r#"lk_live_secret"#,
    ] {
        ensure(body, !error(body)?.to_json().contains(secret))?;
    }
    Ok(())
}
