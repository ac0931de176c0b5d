//! The errors of the HTTP interface that the edge and the control plane answer alike.

use serde::{Deserialize, Serialize};

/// An answer that is an error: its status and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What the caller reads.
    pub body: ErrorBody,
}

/// The body of an error response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// A human-readable explanation of the error. It can change: compare `code` instead.
    pub message: String,
    /// A stable, machine-readable code.
    pub code: String,
    /// The fields at fault. Present with status 422, and with a few codes of status 400.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// An error of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// A stable, machine-readable code.
    pub code: String,
    /// The field, with dots between levels, such as `permissions.1` or `metadata.tier`.
    pub field: String,
    /// A human-readable explanation of the error.
    pub message: String,
}

impl FieldError {
    /// An error of this field.
    pub fn new(field: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), field: field.into(), message: message.into() }
    }
}

impl ApiError {
    /// An error with this status, code and message.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { message: message.into(), code: code.to_owned(), errors: vec![] } }
    }

    /// The caller has not shown who it is.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            401,
            "unauthorized",
            "Could not authorize the request. Send a valid management key as `Authorization: Bearer mk_…`.",
        )
    }

    /// The caller is known but may not do this.
    #[must_use]
    pub fn forbidden(needed: crate::scope::Scope) -> Self {
        Self::new(403, "forbidden", format!("This management key lacks the scope `{needed}`."))
    }

    /// The request was understood and cannot be accepted.
    #[must_use]
    pub fn unprocessable(errors: Vec<FieldError>) -> Self {
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        let message = format!("Validation failed: {}.", fields.join(", "));
        Self { status: 422, body: ErrorBody { message, code: "invalid_request_parameters".to_owned(), errors } }
    }

    /// The body is longer than this route reads.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(413, "payload_too_large", format!("The request body is longer than {limit} bytes."))
    }

    /// The body as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.body).unwrap_or_default()
    }
}

/// An error of a single field.
impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self::unprocessable(vec![error])
    }
}
