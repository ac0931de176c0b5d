//! Requests to send an endpoint all events of a time again.

use shared::id::{EventId, WebhookEndpointId, WebhookReplayId};
use sqlx::FromRow;

use super::{Conn, Result, dialect::sql};

/// A request to send an endpoint events again.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Replay {
    /// Its id.
    pub id: WebhookReplayId,
    /// The endpoint.
    pub endpoint_id: WebhookEndpointId,
    /// The last event that was queued, or a text below the first one.
    pub after_event: String,
    /// The last event to queue.
    pub until_event: String,
}

/// Adds a request. `false` if the endpoint has another one that is not done.
pub async fn add(conn: Conn<'_>, replay: &Replay) -> Result<bool> {
    const SQL: &str = "INSERT INTO webhook_replays (id, endpoint_id, after_event, until_event) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&replay.id)
        .bind(&replay.endpoint_id)
        .bind(&replay.after_event)
        .bind(&replay.until_event)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

/// Whether there is any request.
pub async fn any(conn: Conn<'_>) -> Result<bool> {
    const SQL: &str = "SELECT (SELECT id FROM webhook_replays ORDER BY id LIMIT 1) IS NOT NULL";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}

/// A few requests, locked.
pub async fn lock(conn: Conn<'_>, limit: i64) -> Result<Vec<Replay>> {
    let sql = sql!(conn, "SELECT id, endpoint_id, after_event, until_event FROM webhook_replays ORDER BY id LIMIT $1"
        (for update skip locked));
    on_db!(conn, c => sqlx::query_as(sql).bind(limit).fetch_all(c).await)
}

/// Notes how far a request has come.
pub async fn advance(conn: Conn<'_>, id: &WebhookReplayId, after: &EventId) -> Result<()> {
    const SQL: &str = "UPDATE webhook_replays SET after_event = $2 WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).bind(after).execute(c).await.map(drop))
}

/// Removes a request.
pub async fn remove(conn: Conn<'_>, id: &WebhookReplayId) -> Result<()> {
    const SQL: &str = "DELETE FROM webhook_replays WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).execute(c).await.map(drop))
}
