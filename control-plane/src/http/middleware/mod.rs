//! What happens around every request.

pub mod limits;
mod request_id;
mod request_log;
mod route;

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use shared::{bearer, seal::FORWARDING_TOKEN};
use tower_http::catch_panic::CatchPanicLayer;

use self::route::route;
use crate::{
    http::{Error, RequestError, error::internal_error, extract::body},
    state::AppState,
};

/// How long a request may take, including reading its body.
pub const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);
/// The longest URL: path and query.
pub const URL_LIMIT: usize = 8 * 1024;
/// Responses that anybody may see and store.
const PUBLIC: [&str; 2] = ["/health", "/openapi.json"];

/// Puts the layers around the routes, the outermost last. The second routes read their bodies themselves.
pub(super) fn around(router: Router, unread: Router, state: AppState) -> Router {
    router
        .layer(middleware::map_request(body::take_in))
        .merge(unread)
        .layer(middleware::from_fn(refuse_operations_through_worker))
        .layer(middleware::from_fn(limit_url))
        .layer(middleware::from_fn_with_state(state.clone(), limits::limit_callers))
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(|_| internal_error()))
        .layer(middleware::from_fn_with_state(state.clone(), add_headers))
        .layer(middleware::from_fn_with_state(state, request_log::observe))
}

async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_TIME_LIMIT, next.run(request))
        .await
        .unwrap_or_else(|_| Error::from(RequestError::RequestTimeout).into_response())
}

/// It also bounds the number of query parameters.
async fn limit_url(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if length <= URL_LIMIT {
        return next.run(request).await;
    }
    body::take_in(request).await;
    Error::from(RequestError::UrlTooLong).into_response()
}

/// Adds `WWW-Authenticate` to every 401, and `Cache-Control: no-store` to whatever only the caller may see. Before the process stops,
/// closes connections, so that a load balancer makes new ones to other processes.
async fn add_headers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let has_authorization = request.headers().contains_key(header::AUTHORIZATION);
    let is_public = route(&request).is_some_and(|route| PUBLIC.contains(&route));
    let mut response = next.run(request).await;
    let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if is_unauthorized {
        let challenge = HeaderValue::from_static(bearer::challenge(has_authorization));
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if state.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !is_public {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Hides the routes of operators from the Worker's clients. The Worker does so itself; this is for older Workers.
async fn refuse_operations_through_worker(request: Request, next: Next) -> Response {
    let is_for_operators = route(&request).is_some_and(|route| ["/metrics", "/ready"].contains(&route));
    if is_for_operators && request.headers().contains_key(FORWARDING_TOKEN) {
        return Error::from(RequestError::RouteNotFound).into_response();
    }
    next.run(request).await
}
