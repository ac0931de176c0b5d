//! For those who run the server: is it up, can it work, what does it count.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::{
    digest::Digest,
    error::{ApiError, ErrorBody},
};
use utoipa::ToSchema;

use super::Error;
use crate::app::App;

/// The server's state, in a word.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// The process is up.
#[utoipa::path(get, path = "/health", tag = "operations", security(()),
    responses((status = 200, body = Health)))]
pub async fn health() -> Json<Health> {
    OK
}

/// The process is up and its database takes changes: it can take requests.
#[utoipa::path(get, path = "/ready", tag = "operations", security(()),
    responses((status = 200, body = Health)))]
pub async fn ready(State(app): State<App>) -> Result<Json<Health>, Error> {
    app.db.check_writes().await.map_err(Error::Unavailable)?;
    Ok(OK)
}

/// The digest of the token that `GET /metrics` wants, if it wants one.
#[derive(Debug, Clone)]
pub struct MetricsToken(Option<Digest>);

impl MetricsToken {
    /// An empty setting wants none.
    pub fn new(setting: &SecretString) -> Self {
        let token = setting.expose_secret();
        Self((!token.is_empty()).then(|| Digest::of(token)))
    }

    /// Digests are compared, so how long it takes says nothing of the token.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = header.and_then(|header| header.strip_prefix("Bearer ")).map(Digest::of);
        self.0.is_none() || self.0 == given
    }
}

/// What the server counts, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 401, description = "The setting metrics_token was not sent", body = ErrorBody),
    ))]
pub async fn metrics(
    State(app): State<App>,
    Extension(token): Extension<MetricsToken>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if !token.admits(&headers) {
        return Err(ApiError::new(401, "unauthorized", "Send the setting metrics_token as a bearer token.").into());
    }
    let text = app.metrics.to_text().map_err(|error| Error::Internal(error.into()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", security(()),
    responses((status = 200, body = serde_json::Value)))]
pub async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(super::openapi())
}
