//! Where webhooks are sent.

use shared::{
    Timestamp,
    id::{EnvironmentId, WebhookEndpointId},
};
use sqlx::FromRow;

use super::{Conn, JsonText, Page, PageRequest, Result, dialect::sql};

/// A webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// Where webhooks are sent.
    pub url: String,
    /// The types of events that it receives.
    pub events: JsonText<Vec<String>>,
    /// Whether it receives nothing for the time being.
    pub disabled: bool,
    /// Why the server disabled it.
    pub disabled_reason: Option<String>,
    /// What signs its webhooks, encrypted.
    pub secret: Vec<u8>,
    /// What people may see of that.
    pub masked_secret: String,
    /// The secret before it, encrypted.
    pub previous_secret: Option<Vec<u8>>,
    /// Until when that is valid.
    pub previous_secret_expires_at: Option<Timestamp>,
    /// Since when no delivery has succeeded.
    pub failing_since: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, environment_id, url, events, disabled, disabled_reason, secret, masked_secret, previous_secret,
         previous_secret_expires_at, failing_since, created_at, updated_at"
    };
}

/// Adds an endpoint. `false` if there is one with this URL.
pub async fn insert(conn: Conn<'_>, endpoint: &WebhookEndpoint) -> Result<bool> {
    const SQL: &str = concat!(
        "INSERT INTO webhook_endpoints (",
        columns!(),
        ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT DO NOTHING"
    );
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&endpoint.id)
        .bind(&endpoint.environment_id)
        .bind(&endpoint.url)
        .bind(&endpoint.events)
        .bind(endpoint.disabled)
        .bind(&endpoint.disabled_reason)
        .bind(&endpoint.secret)
        .bind(&endpoint.masked_secret)
        .bind(&endpoint.previous_secret)
        .bind(endpoint.previous_secret_expires_at)
        .bind(endpoint.failing_since)
        .bind(endpoint.created_at)
        .bind(endpoint.updated_at)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

/// How many endpoints an environment has.
pub async fn count(conn: Conn<'_>, environment: &EnvironmentId) -> Result<i64> {
    const SQL: &str = "SELECT COUNT(*) FROM webhook_endpoints
        WHERE environment_id = $1 AND deleted_at IS NULL";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(environment).fetch_one(c).await)
}

macro_rules! of_id {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM webhook_endpoints
            WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL"
        )
    };
}

/// The endpoint with this id.
pub async fn get(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    id: &WebhookEndpointId,
) -> Result<Option<WebhookEndpoint>> {
    const SQL: &str = of_id!();
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(id).fetch_optional(c).await)
}

/// The endpoint with this id, locked until the transaction ends, because it is going to be changed.
pub async fn lock(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    id: &WebhookEndpointId,
) -> Result<Option<WebhookEndpoint>> {
    let sql = sql!(conn, (text of_id) (for update));
    on_db!(conn, c => sqlx::query_as(sql).bind(environment).bind(id).fetch_optional(c).await)
}

/// A page of the endpoints of an environment.
pub async fn list(conn: Conn<'_>, environment: &EnvironmentId, request: &PageRequest) -> Result<Page<WebhookEndpoint>> {
    const OLDER: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM webhook_endpoints
        WHERE environment_id = $1 AND id < $2 AND deleted_at IS NULL ORDER BY id DESC LIMIT $3"
    );
    const NEWER: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM webhook_endpoints
        WHERE environment_id = $1 AND id > $2 AND deleted_at IS NULL ORDER BY id LIMIT $3"
    );
    let walk = request.walk();
    let sql = if walk.towards_older { OLDER } else { NEWER };
    let rows = on_db!(conn, c =>
        sqlx::query_as(sql).bind(environment).bind(walk.beyond).bind(walk.limit).fetch_all(c).await)?;
    Ok(request.page(rows))
}

/// So many endpoints of all environments after this one, or from the first one on.
pub async fn all_after(conn: Conn<'_>, after: Option<&WebhookEndpointId>, limit: i64) -> Result<Vec<WebhookEndpoint>> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM webhook_endpoints WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2"
    );
    let after = after.map_or("", |id| id.as_str());
    on_db!(conn, c => sqlx::query_as(SQL).bind(after).bind(limit).fetch_all(c).await)
}

/// Replaces the encrypted secrets of an endpoint by others of the same secrets.
pub async fn set_sealed(conn: Conn<'_>, id: &WebhookEndpointId, secret: &[u8], previous: Option<&[u8]>) -> Result<()> {
    const SQL: &str = "UPDATE webhook_endpoints SET secret = $2, previous_secret = $3 WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).bind(secret).bind(previous).execute(c).await.map(drop))
}

/// Discards secrets that were replaced and have expired.
pub async fn forget_previous_secrets(conn: Conn<'_>, now: Timestamp) -> Result<u64> {
    const SQL: &str = "UPDATE webhook_endpoints SET previous_secret = NULL, previous_secret_expires_at = NULL
        WHERE previous_secret_expires_at <= $1";
    on_db!(conn, c => sqlx::query(SQL).bind(now).execute(c).await.map(|done| done.rows_affected()))
}

