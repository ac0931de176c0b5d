//! What the edge has yet to be told. A row is written in the transaction of the change itself, so there is one if and
//! only if the change was committed.
//!
//! A flush *claims* rows, sends their keys' current state, and then *settles* or *releases* its claim. The module
//! [`crate::edge::flush`] says why. On Postgres these three pass over the rows that a change has locked: a row that is
//! being changed is due again anyway, and so neither waits for the other.

use serde::Serialize;
use shared::{Timestamp, record::Version};
use sqlx::FromRow;

use super::{Conn, JsonText, Result, dialect::sql};

/// What kind of key a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A customer's key.
    ApiKey,
    /// A management key.
    ManagementKey,
}

impl Kind {
    /// Both of them. Management keys come first, because without them nobody can ask for the others.
    pub const EVERY: [Self; 2] = [Self::ManagementKey, Self::ApiKey];

    /// As the column holds it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::ManagementKey => "management_key",
        }
    }
}

/// A key that was changed, and the version that the change gave it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Changed {
    /// The key.
    pub id: String,
    /// Its version.
    pub version: Version,
}

/// Queues a key.
pub async fn add(conn: Conn<'_>, kind: Kind, key_id: &str, version: Version, now: Timestamp) -> Result<()> {
    add_all(conn, kind, &[Changed { id: key_id.to_owned(), version }], now).await
}

/// Queues keys. A row that knows of this version already stays as it is.
pub async fn add_all(conn: Conn<'_>, kind: Kind, changed: &[Changed], now: Timestamp) -> Result<()> {
    // In order of id, so that no two transactions wait for each other's rows.
    let sql = sql!(conn,
        "INSERT INTO outbox (key_id, kind, version, queued_at, next_attempt_at)
         SELECT value ->> 'id', $1, CAST(value ->> 'version' AS BIGINT), $2, $2 FROM " (elements of "$3") "
         WHERE TRUE ORDER BY 1
         ON CONFLICT (key_id) DO UPDATE SET version = excluded.version, next_attempt_at = excluded.next_attempt_at
         WHERE excluded.version > outbox.version");
    on_db!(conn, c => sqlx::query(sql)
        .bind(kind.as_str())
        .bind(now)
        .bind(JsonText(changed))
        .execute(c).await.map(drop))
}

/// What is waiting in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Backlog {
    /// How many rows there are.
    pub depth: i64,
    /// How many of them may be sent now.
    pub due: i64,
    /// Since when the oldest has been waiting.
    pub oldest: Option<Timestamp>,
}

/// What is waiting.
pub async fn backlog(conn: Conn<'_>, now: Timestamp) -> Result<Backlog> {
    const SQL: &str = "SELECT COUNT(*) AS depth, COUNT(CASE WHEN next_attempt_at <= $1 THEN 1 END) AS due,
            MIN(queued_at) AS oldest
        FROM outbox";
    on_db!(conn, c => sqlx::query_as(SQL).bind(now).fetch_one(c).await)
}

