//! For those who run the server: is it up, can it work, what does it count.

use std::net::SocketAddr;

use axum::{
    Extension, Json,
    extract::{ConnectInfo, Request, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use shared::{
    bearer,
    digest::Digest,
    error::{ApiError, ErrorBody},
    seal::{CLIENT_ADDRESS, FORWARDING_TOKEN},
};
use utoipa::ToSchema;

use super::{Error, access::authorization};
use crate::{app::App, config::Config};

/// The server's state, in a word.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// Tells `latchkey doctor` which database answers it.
pub const DATABASE_ID: HeaderName = HeaderName::from_static("latchkey-database");

/// The process is up.
#[utoipa::path(get, path = "/health", tag = "operations",
    operation_id = "getHealth", security(()),
    responses((status = 200, body = Health, headers(
        ("latchkey-database" = String, description = "Names the database: servers that share one have the same")))))]
pub async fn health(State(app): State<App>) -> impl IntoResponse {
    (app.database_id.map(|id| [(DATABASE_ID, id.to_string())]), OK)
}

/// The process is up and its database takes changes: it can take requests.
///
/// After SIGTERM, the answer is 503 `shutting_down`.
#[utoipa::path(get, path = "/ready", tag = "operations",
    operation_id = "getReadiness", security(()),
    responses((status = 200, body = Health)))]
pub async fn ready(State(app): State<App>) -> Result<Json<Health>, Error> {
    if app.is_draining() {
        return Err(Error::ShuttingDown);
    }
    app.db.check_writes().await.map_err(Error::Unavailable)?;
    Ok(OK)
}

/// Headers that proxies add. A request that has one of them comes from somewhere else, whatever its peer is.
const ADDED_BY_PROXIES: [&str; 17] = [
    "forwarded",
    "via",
    "cdn-loop",
    "fastly-client-ip",
    "fly-client-ip",
    "x-amzn-trace-id",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    CLIENT_ADDRESS,
    FORWARDING_TOKEN,
];

/// Who may read the metrics: whoever has the token or, without one, whoever asks on this machine.
#[derive(Debug, Clone)]
pub struct MetricsAccess {
    token: Option<Digest>,
    client_address_header: String,
}

impl MetricsAccess {
    /// As the settings have it. An empty token is none.
    pub fn new(config: &Config) -> Self {
        let token = config.metrics_token.expose_secret();
        Self {
            token: (!token.is_empty()).then(|| Digest::of(token)),
            client_address_header: config.client_address_header.to_ascii_lowercase(),
        }
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let Some(token) = &self.token else {
            return if self.is_local(request) { Ok(()) } else { Err(token_needed()) };
        };
        // Digests are compared, so how long it takes says nothing of the token.
        let sent = authorization(request.headers()).and_then(bearer::token).map(Digest::of);
        let message = "Send the setting metrics_token as a bearer token.";
        if sent.as_ref() == Some(token) { Ok(()) } else { Err(ApiError::new(401, "unauthorized", message)) }
    }

    fn is_local(&self, request: &Request) -> bool {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let is_loopback = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
        let is_added = |name: &HeaderName| {
            let name = name.as_str();
            ADDED_BY_PROXIES.contains(&name) || name.starts_with("x-forwarded") || name == self.client_address_header
        };
        is_loopback && !request.headers().keys().any(is_added)
    }
}

fn token_needed() -> ApiError {
    let message = "Without the setting metrics_token, metrics are served only to clients on the same machine, and not \
                   through a proxy. Set metrics_token, and send it as a bearer token.";
    ApiError::new(403, "forbidden", message)
}

/// What the server counts, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    operation_id = "getMetrics", security(()),
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 401, description = "The setting metrics_token was not sent", body = ErrorBody),
        (status = 403, description = "There is no metrics_token, and the client is not on this machine", body = ErrorBody),
    ))]
pub async fn metrics(
    State(app): State<App>,
    Extension(access): Extension<MetricsAccess>,
    request: Request,
) -> Result<Response, Error> {
    access.check(&request)?;
    let text = app.metrics.to_text().map_err(|error| Error::Internal(error.into()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations",
    operation_id = "getOpenApi", security(()),
    responses((status = 200, body = serde_json::Value)))]
pub async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(super::openapi())
}
