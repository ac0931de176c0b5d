//! How often keys were validated, with what outcome, and when last.
//!
//! Whoever validates counts in memory and tells of it in batches (`shared::usage`). A batch is added up in one transaction with
//! its number, so it counts once, however often it is told.
//!
//! Batches of many senders add to the same rows at the same time. Each takes its rows table by table and, within a table, in
//! order of their keys, so that no two wait for each other. The totals of an environment, which nearly all of them want,
//! come last and are held for the shortest time. No row of a key is touched: a revocation never waits for who counts, and no
//! record is published for what was counted.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use shared::{
    Timestamp,
    digest::Digest,
    id::{ApiKeyId, EnvironmentId},
    usage::{Batch, Count, Outcome},
};
use sqlx::FromRow;

use super::{
    Conn, JsonText, Result,
    dialect::sql,
    edge_sync::{Place, hex},
};

/// The most that one count can add. Nobody validates so often in an hour.
const COUNT_MAX: u64 = 1_000_000_000;

/// Which hours can be told of, counted since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// What a batch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many validations it told of, by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How many were not counted: for want of room where they were made, or because they were of another time.
    pub lost: u64,
}

/// Adds up a batch. `None` if it was told before.
pub async fn apply(mut conn: Conn<'_>, batch: &Batch, hours: Hours, now: Timestamp) -> Result<Option<Counted>> {
    if !note_number(conn.reborrow(), batch, now).await? {
        return Ok(None);
    }
    let known = known_keys(conn.reborrow(), batch).await?;
    let sums = Sums::of(batch, &known, hours, now);
    add_to_keys(conn.reborrow(), &sums).await?;
    note_uses(conn.reborrow(), &sums).await?;
    add_to_environments(conn, &sums).await?;
    Ok(Some(sums.counted))
}

/// Whether this is the sender's newest batch, which is noted. Two copies that come at once wait for each other here.
async fn note_number(conn: Conn<'_>, batch: &Batch, now: Timestamp) -> Result<bool> {
    const SQL: &str = "INSERT INTO usage_senders (sender, number, seen_at) VALUES ($1, $2, $3)
        ON CONFLICT (sender) DO UPDATE SET number = excluded.number, seen_at = excluded.seen_at
        WHERE usage_senders.number < excluded.number";
    let number = i64::try_from(batch.number).unwrap_or(i64::MAX);
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&batch.sender)
        .bind(number)
        .bind(now)
        .execute(c).await.map(|done| done.rows_affected() == 1))
}

/// The ids of keys, by what batches call them.
type Known = HashMap<(EnvironmentId, Digest), String>;

/// The ids of a batch's keys, revoked ones too: whoever still tries one is worth knowing of.
async fn known_keys(conn: Conn<'_>, batch: &Batch) -> Result<Known> {
    #[derive(FromRow)]
    struct Row {
        id: String,
        environment_id: EnvironmentId,
        digest: Vec<u8>,
    }
    if batch.keys.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = sql!(conn,
        "SELECT k.id, k.environment_id, k.digest FROM " (elements of "$1") " place
         JOIN api_keys k ON k.environment_id = place.value ->> 'environment' AND k.digest = "
         (bytes of hex "place.value ->> 'digest'"));
    let wanted = batch.keys.iter().map(|key| Place { environment: key.environment.as_str(), digest: hex(&key.digest) });
    let rows: Vec<Row> =
        on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(wanted.collect::<Vec<_>>())).fetch_all(c).await)?;
    let named = |row: Row| Some(((row.environment_id, Digest::from_bytes(&row.digest)?), row.id));
    Ok(rows.into_iter().filter_map(named).collect())
}

/// What a batch adds to which rows.
#[derive(Debug)]
struct Sums {
    hours: Hours,
    keys: BTreeMap<(String, i64, Outcome), u64>,
    environments: BTreeMap<(EnvironmentId, i64, Outcome), u64>,
    uses: BTreeMap<String, Timestamp>,
    counted: Counted,
}

