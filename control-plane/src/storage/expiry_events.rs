//! When the next event about the expiry of a key is due.

use shared::{Timestamp, id::ApiKeyId};

use super::{Conn, Result, dialect::sql};

/// The time of the next event of a key that has had its last one.
pub const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// Whether any event is due, or the time of any is to be computed.
pub async fn any_due(conn: Conn<'_>, now: Timestamp) -> Result<bool> {
    const SQL: &str = "SELECT
        (SELECT id FROM api_keys WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND expiry_event_at IS NULL
         ORDER BY id LIMIT 1) IS NOT NULL
        OR (SELECT id FROM api_keys
            WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND expiry_event_at IS NOT NULL AND expiry_event_at <= $1
            ORDER BY expiry_event_at LIMIT 1) IS NOT NULL";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(now).fetch_one(c).await)
}

/// Keys whose next event is to be computed, locked, with their expiry.
pub async fn without_time(conn: Conn<'_>, limit: i64) -> Result<Vec<(ApiKeyId, Timestamp)>> {
    let sql = sql!(conn, "SELECT id, expires_at FROM api_keys
        WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND expiry_event_at IS NULL
        ORDER BY id LIMIT $1" (for update skip locked));
    on_db!(conn, c => sqlx::query_as(sql).bind(limit).fetch_all(c).await)
}

/// Keys with an event that is due, locked.
pub async fn due(conn: Conn<'_>, now: Timestamp, limit: i64) -> Result<Vec<ApiKeyId>> {
    let sql = sql!(conn, "SELECT id FROM api_keys
        WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND expiry_event_at IS NOT NULL AND expiry_event_at <= $1
        ORDER BY expiry_event_at LIMIT $2" (for update skip locked));
    on_db!(conn, c => sqlx::query_scalar(sql).bind(now).bind(limit).fetch_all(c).await)
}

/// When the log began. What expired before that is not reported.
pub async fn began_at(conn: Conn<'_>) -> Result<Timestamp> {
    const SQL: &str = "SELECT began_at FROM event_log WHERE only_row = 1";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}

/// Sets when the next event of a key is due.
pub async fn set(conn: Conn<'_>, id: &ApiKeyId, at: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE api_keys SET expiry_event_at = $2 WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).bind(at).execute(c).await.map(drop))
}