/// Writes a changed endpoint. `false` if there is another one with its URL; the transaction is then lost.
pub async fn update(conn: Conn<'_>, endpoint: &WebhookEndpoint) -> Result<bool> {
    const SQL: &str = "UPDATE webhook_endpoints
        SET url = $3, events = $4, disabled = $5, disabled_reason = $6, secret = $7, masked_secret = $8,
            previous_secret = $9, previous_secret_expires_at = $10, failing_since = $11, updated_at = $12
        WHERE environment_id = $1 AND id = $2";
    let updated = on_db!(conn, c => sqlx::query(SQL)
        .bind(&endpoint.environment_id)
        .bind(&endpoint.id)
        .bind(&endpoint.url)
        .bind(&endpoint.events)
        .bind(endpoint.disabled)
        .bind(&endpoint.disabled_reason)
        .bind(&endpoint.secret)
        .bind(&endpoint.masked_secret)
        .bind(&endpoint.previous_secret)
        .bind(endpoint.previous_secret_expires_at)
        .bind(endpoint.failing_since)
        .bind(endpoint.updated_at)
        .execute(c).await.map(drop));
    match updated {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        other => other.map(|()| true),
    }
}

/// Deletes an endpoint, all but its row.
pub async fn delete(conn: Conn<'_>, id: &WebhookEndpointId, now: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE webhook_endpoints SET deleted_at = $2, disabled = TRUE WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).bind(now).execute(c).await.map(drop))
}

/// The endpoint with this id, if it receives events.
pub async fn enabled(conn: Conn<'_>, id: &WebhookEndpointId) -> Result<Option<WebhookEndpoint>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM webhook_endpoints WHERE id = $1 AND NOT disabled");
    on_db!(conn, c => sqlx::query_as(SQL).bind(id).fetch_optional(c).await)
}

/// Endpoints that receive events and have a delivery that is due, with their environments.
pub async fn with_due_delivery(conn: Conn<'_>, now: Timestamp) -> Result<Vec<(WebhookEndpointId, EnvironmentId)>> {
    const SQL: &str = "SELECT id, environment_id FROM webhook_endpoints
        WHERE NOT disabled AND (SELECT delivery_id FROM webhook_queue
            WHERE endpoint_id = webhook_endpoints.id AND next_attempt_at <= $1
            ORDER BY next_attempt_at, delivery_id LIMIT 1) IS NOT NULL
        ORDER BY id";
    on_db!(conn, c => sqlx::query_as(SQL).bind(now).fetch_all(c).await)
}

/// Endpoints that are disabled or deleted and have deliveries left.
pub async fn with_deliveries_to_cancel(conn: Conn<'_>) -> Result<Vec<WebhookEndpointId>> {
    const SQL: &str = "SELECT id FROM webhook_endpoints
        WHERE disabled AND (SELECT delivery_id FROM webhook_queue
            WHERE endpoint_id = webhook_endpoints.id ORDER BY next_attempt_at, delivery_id LIMIT 1) IS NOT NULL
        ORDER BY id";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_all(c).await)
}

/// Whether an endpoint is disabled, and stays so until the transaction ends.
pub async fn hold_disabled(conn: Conn<'_>, id: &WebhookEndpointId) -> Result<bool> {
    let sql = sql!(conn, "SELECT id FROM webhook_endpoints WHERE id = $1 AND disabled" (for share));
    let found: Option<WebhookEndpointId> = on_db!(conn, c => sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// Notes that a delivery succeeded.
pub async fn note_success(conn: Conn<'_>, id: &WebhookEndpointId) -> Result<()> {
    const SQL: &str = "UPDATE webhook_endpoints SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL";
    on_db!(conn, c => sqlx::query(SQL).bind(id).execute(c).await.map(drop))
}

/// Notes that a delivery failed, unless one did since the last success.
pub async fn note_failure(conn: Conn<'_>, id: &WebhookEndpointId, now: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE webhook_endpoints SET failing_since = $2 WHERE id = $1 AND failing_since IS NULL";
    on_db!(conn, c => sqlx::query(SQL).bind(id).bind(now).execute(c).await.map(drop))
}

/// Forgets so many deleted endpoints that have no deliveries left.
pub async fn forget(conn: Conn<'_>, limit: i64) -> Result<u64> {
    let sql = sql!(conn, "DELETE FROM webhook_endpoints WHERE id" (one of "SELECT id FROM webhook_endpoints
        WHERE deleted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM webhook_queue WHERE endpoint_id = webhook_endpoints.id)
        ORDER BY id LIMIT $1"));
    on_db!(conn, c => sqlx::query(sql).bind(limit).execute(c).await.map(|done| done.rows_affected()))
}

/// Which events an endpoint receives.
#[derive(Debug, Clone, FromRow)]
pub struct Subscription {
    /// The endpoint.
    pub id: WebhookEndpointId,
    /// The types of events.
    pub events: JsonText<Vec<String>>,
}

/// Which events the endpoints of an environment receive, without those that are disabled.
pub async fn subscriptions(conn: Conn<'_>, environment: &EnvironmentId) -> Result<Vec<Subscription>> {
    const SQL: &str = "SELECT id, events FROM webhook_endpoints
        WHERE environment_id = $1 AND NOT disabled AND deleted_at IS NULL ORDER BY id";
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).fetch_all(c).await)
}
