//! What happens around every request.

use std::time::Duration;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use shared::{bearer, error::ApiError, seal::FORWARDING_TOKEN};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    body,
    error::{internal_error, respond},
    limits, request_log,
};
use crate::app::App;

/// How long answering a request may take, reading its body included.
pub const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);
/// The longest URL: path and query.
pub const URL_LIMIT: usize = 8 * 1024;
/// What anybody may see and store.
const PUBLIC: [&str; 2] = ["/health", "/openapi.json"];

/// Puts the layers around the routes, the outermost last. The second ones take in their bodies themselves.
pub(super) fn around(router: Router, unread: Router, app: App) -> Router {
    router
        .layer(middleware::map_request(body::take_in))
        .merge(unread)
        .layer(middleware::from_fn(refuse_operations_through_worker))
        .layer(middleware::from_fn(limit_url))
        .layer(middleware::from_fn_with_state(app.clone(), limits::limit_callers))
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(|_| internal_error()))
        .layer(middleware::from_fn_with_state(app.clone(), add_headers))
        .layer(middleware::from_fn_with_state(app, request_log::observe))
}

async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_TIME_LIMIT, next.run(request)).await.unwrap_or_else(|_| {
        respond(&ApiError::new(408, "request_timeout", "The request took longer than 30 seconds. Try again."))
    })
}

/// So there are never very many parameters in a query either.
async fn limit_url(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if length <= URL_LIMIT {
        return next.run(request).await;
    }
    body::take_in(request).await;
    respond(&ApiError::new(414, "url_too_long", format!("The URL has more than {URL_LIMIT} characters.")))
}

/// Says how to authenticate with each 401, and that nobody may store what only the caller may see. Before the process stops, asks
/// for new connections, which a load balancer makes to other processes.
async fn add_headers(State(app): State<App>, request: Request, next: Next) -> Response {
    let has_authorization = request.headers().contains_key(header::AUTHORIZATION);
    let is_public = route(&request).is_some_and(|route| PUBLIC.contains(&route));
    let mut response = next.run(request).await;
    let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if is_unauthorized {
        let challenge = HeaderValue::from_static(bearer::challenge(has_authorization));
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if app.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !is_public {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What only operators ask for does not exist for the Worker's clients. The Worker says so itself; this is for one that is
/// older.
async fn refuse_operations_through_worker(request: Request, next: Next) -> Response {
    let is_for_operators = route(&request).is_some_and(|route| ["/metrics", "/ready"].contains(&route));
    if is_for_operators && request.headers().contains_key(FORWARDING_TOKEN) {
        return no_such_route().await;
    }
    next.run(request).await
}

/// The pattern of the route, which holds nothing that was sent.
pub(super) fn route(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

pub(super) async fn no_such_route() -> Response {
    respond(&ApiError::new(404, "not_found", "There is nothing here. GET /openapi.json lists every route."))
}

pub(super) async fn no_such_method() -> Response {
    respond(&ApiError::new(405, "method_not_allowed", "This route does not take that method."))
}
