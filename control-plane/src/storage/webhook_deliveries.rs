//! Deliveries of webhooks: what is to be sent, and what became of it.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Timestamp,
    id::{EnvironmentId, EventId, WebhookDeliveryId, WebhookEndpointId},
};
use sqlx::FromRow;

use super::{Conn, JsonText, Page, PageRequest, Result, dialect::sql};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "TEXT", rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It is to be sent, perhaps once more.
    Pending,
    /// The endpoint responded with a 2xx status.
    Succeeded,
    /// Every attempt failed.
    Failed,
    /// Its endpoint was disabled or deleted.
    Canceled,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Succeeded, Self::Failed, Self::Canceled];

    /// As the column holds it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// A delivery to queue.
#[derive(Debug, Clone, Serialize)]
pub struct NewDelivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// Where it goes.
    pub endpoint_id: WebhookEndpointId,
    /// What it says.
    pub event_id: EventId,
    /// The type of that.
    pub event: String,
    /// Whether somebody asked for it again.
    pub is_replay: bool,
}

/// Queues deliveries, due now.
pub async fn add(mut conn: Conn<'_>, deliveries: &[NewDelivery], now: Timestamp) -> Result<()> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let log = sql!(conn, "INSERT INTO webhook_deliveries
            (id, environment_id, endpoint_id, event_id, event, is_replay, status, created_at)
        SELECT value ->> 'id', value ->> 'environment_id', value ->> 'endpoint_id', value ->> 'event_id',
            value ->> 'event', CAST(value ->> 'is_replay' AS TEXT) IN ('true', '1'), 'pending', $2
        FROM " (elements of "$1") " WHERE TRUE");
    let queue = sql!(conn, "INSERT INTO webhook_queue (delivery_id, endpoint_id, next_attempt_at)
        SELECT value ->> 'id', value ->> 'endpoint_id', $2 FROM " (elements of "$1") " WHERE TRUE");
    for sql in [log, queue] {
        on_db!(conn.reborrow(), c => sqlx::query(sql).bind(JsonText(deliveries)).bind(now).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// A delivery that an attempt is to be made of.
#[derive(Debug, Clone, FromRow)]
pub struct Claimed {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// What it says.
    pub event_id: EventId,
    /// The number of the attempt: 1 for the first one.
    pub attempts: i64,
    /// Whether somebody asked for it again.
    pub is_replay: bool,
    /// When it was queued.
    pub created_at: Timestamp,
    /// The event, unless it is not kept any more.
    pub body: Option<String>,
}

/// Claims deliveries of an endpoint that are due, those that have waited longest first. Until the lease ends, nobody else makes an
/// attempt.
pub async fn claim(
    mut conn: Conn<'_>,
    endpoint: &WebhookEndpointId,
    claim: i64,
    (now, lease_until): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<Claimed>> {
    let take = sql!(conn,
        "WITH due AS (
            SELECT delivery_id FROM webhook_queue WHERE endpoint_id = $1 AND next_attempt_at <= $2
            ORDER BY next_attempt_at, delivery_id LIMIT $3" (for update skip locked) ")
         UPDATE webhook_queue SET claim = $4, next_attempt_at = $5
         WHERE delivery_id" (one of "SELECT delivery_id FROM due") " RETURNING delivery_id");
    let ids: Vec<WebhookDeliveryId> = on_db!(conn.reborrow(), c => sqlx::query_scalar(take)
        .bind(endpoint)
        .bind(now)
        .bind(limit)
        .bind(claim)
        .bind(lease_until)
        .fetch_all(c).await)?;
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let count = sql!(conn, "UPDATE webhook_deliveries SET attempts = attempts + 1 WHERE id IN (" (texts of "$1") ")");
    on_db!(conn.reborrow(), c => sqlx::query(count).bind(JsonText(&ids)).execute(c).await.map(drop))?;
    let read = sql!(conn, "SELECT d.id, d.event_id, d.attempts, d.is_replay, d.created_at, e.body
        FROM webhook_deliveries d LEFT JOIN events e ON e.id = d.event_id
        WHERE d.id IN (" (texts of "$1") ") ORDER BY d.id");
    on_db!(conn, c => sqlx::query_as(read).bind(JsonText(&ids)).fetch_all(c).await)
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Attempt {
    /// Its number.
    pub attempt: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: i64,
    /// Where it went.
    pub url: String,
    /// The status of the response, if there was one.
    pub response_status: Option<i64>,
    /// A few headers of the response.
    pub response_headers: JsonText<BTreeMap<String, String>>,
    /// The beginning of the response.
    pub response_body: String,
    /// Why there was no response.
    pub failure: Option<String>,
}

/// Writes what an attempt came to, and when the next one is due, or else what became of the delivery. `false` if the claim is not
/// valid any more: its lease ended, and another attempt was begun.
pub async fn record(
    mut conn: Conn<'_>,
    id: &WebhookDeliveryId,
    claim: i64,
    attempt: &Attempt,
    next: std::result::Result<Timestamp, DeliveryStatus>,
) -> Result<bool> {
    const END: &str = "DELETE FROM webhook_queue WHERE delivery_id = $1 AND claim = $2";
    const RETRY: &str =
        "UPDATE webhook_queue SET claim = NULL, next_attempt_at = $3 WHERE delivery_id = $1 AND claim = $2";
    const COMPLETE: &str = "UPDATE webhook_deliveries SET status = $2, completed_at = $3 WHERE id = $1";
    const LOG: &str = "INSERT INTO webhook_attempts
            (delivery_id, attempt, started_at, duration_ms, url, response_status, response_headers, response_body, failure)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT DO NOTHING";
    let ended_at = attempt.started_at.plus_millis(attempt.duration_ms);
    let settled = on_db!(conn.reborrow(), c => {
        let query = sqlx::query(if next.is_ok() { RETRY } else { END }).bind(id).bind(claim);
        match next {
            Ok(at) => query.bind(at),
            Err(_) => query,
        }
        .execute(c).await.map(|done| done.rows_affected() > 0)
    })?;
    if !settled {
        return Ok(false);
    }
    if let Err(status) = next {
        on_db!(conn.reborrow(), c => sqlx::query(COMPLETE)
            .bind(id)
            .bind(status.as_str())
            .bind(ended_at)
            .execute(c).await.map(drop))?;
    }
    on_db!(conn, c => sqlx::query(LOG)
        .bind(id)
        .bind(attempt.attempt)
        .bind(attempt.started_at)
        .bind(attempt.duration_ms)
        .bind(&attempt.url)
        .bind(attempt.response_status)
        .bind(&attempt.response_headers)
        .bind(&attempt.response_body)
        .bind(&attempt.failure)
        .execute(c).await.map(drop))?;
    Ok(true)
}

/// Cancels so many deliveries of an endpoint, and returns whether there were any.
pub async fn cancel(mut conn: Conn<'_>, endpoint: &WebhookEndpointId, now: Timestamp, limit: i64) -> Result<bool> {
    let take = sql!(conn,
        "WITH first AS (
            SELECT delivery_id FROM webhook_queue WHERE endpoint_id = $1 ORDER BY next_attempt_at, delivery_id LIMIT $2"
            (for update skip locked) ")
         DELETE FROM webhook_queue WHERE delivery_id" (one of "SELECT delivery_id FROM first") " RETURNING delivery_id");
    let ids: Vec<WebhookDeliveryId> = on_db!(conn.reborrow(), c => sqlx::query_scalar(take)
        .bind(endpoint)
        .bind(limit)
        .fetch_all(c).await)?;
    let mark = sql!(conn, "UPDATE webhook_deliveries SET status = 'canceled', completed_at = $2
        WHERE id IN (" (texts of "$1") ")");
    on_db!(conn, c => sqlx::query(mark).bind(JsonText(&ids)).bind(now).execute(c).await.map(drop))?;
    Ok(!ids.is_empty())
}

/// Whether an endpoint has at least so many deliveries in its queue.
pub async fn has_backlog(conn: Conn<'_>, endpoint: &WebhookEndpointId, limit: i64) -> Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM (
        SELECT delivery_id FROM webhook_queue WHERE endpoint_id = $1 LIMIT $2) waiting";
    let waiting: i64 = on_db!(conn, c => sqlx::query_scalar(SQL).bind(endpoint).bind(limit).fetch_one(c).await)?;
    Ok(waiting >= limit)
}

/// A delivery, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Delivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// Where it goes.
    pub endpoint_id: WebhookEndpointId,
    /// What it says.
    pub event_id: EventId,
    /// The type of that.
    pub event: String,
    /// Whether somebody asked for it again.
    pub is_replay: bool,
    /// What became of it.
    pub status: DeliveryStatus,
    /// How many attempts were made.
    pub attempts: i64,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was complete.
    pub completed_at: Option<Timestamp>,
    /// When the next attempt is due.
    pub next_attempt_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.endpoint_id, d.event_id, d.event, d.is_replay, d.status, d.attempts, d.created_at,
                d.completed_at, CASE WHEN q.claim IS NULL THEN q.next_attempt_at END AS next_attempt_at
             FROM webhook_deliveries d LEFT JOIN webhook_queue q ON q.delivery_id = d.id ",
            $rest
        )
    };
}

/// The delivery with this id.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &WebhookDeliveryId) -> Result<Option<Delivery>> {
    const SQL: &str = select!("WHERE d.id = $2 AND d.environment_id = $1");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(id).fetch_optional(c).await)
}

/// A page of the deliveries of an endpoint: all of them, or those of a status.
pub async fn list(
    conn: Conn<'_>,
    endpoint: &WebhookEndpointId,
    status: Option<DeliveryStatus>,
    request: &PageRequest,
) -> Result<Page<Delivery>> {
    const OLDER: &str = select!("WHERE d.endpoint_id = $1 AND d.id < $2 ORDER BY d.id DESC LIMIT $3");
    const NEWER: &str = select!("WHERE d.endpoint_id = $1 AND d.id > $2 ORDER BY d.id LIMIT $3");
    const OLDER_OF_STATUS: &str =
        select!("WHERE d.endpoint_id = $1 AND d.status = $4 AND d.id < $2 ORDER BY d.id DESC LIMIT $3");
    const NEWER_OF_STATUS: &str =
        select!("WHERE d.endpoint_id = $1 AND d.status = $4 AND d.id > $2 ORDER BY d.id LIMIT $3");
    let walk = request.walk();
    let sql = match (status, walk.towards_older) {
        (None, true) => OLDER,
        (None, false) => NEWER,
        (Some(_), true) => OLDER_OF_STATUS,
        (Some(_), false) => NEWER_OF_STATUS,
    };
    let rows = on_db!(conn, c => {
        let query = sqlx::query_as(sql).bind(endpoint).bind(walk.beyond).bind(walk.limit);
        match status {
            Some(status) => query.bind(status.as_str()),
            None => query,
        }
        .fetch_all(c).await
    })?;
    Ok(request.page(rows))
}

/// The attempts of a delivery, in order.
pub async fn attempts(conn: Conn<'_>, id: &WebhookDeliveryId) -> Result<Vec<Attempt>> {
    const SQL: &str = "SELECT attempt, started_at, duration_ms, url, response_status, response_headers, response_body,
            failure
        FROM webhook_attempts WHERE delivery_id = $1 ORDER BY attempt";
    on_db!(conn, c => sqlx::query_as(SQL).bind(id).fetch_all(c).await)
}

/// Deletes so many completed deliveries with ids below this one, with their attempts, and returns how many.
pub async fn forget(mut conn: Conn<'_>, below: &str, limit: i64) -> Result<u64> {
    let old = sql!(conn, "SELECT id FROM webhook_deliveries WHERE id < $1 AND status <> 'pending' ORDER BY id LIMIT $2"
        (for update skip locked));
    let ids: Vec<WebhookDeliveryId> =
        on_db!(conn.reborrow(), c => sqlx::query_scalar(old).bind(below).bind(limit).fetch_all(c).await)?;
    let attempts = sql!(conn, "DELETE FROM webhook_attempts WHERE delivery_id IN (" (texts of "$1") ")");
    let deliveries = sql!(conn, "DELETE FROM webhook_deliveries WHERE id IN (" (texts of "$1") ")");
    for sql in [attempts, deliveries] {
        on_db!(conn.reborrow(), c => sqlx::query(sql).bind(JsonText(&ids)).execute(c).await.map(drop))?;
    }
    Ok(ids.len().try_into().unwrap_or(u64::MAX))
}
