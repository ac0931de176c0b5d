//! One line in the log, and one count in the metrics, for each request: the method, the route, the status, how long it took, and
//! who called. Nothing else that the client sent is in it.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use shared::id::{EnvironmentId, ManagementKeyId};
use tracing::{Instrument, Span, error_span};

use super::{layers, request_id};
use crate::{app::App, clock::Stopwatch, entropy::OsEntropy};

/// What is asked for again and again by whoever watches the server. It is logged at `debug`, all else at `info`.
const POLLED: [&str; 3] = ["/health", "/ready", "/metrics"];

/// The management key of a request, once it is known: an extension of the request.
#[derive(Debug, Clone, Default)]
pub struct CallerCell(Arc<OnceLock<(ManagementKeyId, EnvironmentId)>>);

impl CallerCell {
    /// Records whose request it is.
    pub fn set(&self, management_key: &ManagementKeyId, environment: &EnvironmentId) {
        // A request has one management key, so whoever sets it again sets the same.
        let _ = self.0.set((management_key.clone(), environment.clone()));
    }
}

/// Logs and counts a request.
pub(super) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers(), app.clock.now(), &mut OsEntropy);
    // Of the highest level, so that whatever is logged at all is logged with it.
    let span = error_span!("request", id);
    let mut line = Line {
        method: known_method(&request),
        route: layers::route(&request).unwrap_or("none").to_owned(),
        status: None,
        caller: CallerCell::default(),
        stopwatch: Stopwatch::start(),
        span: span.clone(),
    };
    request.extensions_mut().insert(line.caller.clone());
    let mut response = next.run(request).instrument(span).await;
    let status = response.status().as_u16();
    app.metrics.count_request(line.method, &line.route, status, line.stopwatch);
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
        let (caller, environment) = caller.0.get().map(|(id, environment)| (id.as_str(), environment.as_str())).unzip();
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
