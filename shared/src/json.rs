//! Parses JSON bodies. The edge and the control plane report the same mistake in the same words.

use serde::Deserialize;
use serde_path_to_error::Segment;

use crate::{
    error::{ApiError, FieldError},
    key,
};

/// What stands for the name of a field where the body as a whole is at fault.
const WHOLE: &str = "body";

/// Reads a JSON body, which must be an object.
///
/// # Errors
/// 400 for what is not JSON, 422 with the name of the field for JSON of another form.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = str::from_utf8(body).map_err(|_| not_utf8())?;
    // To serde, an array of values is a struct as well. Nobody means that here, so it is an error like any other.
    if body.trim_ascii_start().starts_with('[') {
        return Err(FieldError::new(WHOLE, "invalid", "must be an object").into());
    }
    serde_json::from_str(body).map_err(|_| explain::<T>(body))
}

/// Reads the body once more, slowly, to say where the mistake is.
#[cold]
fn explain<'a, T: Deserialize<'a>>(body: &'a str) -> ApiError {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return not_json("there is more after the JSON value");
    };
    let path = path_of(error.path());
    let error = error.into_inner();
    if !error.is_data() {
        return not_json(&error.to_string());
    }
    let message = error.to_string();
    match message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        Some(missing) => FieldError::new(within(&path, missing), "required", "is required").into(),
        None if path.is_empty() => FieldError::new(WHOLE, "invalid", without_values(&message)).into(),
        None => FieldError::new(path, "invalid", without_values(&message)).into(),
    }
}

/// Where the mistake is, with dots between the levels. Empty: the body as a whole.
fn path_of(path: &serde_path_to_error::Path) -> String {
    let segments: Vec<String> = path
        .iter()
        .map(|segment| match segment {
            Segment::Seq { index } => index.to_string(),
            segment => segment.to_string(),
        })
        .collect();
    let path = segments.join(".");
    path.strip_prefix("metadata.").map(metadata_field).unwrap_or(path)
}

/// What errors call an entry of metadata. Its name is the caller's own, and may be a secret in the wrong place, so it is
/// repeated only if it is too short to be a key; otherwise the field is `metadata`.
#[must_use]
pub fn metadata_field(name: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_shown = name.len() <= key::REPEATED_MAX && name.bytes().all(is_plain);
    if is_shown { format!("metadata.{name}") } else { "metadata".to_owned() }
}

/// What was expected, without what was given instead: that may be a secret in the wrong place. The position goes too,
/// which counts bytes of the whole body and helps nobody beside the name of the field.
fn without_values(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if expected.starts_with("struct ") => "must be an object".to_owned(),
        Some((_, expected)) => format!("must be {expected}"),
        None => message.to_owned(),
    }
}

/// The error of a body that is no text.
#[must_use]
pub fn not_utf8() -> ApiError {
    not_json("it is not valid UTF-8")
}

fn not_json(why: &str) -> ApiError {
    ApiError::new(400, "invalid_json", format!("The request body is not valid JSON: {why}."))
}

fn within(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
