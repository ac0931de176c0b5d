//! The answers of creations that may be repeated. What they say is sealed, and whose they are is nowhere.

use shared::Timestamp;
use sqlx::FromRow;

use super::{Conn, Result, dialect::sql};

/// For how long an answer is kept, in milliseconds: a day.
pub const KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Where an answer is kept, which says nothing of whose it is.
pub type Place = [u8; 32];

/// What was kept of a creation.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Kept {
    /// What was asked for.
    pub fingerprint: Vec<u8>,
    /// What was answered, sealed.
    pub answer: Option<Vec<u8>>,
}

/// Takes the place of an answer, unless there is one that is newer than this moment. Whoever comes at the same time waits here
/// until the first one has answered, or has failed and left the place to the next.
pub async fn claim(
    conn: Conn<'_>,
    place: &Place,
    fingerprint: &[u8],
    now: Timestamp,
    newer_than: Timestamp,
) -> Result<bool> {
    const SQL: &str = "INSERT INTO idempotent_answers (place, fingerprint, created_at) VALUES ($1, $2, $3)
        ON CONFLICT (place) DO UPDATE SET fingerprint = excluded.fingerprint, answer = NULL, created_at = excluded.created_at
        WHERE idempotent_answers.created_at <= $4";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(place.as_slice())
        .bind(fingerprint)
        .bind(now)
        .bind(newer_than)
        .execute(c).await.map(|done| done.rows_affected() == 1))
}

/// What stands in this place.
pub async fn get(conn: Conn<'_>, place: &Place) -> Result<Option<Kept>> {
    const SQL: &str = "SELECT fingerprint, answer FROM idempotent_answers WHERE place = $1";
    on_db!(conn, c => sqlx::query_as(SQL).bind(place.as_slice()).fetch_optional(c).await)
}

/// Puts an answer into its place.
pub async fn keep(conn: Conn<'_>, place: &Place, answer: &[u8]) -> Result<()> {
    const SQL: &str = "UPDATE idempotent_answers SET answer = $2 WHERE place = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(place.as_slice()).bind(answer).execute(c).await.map(drop))
}

/// Forgets answers that are as old as this moment, so many at the most, and returns how many it forgot.
pub async fn forget(conn: Conn<'_>, until: Timestamp, limit: i64) -> Result<u64> {
    let sql = sql!(conn,
        "WITH old AS (
            SELECT place FROM idempotent_answers WHERE created_at <= $1 ORDER BY created_at LIMIT $2"
            (for update skip locked) ")
         DELETE FROM idempotent_answers WHERE place IN (SELECT place FROM old)");
    on_db!(conn, c => sqlx::query(sql)
        .bind(until)
        .bind(limit)
        .execute(c).await.map(|done| done.rows_affected()))
}
