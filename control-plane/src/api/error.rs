use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::error::{ApiError, ErrorBody, FieldError};
use utoipa::IntoResponses;

use super::limits::{TooManyInProgress, TooOften};
use crate::{edge::acknowledge::Unacknowledged, storage::Failure};

/// The answer of a call that waits for the edge, for the documentation.
#[derive(IntoResponses)]
#[response(
    status = 503,
    description = "`edge_propagation_pending`: the change is made, and the edge does not have it yet. Repeat the same \
        call after `Retry-After` seconds: it goes on waiting, and then gets the answer that this one did not get. With any \
        other code, Latchkey is overloaded or cannot reach its database."
)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `Error` makes the answer")]
pub struct EdgePending(ErrorBody);

/// What a handler can fail with.
#[derive(Debug)]
pub enum Error {
    /// The caller made a mistake, and is told which.
    Caller(ApiError),
    /// We failed. The log has the cause; the caller learns nothing of it.
    Internal(anyhow::Error),
    /// The database cannot do it at the moment: the caller should repeat the request.
    Unavailable(Failure),
    /// The process is about to stop.
    ShuttingDown,
    /// The caller asks too often.
    TooOften(TooOften),
    /// The caller has too many requests in progress.
    TooManyInProgress,
    /// The change is committed, and the edge does not have it yet: the caller should repeat the call.
    EdgePending,
}

impl Error {
    /// There is no such thing. The message does not repeat what was sent: a key may have been pasted there.
    pub fn not_found(what: &str) -> Self {
        Self::Caller(ApiError::new(404, "entity_not_found", format!("{what} not found.")))
    }

    /// It cannot be done in the state that things are in.
    pub fn conflict(code: &str, message: &str) -> Self {
        Self::Caller(ApiError::new(409, code, message))
    }

    /// The request is not acceptable.
    pub fn bad_request(code: &str, message: &str) -> Self {
        Self::Caller(ApiError::new(400, code, message))
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Self::Caller(error)
    }
}

impl From<TooOften> for Error {
    fn from(too_often: TooOften) -> Self {
        Self::TooOften(too_often)
    }
}

impl From<TooManyInProgress> for Error {
    fn from(_: TooManyInProgress) -> Self {
        Self::TooManyInProgress
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Caller(error.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(failure) = Failure::of(&error) else { return Self::Internal(error.into()) };
        tracing::warn!(%error, code = failure.code(), "the database could not serve a request");
        Self::Unavailable(failure)
    }
}

impl From<Unacknowledged> for Error {
    fn from(error: Unacknowledged) -> Self {
        match error {
            Unacknowledged::Pending => Self::EdgePending,
            Unacknowledged::Storage(error) => error.into(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Caller(error) => respond(&error),
            Self::Internal(cause) => {
                tracing::error!(cause = format!("{cause:#}"), "a request failed");
                internal_error()
            }
            Self::Unavailable(failure) => come_again(failure.code(), failure.message()),
            Self::ShuttingDown => {
                come_again("shutting_down", "This process is shutting down. Send requests to another one.")
            }
            Self::TooOften(TooOften { seconds }) => {
                let message = format!("There were too many requests. Try again in {seconds} s.");
                come_back(seconds, &ApiError::new(429, "rate_limited", message))
            }
            Self::TooManyInProgress => {
                let message = "The caller has too many requests in progress. Wait for some of them, then try again.";
                come_back(1, &ApiError::new(429, "too_many_requests_in_progress", message))
            }
            Self::EdgePending => come_again(
                "edge_propagation_pending",
                "The change is made and stands, but the edge does not have it yet, so old decisions are still possible. \
                 Repeat the same call: it goes on waiting, and succeeds once the edge has the change.",
            ),
        }
    }
}

fn come_again(code: &str, message: &str) -> Response {
    come_back(1, &ApiError::new(503, code, message))
}

/// An error that will have passed after so many seconds.
fn come_back(seconds: i64, error: &ApiError) -> Response {
    ([(header::RETRY_AFTER, seconds.to_string())], respond(error)).into_response()
}

/// The one body of a failure of ours.
pub(super) fn internal_error() -> Response {
    respond(&ApiError::new(500, "internal_error", "Something went wrong on our side. The log of the server has more."))
}

pub(super) fn respond(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], error.to_json()).into_response()
}
