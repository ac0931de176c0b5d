//! What happens around every request.

use std::time::Duration;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::Response,
};
use shared::error::ApiError;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, error_span};

use super::{
    body,
    error::{internal_error, respond},
    limits, request_id,
};
use crate::{app::App, clock::Stopwatch, entropy::OsEntropy};

/// How long answering a request may take, reading its body included.
pub const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);
/// The longest URL: path and query.
pub const URL_LIMIT: usize = 8 * 1024;

/// Puts the layers around the routes, the outermost last. The second ones take in their bodies themselves.
pub(super) fn around(router: Router, unread: Router, app: App) -> Router {
    router
        .layer(middleware::map_request(body::take_in))
        .merge(unread)
        .layer(middleware::from_fn(limit_url))
        .layer(middleware::from_fn_with_state(app.clone(), limits::limit_callers))
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(|_| internal_error()))
        .layer(middleware::from_fn_with_state(app, observe))
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

/// Counts and logs: the request's name, the method, the route's pattern and the status, and nothing else that the caller sent.
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    let method = known_method(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let name = request_id::of(request.headers(), app.clock.now(), &mut OsEntropy);
    // Of the highest level, so that whatever is logged at all is logged with it.
    let span = error_span!("request", id = name);
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    app.metrics.count_request(method, &route, status, stopwatch);
    span.in_scope(|| tracing::debug!(method, route, status, "answered"));
    request_id::put(response.headers_mut(), &name);
    response
}

/// A caller can make up methods without end; a label must not follow.
fn known_method(request: &Request) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| request.method() == *known)
        .unwrap_or("other")
}

pub(super) async fn no_such_route() -> Response {
    respond(&ApiError::new(404, "not_found", "There is nothing here. GET /openapi.json lists every route."))
}

pub(super) async fn no_such_method() -> Response {
    respond(&ApiError::new(405, "method_not_allowed", "This route does not take that method."))
}
