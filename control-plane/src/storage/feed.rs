//! What the change feed must be told besides keys, and how far it had come.

use shared::{
    Timestamp,
    feed::{self, Effect, Epoch, Position, Scope},
    id::EnvironmentId,
    record::Version,
};
use sqlx::FromRow;

use super::{Conn, JsonText, Result, dialect::sql, outbox::Changed};

/// What narrowed many keys at once.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ScopeChange {
    /// The name of the scope.
    pub name: String,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// Records that were sealed with a lower generation are subject to the effect.
    pub generation: Version,
    /// What becomes of them.
    pub effect: JsonText<Effect>,
    /// When it happened.
    pub changed_at: Timestamp,
    /// Whether the feed has it.
    pub fed: bool,
    /// Whether somebody was told so.
    pub acknowledged: bool,
}

#[cfg(test)]
impl ScopeChange {
    /// A change that is not in the feed yet.
    pub(crate) fn new(
        scope: &Scope<'_>,
        environment: &EnvironmentId,
        generation: Version,
        effect: Effect,
        now: Timestamp,
    ) -> Self {
        Self {
            name: scope.name(),
            environment_id: environment.clone(),
            generation,
            effect: JsonText(effect),
            changed_at: now,
            fed: false,
            acknowledged: false,
        }
    }
}

macro_rules! columns {
    () => {
        "name, environment_id, generation, effect, changed_at, fed, acknowledged"
    };
}

/// Notes a change. It takes the place of an earlier one of its scope.
pub async fn add_scope(conn: Conn<'_>, change: &ScopeChange) -> Result<()> {
    const SQL: &str = "INSERT INTO scope_changes
            (name, environment_id, generation, effect, changed_at, fed, acknowledged)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, effect = excluded.effect,
            changed_at = excluded.changed_at, fed = excluded.fed, acknowledged = excluded.acknowledged
        WHERE excluded.generation > scope_changes.generation";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&change.name)
        .bind(&change.environment_id)
        .bind(change.generation)
        .bind(&change.effect)
        .bind(change.changed_at)
        .bind(change.fed)
        .bind(change.acknowledged)
        .execute(c).await.map(drop))
}

/// The changes of the scopes with these names.
pub async fn scopes(conn: Conn<'_>, names: &[&str]) -> Result<Vec<ScopeChange>> {
    let sql = sql!(conn, "SELECT " (text columns) " FROM scope_changes
        WHERE name IN (" (texts of "$1") ") ORDER BY name");
    on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(names)).fetch_all(c).await)
}

/// The names of scopes whose change the feed must be told of, those that have waited longest first.
pub async fn unfed_scopes(conn: Conn<'_>, limit: i64) -> Result<Vec<String>> {
    const SQL: &str = "SELECT name FROM scope_changes WHERE NOT fed ORDER BY changed_at, name LIMIT $1";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(limit).fetch_all(c).await)
}

/// Since when the oldest change has been waiting that the feed must be told of, of a key or of a scope.
pub async fn oldest_unfed(conn: Conn<'_>) -> Result<Option<Timestamp>> {
    const SQL: &str = "SELECT MIN(since) FROM (
            SELECT MIN(queued_at) AS since FROM outbox
            WHERE through_feed AND (fed_version IS NULL OR fed_version < version)
            UNION ALL SELECT MIN(changed_at) FROM scope_changes WHERE NOT fed
        ) oldest";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}

/// Changes since a moment, by name, for seeding a feed anew.
pub async fn scopes_since(conn: Conn<'_>, since: Timestamp, after: &str, limit: i64) -> Result<Vec<ScopeChange>> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM scope_changes WHERE changed_at >= $1 AND name > $2 ORDER BY name LIMIT $3"
    );
    on_db!(conn, c => sqlx::query_as(SQL).bind(since).bind(after).bind(limit).fetch_all(c).await)
}

/// Whether the feed has this generation of a scope, or a later one.
pub async fn is_scope_fed(conn: Conn<'_>, name: &str, generation: Version) -> Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM scope_changes WHERE name = $1 AND generation <= $2 AND NOT fed";
    let unfed: i64 = on_db!(conn, c => sqlx::query_scalar(SQL).bind(name).bind(generation).fetch_one(c).await)?;
    Ok(unfed == 0)
}

