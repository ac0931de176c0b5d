//! What the edge has yet to be told. A row is written in the transaction of the change itself, so there is one if and
//! only if the change was committed.
//!
//! A row whose change must be in the change feed first is *unfed* until the feed has this version of its key or a stricter
//! one; no flush takes it before that. So where there is no unfed row of a key, the feed has all that it must have of it.
//!
//! A flush *claims* rows, sends their keys' current state, and then *settles* or *releases* its claim. The module
//! [`crate::edge::flush`] says why. On Postgres these three pass over the rows that a change has locked: a row that is
//! being changed is due again anyway, and so neither waits for the other.

use serde::Serialize;
use shared::{Timestamp, record::Version};
use sqlx::FromRow;

use super::{Conn, JsonText, Result, dialect::sql};

/// What kind of key a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(type_name = "TEXT", rename_all = "snake_case")]
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

/// Which way a change takes to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To the change feed, and then to the store.
    FeedFirst,
    /// To the store alone: an entry of a scope stands in the feed for it, or there is nothing new.
    StoreOnly,
}

/// Queues a key.
pub async fn add(
    conn: Conn<'_>,
    kind: Kind,
    key_id: &str,
    version: Version,
    route: Route,
    now: Timestamp,
) -> Result<()> {
    add_all(conn, kind, &[Changed { id: key_id.to_owned(), version }], route, now).await
}

/// How a question ends that queues keys, in order of id so that no two transactions wait for each other's rows.
macro_rules! unless_queued {
    () => {
        "ON CONFLICT (key_id) DO UPDATE SET version = excluded.version, next_attempt_at = excluded.next_attempt_at,
            through_feed = outbox.through_feed OR excluded.through_feed
         WHERE excluded.version > outbox.version"
    };
}
pub(super) use unless_queued;

/// Queues keys. A row that knows of this version already stays as it is, and one that must go to the feed first stays so.
pub async fn add_all(conn: Conn<'_>, kind: Kind, changed: &[Changed], route: Route, now: Timestamp) -> Result<()> {
    let sql = sql!(conn,
        "INSERT INTO outbox (key_id, kind, version, queued_at, next_attempt_at, through_feed)
         SELECT value ->> 'id', $1, CAST(value ->> 'version' AS BIGINT), $2, $2, $4 FROM " (elements of "$3") "
         WHERE TRUE ORDER BY 1 " (text unless_queued));
    on_db!(conn, c => sqlx::query(sql)
        .bind(kind.as_str())
        .bind(now)
        .bind(JsonText(changed))
        .bind(route == Route::FeedFirst)
        .execute(c).await.map(drop))
}

/// Up to how many rows are counted: it is done each second, and must take no longer for more of them.
pub const COUNTED_MAX: i64 = 100_000;

/// What is waiting in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Backlog {
    /// How many rows there are: [`COUNTED_MAX`] also stands for more.
    pub depth: i64,
    /// Whether any of them may be sent to the store now.
    pub due: bool,
    /// Since when the oldest has been waiting.
    pub oldest: Option<Timestamp>,
}

/// What is waiting.
pub async fn backlog(conn: Conn<'_>, now: Timestamp) -> Result<Backlog> {
    const SQL: &str = "SELECT
            (SELECT COUNT(*) FROM (SELECT key_id FROM outbox LIMIT $2) counted) AS depth,
            (SELECT key_id FROM outbox
             WHERE next_attempt_at <= $1 AND (NOT through_feed OR fed_version >= version)
             ORDER BY next_attempt_at LIMIT 1) IS NOT NULL AS due,
            (SELECT MIN(queued_at) FROM outbox) AS oldest";
    on_db!(conn, c => sqlx::query_as(SQL).bind(now).bind(COUNTED_MAX).fetch_one(c).await)
}

/// Whether there is any row that need not go to the feed first, or that the feed has.
pub async fn any_past_feed(conn: Conn<'_>) -> Result<bool> {
    const SQL: &str = "SELECT (SELECT key_id FROM outbox WHERE NOT through_feed OR fed_version >= version
        ORDER BY next_attempt_at LIMIT 1) IS NOT NULL";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}

