//! Error responses: what each error of a use case, and each refusal of the HTTP layer itself, is in HTTP.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::error::{ApiError, ErrorBody, FieldError};
use utoipa::IntoResponses;

use crate::{
    limits::Exceeded,
    service::{self, Entity, Refusal},
    storage::Failure,
};

/// The response of a call that waits for the edge, for the documentation.
#[derive(IntoResponses)]
#[response(
    status = 503,
    description = "With the code `edge_propagation_pending`, the change is committed, but not effective at the edge yet. Repeat the \
        same call after `Retry-After` seconds: it resumes the wait and returns the response of this call. With any other code, the \
        database is busy or unavailable. Retry after `Retry-After` seconds."
)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `Error` makes the response")]
pub struct EdgePending(ErrorBody);

/// Why a request fails.
#[derive(Debug)]
pub enum Error {
    /// A use case was refused or failed.
    Service(service::Error),
    /// The request was refused before any use case.
    Request(RequestError),
    /// The caller made too many requests.
    Exceeded(Exceeded),
    /// The request was refused by rules that the edge has too.
    Shared(ApiError),
    /// A defect of ours. The log has the cause; the caller learns nothing of it.
    Internal(anyhow::Error),
}

macro_rules! request_errors {
    ($($(#[$doc:meta])* $name:ident: $status:literal, $code:literal, $message:literal;)*) => {
        /// What the HTTP layer itself refuses.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum RequestError {
            $($(#[$doc])* $name,)*
        }

        impl RequestError {
            /// All of them.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            fn to_api_error(self) -> ApiError {
                match self {
                    $(Self::$name => ApiError::new($status, $code, $message),)*
                }
            }
        }
    };
}

request_errors! {
    /// The connection ended in the middle of the body.
    IncompleteBody: 400, "incomplete_body", "The request body ended early.";
    /// The header cannot be used.
    InvalidIdempotencyKey: 400, "invalid_idempotency_key", "Send one Idempotency-Key header of 1 to 255 printable ASCII characters.";
    /// The query string is not UTF-8 in percent-encoding.
    InvalidQuery: 400, "invalid_query", "The query string cannot be decoded.";
    /// A list of memberships is of a user, of an organization, or of both.
    MissingUserOrOrganization: 400, "missing_user_id_or_organization_id", "Send `user_id`, `organization_id`, or both.";
    /// Only the Worker may call this route.
    NotTheWorker: 401, "unauthorized", "This route is for the Worker alone.";
    /// The token of the metrics is missing or wrong.
    MetricsTokenRequired: 401, "unauthorized", "Send the setting metrics_token as a bearer token.";
    /// Without a token, the metrics are served to this machine alone.
    MetricsAreLocal: 403, "forbidden", "Without the setting metrics_token, metrics are served only to clients on the same machine, and not through a proxy. Set metrics_token, and send it as a bearer token.";
    /// No route has this path.
    RouteNotFound: 404, "not_found", "No route has this path. GET /openapi.json lists every route.";
    /// The route has other methods.
    MethodNotAllowed: 405, "method_not_allowed", "This route does not support this method.";
    /// The time limit of a request.
    RequestTimeout: 408, "request_timeout", "The request took longer than 30 seconds. Try again.";
    /// The length limit of a URL.
    UrlTooLong: 414, "url_too_long", "The path and query have more than 8192 characters.";
    /// The key was used for another request.
    IdempotencyKeyReused: 422, "idempotency_key_reused", "This Idempotency-Key was used for another request. Send the same request again, or use another key.";
    /// The process is about to stop.
    ShuttingDown: 503, "shutting_down", "This process is shutting down. Send requests to another one.";
}

impl Error {
    /// There is no such thing. The message does not repeat what was sent: it may be a key that was pasted in the wrong place.
    pub const fn not_found(entity: Entity) -> Self {
        Self::Service(service::Error::NotFound(entity))
    }
}

impl From<service::Error> for Error {
    fn from(error: service::Error) -> Self {
        Self::Service(error)
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Self::Shared(error)
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Shared(error.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Service(error.into())
    }
}

/// The status of a refusal. The statuses are those that WorkOS clients expect.
pub(super) const fn status(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::OrganizationExternalIdTaken
        | Refusal::UserExternalIdTaken
        | Refusal::EmailTaken
        | Refusal::MembershipRequired => 400,
        Refusal::PermissionSlugTaken
        | Refusal::RoleSlugTaken
        | Refusal::OrganizationRoleSlugTaken
        | Refusal::RoleLimitReached
        | Refusal::RoleHasAssignments
        | Refusal::MembershipExists
        | Refusal::ApiKeyExpired
        | Refusal::ApiKeyRotated
        | Refusal::WebhookEndpointExists
        | Refusal::WebhookEndpointLimitReached
        | Refusal::WebhookEndpointDisabled
        | Refusal::EventExpired
        | Refusal::ReplayInProgress
        | Refusal::SecretOverlapInProgress
        | Refusal::EncryptionKeyRequired
        | Refusal::EncryptionKeyUnusable => 409,
        Refusal::UnknownRole | Refusal::SeveralRoles => 422,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Service(error) => service_error(error),
            Self::Request(RequestError::ShuttingDown) => retry_after(1, &RequestError::ShuttingDown.to_api_error()),
            Self::Request(error) => respond(&request_error(error)),
            Self::Exceeded(exceeded) => retry_after(seconds_to_wait(exceeded), &exceeded_limit(exceeded)),
            Self::Shared(error) => respond(&error),
            Self::Internal(cause) => internal(&cause),
        }
    }
}

fn service_error(error: service::Error) -> Response {
    match error {
        service::Error::NotFound(entity) => respond(&not_found(entity)),
        service::Error::Invalid(errors) => respond(&unprocessable(errors)),
        service::Error::Refused(refusal) => respond(&refused(refusal)),
        service::Error::EdgePending => retry_after(1, &edge_pending()),
        service::Error::Unavailable(failure) => retry_after(1, &unavailable(failure)),
        service::Error::Storage(error) | service::Error::Unconfirmed(error) => match Failure::of(&error) {
            Some(failure) => {
                tracing::warn!(%error, code = failure.code(), "the database could not serve a request");
                retry_after(1, &unavailable(failure))
            }
            None => internal(&error.into()),
        },
        service::Error::Internal(cause) => internal(&cause),
    }
}

/// Fields are not acceptable. Clients of WorkOS expect a code of its own if the URL of an endpoint is what is wrong.
fn unprocessable(errors: Vec<FieldError>) -> ApiError {
    let is_url = errors.iter().any(|error| error.code == "invalid_url");
    let mut error = ApiError::unprocessable(errors);
    if is_url {
        error.body.code = "invalid_url".to_owned();
    }
    error
}

/// The resource does not exist in the caller's environment.
pub(super) fn not_found(entity: Entity) -> ApiError {
    ApiError::new(404, "entity_not_found", format!("{entity} not found."))
}

/// A refusal of a use case.
pub(super) fn refused(refusal: Refusal) -> ApiError {
    let mut error = ApiError::new(status(refusal), refusal.code(), refusal.message());
    error.body.errors.extend(refusal.field_error());
    error
}

/// The change is committed, but not effective at the edge yet.
pub(super) fn edge_pending() -> ApiError {
    ApiError::new(
        503,
        "edge_propagation_pending",
        "The change is committed, but not effective at the edge yet, so old decisions are still possible. Repeat the same call: \
         it resumes the wait, and succeeds once the edge has the change.",
    )
}

/// The database cannot serve the request at the moment.
pub(super) fn unavailable(failure: Failure) -> ApiError {
    ApiError::new(503, failure.code(), failure.message())
}

/// A refusal of the HTTP layer.
pub(super) fn request_error(error: RequestError) -> ApiError {
    let mut api_error = error.to_api_error();
    if error == RequestError::IdempotencyKeyReused {
        // Clients expect every 422 to name what is at fault.
        let code = api_error.body.code.clone();
        api_error.body.errors.push(FieldError::new("Idempotency-Key", &code, "was used for another request"));
    }
    api_error
}

/// The caller makes too many requests.
pub(super) fn exceeded_limit(exceeded: Exceeded) -> ApiError {
    match exceeded {
        Exceeded::Rate { retry_after_seconds: seconds } => {
            ApiError::new(429, "rate_limited", format!("There were too many requests. Try again in {seconds} s."))
        }
        Exceeded::InProgress => {
            let message = "This management key or client address has too many requests in progress. Wait for some of them to finish, then try again.";
            ApiError::new(429, "too_many_requests_in_progress", message)
        }
    }
}

const fn seconds_to_wait(exceeded: Exceeded) -> i64 {
    match exceeded {
        Exceeded::Rate { retry_after_seconds } => retry_after_seconds,
        Exceeded::InProgress => 1,
    }
}

fn internal(cause: &anyhow::Error) -> Response {
    tracing::error!(cause = format!("{cause:#}"), "a request failed");
    internal_error()
}

/// The response to every failure of ours.
pub(super) fn internal_error() -> Response {
    respond(&unexpected_failure())
}

/// The one body of a failure of ours.
pub(super) fn unexpected_failure() -> ApiError {
    ApiError::new(500, "internal_error", "Something went wrong on our side. The server's log has the cause.")
}

fn retry_after(seconds: i64, error: &ApiError) -> Response {
    ([(header::RETRY_AFTER, seconds.to_string())], respond(error)).into_response()
}

fn respond(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], error.to_json()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::middleware::{REQUEST_TIME_LIMIT, URL_LIMIT};

    /// Code and status of every error that a client of the control plane can get.
    fn errors_of_the_code() -> BTreeSet<(String, u16)> {
        let code_and_status = |error: ApiError| (error.body.code, error.status);
        let refusals = Refusal::ALL.iter().map(|refusal| code_and_status(refused(*refusal)));
        let failures = Failure::ALL.iter().map(|failure| code_and_status(unavailable(*failure)));
        let requests = RequestError::ALL.iter().map(|error| code_and_status(error.to_api_error()));
        let shared = [
            ApiError::unauthorized(),
            ApiError::forbidden(shared::scope::Scope::ApiKeysRead),
            ApiError::too_large(1),
            ApiError::unprocessable(vec![]),
            unprocessable(vec![FieldError::new("endpoint_url", "invalid_url", "")]),
            shared::json::not_utf8(),
            not_found(Entity::ApiKey),
            exceeded_limit(Exceeded::Rate { retry_after_seconds: 1 }),
            exceeded_limit(Exceeded::InProgress),
            unexpected_failure(),
            edge_pending(),
        ];
        refusals.chain(failures).chain(requests).chain(shared.map(code_and_status)).collect()
    }

    /// Code and status of every row of the table in the documentation.
    fn errors_of_the_documentation() -> BTreeSet<(String, u16)> {
        let page = include_str!("../../../docs/API-DESIGN.md");
        let table = page
            .lines()
            .skip_while(|line| *line != "### Error codes")
            .take_while(|line| *line != "### Codes of the Worker");
        let row = |line: &str| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((code.to_owned(), cells.next()?.parse().ok()?))
        };
        table.filter_map(row).collect()
    }

    #[test]
    fn documentation_lists_every_error_with_its_status() {
        let (of_the_code, documented) = (errors_of_the_code(), errors_of_the_documentation());
        let missing: Vec<_> = of_the_code.difference(&documented).collect();
        let surplus: Vec<_> = documented.difference(&of_the_code).collect();
        assert!(missing.is_empty(), "docs/API-DESIGN.md lacks {missing:?}");
        assert!(surplus.is_empty(), "docs/API-DESIGN.md has {surplus:?}, which nothing answers");
    }

    #[test]
    fn messages_name_the_limits_that_apply() {
        let message = |error: RequestError| error.to_api_error().body.message;
        assert!(message(RequestError::UrlTooLong).contains(&URL_LIMIT.to_string()));
        let seconds = REQUEST_TIME_LIMIT.as_secs();
        assert!(message(RequestError::RequestTimeout).contains(&format!("{seconds} seconds")));
    }
}
