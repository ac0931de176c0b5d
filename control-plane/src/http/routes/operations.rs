//! Routes for operators: health, readiness, metrics, and the description of the API.

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
    error::ErrorBody,
    seal::{CLIENT_ADDRESS, FORWARDING_TOKEN},
};
use utoipa::ToSchema;

use crate::{
    config::Config,
    http::{Error, RequestError, extract::access::authorization},
    service,
    state::AppState,
};

/// The health of the server.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// The header that tells `latchkey doctor` which database the server has.
pub const DATABASE_ID: HeaderName = HeaderName::from_static("latchkey-database");

/// Check that the process runs.
///
/// Needs no management key.
#[utoipa::path(get, path = "/health", tag = "operations",
    operation_id = "getHealth", security(()),
    responses((status = 200, body = Health, headers(
        ("latchkey-database" = String, description = "The id of the database. Servers that share a database send the same value.")))))]
pub async fn health(State(state): State<AppState>) -> impl IntoResponse {
    (state.database_id.map(|id| [(DATABASE_ID, id.to_string())]), OK)
}

/// Check that the process can serve requests.
///
/// Returns 200 while the database accepts writes, and 503 otherwise. While the process shuts down, the code is
/// `shutting_down`. Needs no management key. The Worker does not forward this route.
#[utoipa::path(get, path = "/ready", tag = "operations",
    operation_id = "getReadiness", security(()),
    responses(
        (status = 200, body = Health),
        (status = 503, description = "The database does not accept writes, or the process is shutting down.", body = ErrorBody),
    ))]
pub async fn ready(State(state): State<AppState>) -> Result<Json<Health>, Error> {
    if state.is_draining() {
        return Err(RequestError::ShuttingDown.into());
    }
    state.database.check_writes().await.map_err(service::Error::Unavailable)?;
    Ok(OK)
}

/// Headers that proxies add. A request with one of them comes from elsewhere, whatever its peer is.
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

/// Who may read the metrics: clients with the token or, if none is set, clients on this machine.
#[derive(Debug, Clone)]
pub struct MetricsAccess {
    token: Option<Digest>,
    client_address_header: String,
}

impl MetricsAccess {
    /// As configured. An empty token is none.
    pub fn new(config: &Config) -> Self {
        let token = config.metrics_token.expose_secret();
        Self {
            token: (!token.is_empty()).then(|| Digest::of(token)),
            client_address_header: config.client_address_header.to_ascii_lowercase(),
        }
    }

    fn check(&self, request: &Request) -> Result<(), RequestError> {
        let Some(token) = &self.token else {
            return if self.is_local(request) { Ok(()) } else { Err(RequestError::MetricsAreLocal) };
        };
        // Digests are compared, so the time that it takes reveals nothing about the token.
        let sent = authorization(request.headers()).and_then(bearer::token).map(Digest::of);
        if sent.as_ref() == Some(token) { Ok(()) } else { Err(RequestError::MetricsTokenRequired) }
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

/// Get the metrics.
///
/// In the Prometheus text format. If the setting `metrics_token` is set, send it as a bearer token. Otherwise only
/// clients on the same machine get the metrics. The Worker does not forward this route.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    operation_id = "getMetrics", security(()),
    responses(
        (status = 200, description = "The metrics.", content_type = "text/plain", body = String),
        (status = 401, description = "`metrics_token` is set, and the request does not have it as its bearer token.", body = ErrorBody),
        (status = 403, description = "`metrics_token` is not set, and the client is not on the same machine.", body = ErrorBody),
    ))]
pub async fn metrics(
    State(state): State<AppState>,
    Extension(access): Extension<MetricsAccess>,
    request: Request,
) -> Result<Response, Error> {
    access.check(&request)?;
    let text = state.metrics.to_text().map_err(|error| Error::Internal(error.into()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The description of the API.
#[derive(Clone)]
pub struct Description(pub &'static utoipa::openapi::OpenApi);

/// Get this document.
///
/// The OpenAPI description of all routes. Needs no management key.
#[utoipa::path(get, path = "/openapi.json", tag = "operations",
    operation_id = "getOpenApi", security(()),
    responses((status = 200, description = "This document.", body = serde_json::Value)))]
pub async fn openapi(Extension(Description(description)): Extension<Description>) -> impl IntoResponse {
    Json(description)
}