/// Which of these keys wait in the outbox.
pub async fn waiting(conn: Conn<'_>, key_ids: &[&str]) -> Result<Vec<String>> {
    let sql = sql!(conn, "SELECT q.key_id FROM " (elements of "$1") " wanted
        JOIN outbox q ON q.key_id = wanted.value ->> 'id'");
    on_db!(conn, c => sqlx::query_scalar(sql).bind(ids(key_ids)).fetch_all(c).await)
}

/// Lets every row be sent now that the feed does not hold up, whoever had it before.
pub async fn make_all_due(conn: Conn<'_>, now: Timestamp) -> Result<()> {
    let sql = sql!(conn,
        "WITH later AS (
            SELECT key_id FROM outbox WHERE next_attempt_at > $1 AND (NOT through_feed OR fed_version >= version)"
            (for update skip locked) ")
         UPDATE outbox SET next_attempt_at = $1 WHERE key_id" (one of "SELECT key_id FROM later"));
    on_db!(conn, c => sqlx::query(sql).bind(now).execute(c).await.map(drop))
}

/// Whether [`clear`] would forget any row.
pub async fn any_to_clear(conn: Conn<'_>) -> Result<bool> {
    const SQL: &str =
        "SELECT (SELECT key_id FROM outbox WHERE NOT through_feed ORDER BY next_attempt_at LIMIT 1) IS NOT NULL
        OR ((SELECT key_id FROM outbox LIMIT 1) IS NOT NULL AND NOT EXISTS (SELECT 1 FROM feed_position))";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}

/// Forgets rows, because there is no edge: so many at the most, and returns how many. If there once was one, what its feed
/// must be told stays, so that it is told should the edge be configured again: a feed that was not told of a change would
/// vouch for records from before.
pub async fn clear(mut conn: Conn<'_>, limit: i64) -> Result<i64> {
    let without_feed = sql!(conn,
        "WITH unlocked AS (
            SELECT key_id FROM outbox WHERE NOT EXISTS (SELECT 1 FROM feed_position) LIMIT $1"
            (for update skip locked) ")
         DELETE FROM outbox WHERE key_id" (one of "SELECT key_id FROM unlocked"));
    let past_feed = sql!(conn,
        "WITH unlocked AS (
            SELECT key_id FROM outbox WHERE NOT through_feed ORDER BY next_attempt_at LIMIT $1" (for update skip locked) ")
         DELETE FROM outbox WHERE key_id" (one of "SELECT key_id FROM unlocked"));
    let mut left = limit;
    for sql in [without_feed, past_feed] {
        let rows = on_db!(conn.reborrow(), c => sqlx::query(sql)
            .bind(left)
            .execute(c).await.map(|done| done.rows_affected()))?;
        left -= i64::try_from(rows).unwrap_or(left);
    }
    Ok(limit - left)
}

/// A key that the feed must be told of.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Unfed {
    /// What kind of key it is.
    pub kind: Kind,
    /// Its id.
    pub key_id: String,
}

/// Keys that the feed must be told of, those that have waited longest first.
pub async fn unfed(conn: Conn<'_>, limit: i64) -> Result<Vec<Unfed>> {
    const SQL: &str = "SELECT kind, key_id FROM outbox
        WHERE through_feed AND (fed_version IS NULL OR fed_version < version)
        ORDER BY queued_at, key_id LIMIT $1";
    on_db!(conn, c => sqlx::query_as(SQL).bind(limit).fetch_all(c).await)
}

/// Which of these keys the feed must be told of.
pub async fn unfed_of(conn: Conn<'_>, key_ids: &[&str]) -> Result<Vec<String>> {
    let sql = sql!(conn, "SELECT key_id FROM outbox
        WHERE through_feed AND (fed_version IS NULL OR fed_version < version)
          AND key_id IN (" (texts of "$1") ")");
    on_db!(conn, c => sqlx::query_scalar(sql).bind(JsonText(key_ids)).fetch_all(c).await)
}

/// Whether the feed has this version of a key, or a later one.
pub async fn is_fed(conn: Conn<'_>, key_id: &str, version: Version) -> Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM outbox
        WHERE key_id = $1 AND through_feed AND (fed_version IS NULL OR fed_version < $2)";
    let unfed: i64 = on_db!(conn, c => sqlx::query_scalar(SQL).bind(key_id).bind(version).fetch_one(c).await)?;
    Ok(unfed == 0)
}

/// Notes which versions of keys the feed has.
pub async fn note_fed(conn: Conn<'_>, fed: &[Changed]) -> Result<()> {
    let sql = sql!(conn,
        "WITH held AS (
            SELECT key_id FROM outbox WHERE key_id IN (SELECT value ->> 'id' FROM " (elements of "$1") ")"
            (for update skip locked) ")
         UPDATE outbox SET fed_version = CAST(fed.value ->> 'version' AS BIGINT)
         FROM " (elements of "$1") " fed
         WHERE outbox.key_id = fed.value ->> 'id' AND outbox.key_id IN (SELECT key_id FROM held)
           AND (fed_version IS NULL OR fed_version < CAST(fed.value ->> 'version' AS BIGINT))");
    on_db!(conn, c => sqlx::query(sql).bind(JsonText(fed)).execute(c).await.map(drop))
}

/// A flush's hold on the rows that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its number, which no other claim has.
    pub id: i64,
    /// Until when what is sent under it may land.
    pub until: Timestamp,
}

/// Takes rows that may be sent to the store now, those that have waited longest first, and returns how many it took. An earlier
/// claim that nobody settled counts among the writes that may still land.
pub async fn claim(conn: Conn<'_>, claim: Claim, now: Timestamp, limit: i64) -> Result<u64> {
    let sql = sql!(conn,
        "WITH due AS (
            SELECT key_id FROM outbox
            WHERE next_attempt_at <= $3 AND (NOT through_feed OR fed_version >= version)
            ORDER BY next_attempt_at, key_id LIMIT $4" (for update skip locked) ")
         UPDATE outbox SET claim = $1, claimed_version = version, claimed_until = $2, next_attempt_at = $2,
            unsettled_until = CASE WHEN unsettled_until > claimed_until THEN unsettled_until
                              ELSE COALESCE(claimed_until, unsettled_until) END
         WHERE key_id" (one of "SELECT key_id FROM due"));
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
         DELETE FROM outbox WHERE key_id" (one of "SELECT key_id FROM done"));
    on_db!(conn.reborrow(), c => sqlx::query(done).bind(claim.id).bind(now).execute(c).await.map(drop))?;
    let kept = sql!(conn,
        "WITH kept AS (SELECT key_id FROM outbox WHERE claim = $1" (for update skip locked) ")
         UPDATE outbox SET claim = NULL, claimed_until = NULL,
            next_attempt_at = CASE WHEN version = claimed_version THEN COALESCE(unsettled_until, $2)
                              ELSE next_attempt_at END
         WHERE key_id" (one of "SELECT key_id FROM kept"));
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
         WHERE key_id" (one of "SELECT key_id FROM held") "
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