impl Sums {
    fn of(batch: &Batch, known: &Known, hours: Hours, now: Timestamp) -> Self {
        let counted = Counted { outcomes: BTreeMap::new(), lost: batch.lost };
        let mut sums =
            Self { hours, keys: BTreeMap::new(), environments: BTreeMap::new(), uses: BTreeMap::new(), counted };
        for key in &batch.keys {
            let id = known.get(&(key.environment.clone(), key.digest));
            sums.add(&key.environment, id, &key.counts);
            if let (Some(id), Some(at)) = (id, key.last_used_at) {
                // Another clock may be ahead of ours, and nothing was used in the future.
                sums.note_use(id, at.min(now));
            }
        }
        for environment in &batch.environments {
            sums.add(&environment.environment, None, &environment.counts);
        }
        sums
    }

    /// Adds counts to those of an environment and, if it is known, of a key.
    fn add(&mut self, environment: &EnvironmentId, key: Option<&String>, counts: &[Count]) {
        for Count { hour, outcome, count } in counts {
            let count = (*count).min(COUNT_MAX);
            if !(self.hours.first..=self.hours.last).contains(hour) {
                self.counted.lost = self.counted.lost.saturating_add(count);
                continue;
            }
            if let Some(id) = key {
                *self.keys.entry((id.clone(), *hour, *outcome)).or_default() += count;
            }
            *self.environments.entry((environment.clone(), *hour, *outcome)).or_default() += count;
            *self.counted.outcomes.entry(*outcome).or_default() += count;
        }
    }

    fn note_use(&mut self, id: &str, at: Timestamp) {
        let last = self.uses.entry(id.to_owned()).or_insert(at);
        *last = at.max(*last);
    }
}

/// What is added to one row, as a question names it.
#[derive(Serialize)]
struct Added<'a> {
    of: &'a str,
    hour: i64,
    outcome: &'static str,
    count: u64,
}

fn added<'a, Id: 'a>(
    sums: &'a BTreeMap<(Id, i64, Outcome), u64>,
    text: impl Fn(&'a Id) -> &'a str,
) -> JsonText<Vec<Added<'a>>> {
    let rows = sums.iter().map(|((id, hour, outcome), count)| Added {
        of: text(id),
        hour: *hour,
        outcome: outcome.code(),
        count: *count,
    });
    JsonText(rows.collect())
}

async fn add_to_keys(conn: Conn<'_>, sums: &Sums) -> Result<()> {
    if sums.keys.is_empty() {
        return Ok(());
    }
    let sql = sql!(conn,
        "INSERT INTO usage (key_id, hour, outcome, count)
         SELECT value ->> 'of', CAST(value ->> 'hour' AS BIGINT), value ->> 'outcome', CAST(value ->> 'count' AS BIGINT)
         FROM " (elements of "$1") " WHERE TRUE ORDER BY 1, 2, 3
         ON CONFLICT (key_id, hour, outcome) DO UPDATE SET count = usage.count + excluded.count");
    on_db!(conn, c => sqlx::query(sql).bind(added(&sums.keys, String::as_str)).execute(c).await.map(drop))
}

/// Environments that do not exist are left out.
async fn add_to_environments(conn: Conn<'_>, sums: &Sums) -> Result<()> {
    if sums.environments.is_empty() {
        return Ok(());
    }
    let sql = sql!(conn,
        "INSERT INTO environment_usage (environment_id, hour, outcome, count)
         SELECT e.id, CAST(value ->> 'hour' AS BIGINT), value ->> 'outcome', CAST(value ->> 'count' AS BIGINT)
         FROM " (elements of "$1") " JOIN environments e ON e.id = value ->> 'of' WHERE TRUE ORDER BY 1, 2, 3
         ON CONFLICT (environment_id, hour, outcome)
         DO UPDATE SET count = environment_usage.count + excluded.count");
    let rows = added(&sums.environments, EnvironmentId::as_str);
    on_db!(conn, c => sqlx::query(sql).bind(rows).execute(c).await.map(drop))
}

/// Notes when keys were last used. It never goes back, whichever batch comes last.
async fn note_uses(conn: Conn<'_>, sums: &Sums) -> Result<()> {
    #[derive(Serialize)]
    struct Use<'a> {
        id: &'a str,
        at: Timestamp,
    }
    if sums.uses.is_empty() {
        return Ok(());
    }
    let sql = sql!(conn,
        "INSERT INTO last_uses (key_id, used_at)
         SELECT value ->> 'id', CAST(value ->> 'at' AS BIGINT) FROM " (elements of "$1") " WHERE TRUE ORDER BY 1
         ON CONFLICT (key_id) DO UPDATE SET used_at = excluded.used_at WHERE last_uses.used_at < excluded.used_at");
    let uses: Vec<Use<'_>> = sums.uses.iter().map(|(id, at)| Use { id, at: *at }).collect();
    on_db!(conn, c => sqlx::query(sql).bind(JsonText(uses)).execute(c).await.map(drop))
}

/// Some hours, in intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first hour.
    pub first: i64,
    /// The hour after the last.
    pub end: i64,
    /// How many hours an interval has. Intervals are counted since 1970 as well.
    pub interval: i64,
}

/// How often there was an outcome within an interval.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Total {
    /// The first hour of the interval.
    pub start: i64,
    /// The code of the outcome.
    pub outcome: String,
    /// How often.
    pub count: i64,
}