/// Which of these keys wait in the outbox.
pub async fn waiting(conn: Conn<'_>, key_ids: &[&str]) -> Result<Vec<String>> {
    let sql = sql!(conn, "SELECT q.key_id FROM " (elements of "$1") " wanted
        JOIN outbox q ON q.key_id = wanted.value ->> 'id'");
    on_db!(conn, c => sqlx::query_scalar(sql).bind(ids(key_ids)).fetch_all(c).await)
}

/// Lets every row be sent now, whoever had it before.
pub async fn make_all_due(conn: Conn<'_>, now: Timestamp) -> Result<()> {
    let sql = sql!(conn,
        "WITH later AS (SELECT key_id FROM outbox WHERE next_attempt_at > $1" (for update skip locked) ")
         UPDATE outbox SET next_attempt_at = $1 WHERE key_id IN (SELECT key_id FROM later)");
    on_db!(conn, c => sqlx::query(sql).bind(now).execute(c).await.map(drop))
}

/// Forgets every row.
pub async fn clear(conn: Conn<'_>) -> Result<()> {
    let sql = sql!(conn,
        "WITH unlocked AS (SELECT key_id FROM outbox" (for update skip locked) ")
         DELETE FROM outbox WHERE key_id IN (SELECT key_id FROM unlocked)");
    on_db!(conn, c => sqlx::query(sql).execute(c).await.map(drop))
}

/// A flush's hold on the rows that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its number, which no other claim has.
    pub id: i64,
    /// Until when what is sent under it may land.
    pub until: Timestamp,
}

/// Takes rows that may be sent now, those that have waited longest first, and returns how many it took. An earlier
/// claim that nobody settled counts among the writes that may still land.
pub async fn claim(conn: Conn<'_>, claim: Claim, now: Timestamp, limit: i64) -> Result<u64> {
    let sql = sql!(conn,
        "WITH due AS (
            SELECT key_id FROM outbox WHERE next_attempt_at <= $3
            ORDER BY next_attempt_at, key_id LIMIT $4" (for update skip locked) ")
         UPDATE outbox SET claim = $1, claimed_version = version, claimed_until = $2, next_attempt_at = $2,
            unsettled_until = CASE WHEN unsettled_until > claimed_until THEN unsettled_until
                              ELSE COALESCE(claimed_until, unsettled_until) END
         WHERE key_id IN (SELECT key_id FROM due)");
    on_db!(conn, c => sqlx::query(sql)
        .bind(claim.id)
        .bind(claim.until)
        .bind(now)
        .bind(limit)
        .execute(c).await.map(|done| done.rows_affected()))
}

/// Ends a claim whose rows have landed. A row goes, unless its key was changed meanwhile, or an earlier write of it may
/// still land and must not be the last: that one is due again when it no longer may.
pub async fn settle(mut conn: Conn<'_>, claim: Claim, now: Timestamp) -> Result<()> {
    let done = sql!(conn,
        "WITH done AS (
            SELECT key_id FROM outbox
            WHERE claim = $1 AND version = claimed_version AND COALESCE(unsettled_until, 0) <= $2"
            (for update skip locked) ")
         DELETE FROM outbox WHERE key_id IN (SELECT key_id FROM done)");
    on_db!(conn.reborrow(), c => sqlx::query(done).bind(claim.id).bind(now).execute(c).await.map(drop))?;
    let kept = sql!(conn,
        "WITH kept AS (SELECT key_id FROM outbox WHERE claim = $1" (for update skip locked) ")
         UPDATE outbox SET claim = NULL, claimed_until = NULL,
            next_attempt_at = CASE WHEN version = claimed_version THEN COALESCE(unsettled_until, $2)
                              ELSE next_attempt_at END
         WHERE key_id IN (SELECT key_id FROM kept)");
    on_db!(conn, c => sqlx::query(kept).bind(claim.id).bind(now).execute(c).await.map(drop))
}

/// Whether a write that was not acknowledged may land nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was refused, or never sent.
    NeverLands,
    /// Nobody knows.
    MayLand,
}

/// Gives back rows of a claim, to be sent again later.
pub async fn release(conn: Conn<'_>, claim: Claim, key_ids: &[&str], fate: Fate, retry_at: Timestamp) -> Result<()> {
    let sql = sql!(conn,
        "WITH held AS (SELECT key_id FROM outbox WHERE claim = $1" (for update skip locked) ")
         UPDATE outbox SET claim = NULL, claimed_until = CASE WHEN $2 THEN claimed_until END,
            next_attempt_at = CASE WHEN version = claimed_version THEN $3 ELSE next_attempt_at END
         WHERE key_id IN (SELECT key_id FROM held)
           AND key_id IN (SELECT value ->> 'id' FROM " (elements of "$4") ")");
    on_db!(conn, c => sqlx::query(sql)
        .bind(claim.id)
        .bind(fate == Fate::MayLand)
        .bind(retry_at)
        .bind(ids(key_ids))
        .execute(c).await.map(drop))
}

#[derive(Serialize)]
struct Id<'a> {
    id: &'a str,
}

fn ids<'a>(key_ids: &[&'a str]) -> JsonText<Vec<Id<'a>>> {
    JsonText(key_ids.iter().map(|id| Id { id }).collect())
}
