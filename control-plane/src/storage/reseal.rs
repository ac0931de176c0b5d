//! Which records of the edge's store grow old.

use shared::Timestamp;

use super::{Conn, Result, outbox::Kind};

/// Queues keys of a table, those that were sealed longest ago first. A key that waits already is left as it is, so that what its row
/// knows is not lost; a damaged digest has no place at the edge. Rows are added in order of id, so that no two
/// transactions wait for each other's.
macro_rules! queue {
    ($table:literal, $which:literal) => {
        concat!(
            "INSERT INTO outbox (key_id, kind, version, queued_at, next_attempt_at)
             SELECT id, $1, version, $2, $2 FROM (
                SELECT k.id, k.version FROM ",
            $table,
            " k WHERE k.revoked_at IS NULL AND ",
            $which,
            " AND length(k.digest) = 32 AND NOT EXISTS (SELECT 1 FROM outbox q WHERE q.key_id = k.id)
                ORDER BY k.sealed_at, k.id LIMIT $3
             ) aged
             WHERE TRUE ORDER BY id
             ON CONFLICT (key_id) DO NOTHING"
        )
    };
}

/// Queues keys that are not revoked and whose record was sealed before this moment, and returns how many.
pub async fn queue_sealed_before(
    conn: Conn<'_>,
    kind: Kind,
    moment: Timestamp,
    limit: i64,
    now: Timestamp,
) -> Result<u64> {
    const API_KEYS: &str = queue!("api_keys", "k.sealed_at < $4");
    const MANAGEMENT_KEYS: &str = queue!("management_keys", "k.sealed_at < $4");
    let sql = match kind {
        Kind::ApiKey => API_KEYS,
        Kind::ManagementKey => MANAGEMENT_KEYS,
    };
    on_db!(conn, c => sqlx::query(sql)
        .bind(kind.as_str())
        .bind(now)
        .bind(limit)
        .bind(moment)
        .execute(c).await.map(|done| done.rows_affected()))
}

/// Queues keys that are not revoked and of which the store was never told, and returns how many.
pub async fn queue_never_sealed(conn: Conn<'_>, kind: Kind, limit: i64, now: Timestamp) -> Result<u64> {
    const API_KEYS: &str = queue!("api_keys", "k.sealed_at IS NULL");
    const MANAGEMENT_KEYS: &str = queue!("management_keys", "k.sealed_at IS NULL");
    let sql = match kind {
        Kind::ApiKey => API_KEYS,
        Kind::ManagementKey => MANAGEMENT_KEYS,
    };
    on_db!(conn, c => sqlx::query(sql)
        .bind(kind.as_str())
        .bind(now)
        .bind(limit)
        .execute(c).await.map(|done| done.rows_affected()))
}

/// When the oldest record of a key that is not revoked was sealed.
pub async fn oldest_seal(conn: Conn<'_>) -> Result<Option<Timestamp>> {
    const SQL: &str = "SELECT MIN(sealed_at) FROM (
            SELECT MIN(sealed_at) AS sealed_at FROM api_keys WHERE revoked_at IS NULL
            UNION ALL SELECT MIN(sealed_at) FROM management_keys WHERE revoked_at IS NULL
        ) oldest";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}
