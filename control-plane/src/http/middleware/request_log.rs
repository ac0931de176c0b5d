//! One line in the log, and one count in the metrics, for each request: the method, the route, the status, how long it took, and
//! who called. Nothing else that the client sent is in it.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, Span, error_span};

use super::{request_id, route::route};
use crate::{
    clock::Stopwatch,
    entropy::OsEntropy,
    http::extract::{access::CallerCell, now::Now},
    state::AppState,
};

/// Routes that monitoring polls. They are logged at `debug`, all others at `info`.
const POLLED: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Logs and counts a request.
pub(super) async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let now = state.clock.now();
    request.extensions_mut().insert(Now(now));
    let id = request_id::of(request.headers(), now, &mut OsEntropy);
    // Of the highest level, so that whatever is logged at all is logged with it.
    let span = error_span!("request", id);
    let mut line = Line {
        method: known_method(&request),
        route: route(&request).unwrap_or("none").to_owned(),
        status: None,
        caller: CallerCell::default(),
        stopwatch: Stopwatch::start(),
        span: span.clone(),
    };
    request.extensions_mut().insert(line.caller.clone());
    let mut response = next.run(request).instrument(span).await;
    let status = response.status().as_u16();
    state.metrics.count_request(line.method, &line.route, status, line.stopwatch);
    line.status = Some(status);
    request_id::put(response.headers_mut(), &id);
    response
}

/// What the log says of a request. It is written when this is dropped, so that a request is logged too whose client went away.
struct Line {
    method: &'static str,
    route: String,
    status: Option<u16>,
    caller: CallerCell,
    stopwatch: Stopwatch,
    span: Span,
}

impl Drop for Line {
    fn drop(&mut self) {
        let Self { method, route, status, caller, stopwatch, span } = self;
        let message = if status.is_some() { "request completed" } else { "client disconnected before the response" };
        let (caller, environment) = caller.get().map(|(id, environment)| (id.as_str(), environment.as_str())).unzip();
        let duration_ms = stopwatch.elapsed().as_micros() as f64 / 1000.0;
        // The level of an event is fixed where it stands.
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(method, route, status, duration_ms, caller, environment, "{message}")
            };
        }
        span.in_scope(|| if POLLED.contains(&route.as_str()) { log!(debug) } else { log!(info) });
    }
}

/// A caller can make up methods without end; a label must not follow.
fn known_method(request: &Request) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| request.method() == *known)
        .unwrap_or("other")
}