/// How often a key was validated.
pub async fn of_key(conn: Conn<'_>, environment: &EnvironmentId, id: &ApiKeyId, span: Span) -> Result<Vec<Total>> {
    const SQL: &str = "SELECT u.hour / $5 * $5 AS start, u.outcome, CAST(SUM(u.count) AS BIGINT) AS count
        FROM usage u JOIN api_keys k ON k.id = u.key_id
        WHERE k.environment_id = $1 AND u.key_id = $2 AND u.hour >= $3 AND u.hour < $4
        GROUP BY 1, 2 ORDER BY 1, 2";
    on_db!(conn, c => sqlx::query_as(SQL)
        .bind(environment)
        .bind(id)
        .bind(span.first)
        .bind(span.end)
        .bind(span.interval)
        .fetch_all(c).await)
}

/// How often there was a validation in an environment, be it of a key or of what is none.
pub async fn of_environment(conn: Conn<'_>, environment: &EnvironmentId, span: Span) -> Result<Vec<Total>> {
    const SQL: &str = "SELECT hour / $4 * $4 AS start, outcome, CAST(SUM(count) AS BIGINT) AS count
        FROM environment_usage WHERE environment_id = $1 AND hour >= $2 AND hour < $3
        GROUP BY 1, 2 ORDER BY 1, 2";
    on_db!(conn, c => sqlx::query_as(SQL)
        .bind(environment)
        .bind(span.first)
        .bind(span.end)
        .bind(span.interval)
        .fetch_all(c).await)
}

/// Forgets what was counted before this hour, so many rows of each table at the most, and returns how many it forgot.
pub async fn forget_before(mut conn: Conn<'_>, hour: i64, limit: i64) -> Result<u64> {
    let of_keys = sql!(conn,
        "WITH old AS (
            SELECT key_id, hour, outcome FROM usage WHERE hour < $1 ORDER BY hour LIMIT $2"
            (for update skip locked) ")
         DELETE FROM usage WHERE (key_id, hour, outcome) IN (SELECT key_id, hour, outcome FROM old)");
    let of_environments = sql!(conn,
        "WITH old AS (
            SELECT environment_id, hour, outcome FROM environment_usage WHERE hour < $1 ORDER BY hour LIMIT $2"
            (for update skip locked) ")
         DELETE FROM environment_usage
         WHERE (environment_id, hour, outcome) IN (SELECT environment_id, hour, outcome FROM old)");
    let mut forgotten = 0;
    for sql in [of_keys, of_environments] {
        forgotten += on_db!(conn.reborrow(), c => sqlx::query(sql)
            .bind(hour)
            .bind(limit)
            .execute(c).await.map(|done| done.rows_affected()))?;
    }
    Ok(forgotten)
}

/// Forgets senders that told of nothing since this moment, so many at the most, and returns how many it forgot.
pub async fn forget_senders(conn: Conn<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    let sql = sql!(conn,
        "WITH gone AS (
            SELECT sender FROM usage_senders WHERE seen_at < $1 ORDER BY seen_at LIMIT $2" (for update skip locked) ")
         DELETE FROM usage_senders WHERE sender IN (SELECT sender FROM gone)");
    on_db!(conn, c => sqlx::query(sql)
        .bind(before)
        .bind(limit)
        .execute(c).await.map(|done| done.rows_affected()))
}