/// Notes which generations of scopes the feed has. `id` is the name of the scope here.
pub async fn note_scopes_fed(conn: Conn<'_>, fed: &[Changed]) -> Result<()> {
    let sql = sql!(conn,
        "WITH held AS (
            SELECT name FROM scope_changes WHERE name IN (SELECT value ->> 'id' FROM " (elements of "$1") ")"
            (for update skip locked) ")
         UPDATE scope_changes SET fed = TRUE
         FROM " (elements of "$1") " fed
         WHERE scope_changes.name = fed.value ->> 'id' AND scope_changes.name IN (SELECT name FROM held)
           AND generation <= CAST(fed.value ->> 'version' AS BIGINT)");
    on_db!(conn, c => sqlx::query(sql).bind(JsonText(fed)).execute(c).await.map(drop))
}

/// Notes that somebody was told that this generation of a scope reached the edge.
pub async fn note_scope_acknowledged(conn: Conn<'_>, name: &str, generation: Version) -> Result<()> {
    const SQL: &str = "UPDATE scope_changes SET acknowledged = TRUE WHERE name = $1 AND generation <= $2";
    on_db!(conn, c => sqlx::query(SQL).bind(name).bind(generation).execute(c).await.map(drop))
}

/// The generation of a scope's last change, if nobody was told yet that it reached the edge.
pub async fn unacknowledged_scope(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    scope: &Scope<'_>,
) -> Result<Option<Version>> {
    const SQL: &str =
        "SELECT generation FROM scope_changes WHERE environment_id = $1 AND name = $2 AND NOT acknowledged";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(environment).bind(scope.name()).fetch_optional(c).await)
}

/// Forgets changes that happened before this moment: all of them, or only those that the feed has.
pub async fn remove_scopes(conn: Conn<'_>, before: Timestamp, unfed_too: bool) -> Result<u64> {
    const SQL: &str = "DELETE FROM scope_changes WHERE changed_at < $1 AND (fed OR $2)";
    on_db!(conn, c => sqlx::query(SQL).bind(before).bind(unfed_too).execute(c).await.map(|done| done.rows_affected()))
}

#[derive(FromRow)]
struct PositionRow {
    epoch: i64,
    sequence: i64,
}

/// How far the feed had come when it last answered. `None` if it never did.
pub async fn position(conn: Conn<'_>) -> Result<Option<Position>> {
    const SQL: &str = "SELECT epoch, sequence FROM feed_position";
    let row: Option<PositionRow> = on_db!(conn, c => sqlx::query_as(SQL).fetch_optional(c).await)?;
    // Numbers that cannot be are none of ours, so nothing is known.
    Ok(row.and_then(|row| {
        let sequence = feed::Sequence::try_from(row.sequence).ok()?;
        Some(Position { epoch: Epoch(u32::try_from(row.epoch).ok()?), sequence })
    }))
}

/// Notes how far the feed has come, beyond how far the caller knew `before` that it had come; `None` if the caller has compared all that
/// the feed has with the database.
///
/// Within an epoch that never goes back, whichever process notes it last. And if the database has noted less than the
/// caller knew, nothing is noted: either somebody else is about to note it, or the database was restored from a backup, and
/// what it lacks must not be hidden.
pub async fn note_position(mut conn: Conn<'_>, position: Position, before: Option<Position>) -> Result<()> {
    const ADVANCE: &str = "UPDATE feed_position SET epoch = $1, sequence = $2
        WHERE (epoch = $1 AND sequence < $2 AND sequence >= $3) OR (epoch <> $1 AND $4)";
    const BEGIN: &str =
        "INSERT INTO feed_position (only_row, epoch, sequence) VALUES (1, $1, $2) ON CONFLICT DO NOTHING";
    let same_epoch = before.filter(|before| before.epoch == position.epoch);
    let number = |sequence| i64::try_from(sequence).unwrap_or(i64::MAX);
    let (epoch, sequence) = (i64::from(position.epoch.0), number(position.sequence));
    on_db!(conn.reborrow(), c => sqlx::query(ADVANCE)
        .bind(epoch)
        .bind(sequence)
        .bind(same_epoch.map_or(0, |before| number(before.sequence)))
        .bind(same_epoch.is_none())
        .execute(c).await.map(drop))?;
    if before.is_none() {
        on_db!(conn, c => sqlx::query(BEGIN).bind(epoch).bind(sequence).execute(c).await.map(drop))?;
    }
    Ok(())
}
