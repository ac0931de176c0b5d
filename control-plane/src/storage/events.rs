//! The log of events, and the events that are not in it yet. [`crate::events`] says how they get there.

use serde::Serialize;
use shared::id::{EnvironmentId, EventId, OrganizationId};
use sqlx::FromRow;

use super::{Conn, JsonText, Page, PageRequest, Result, dialect::sql};

/// An event to queue.
#[derive(Debug, Serialize)]
pub struct EventToQueue<'a> {
    /// Its environment.
    pub environment_id: &'a EnvironmentId,
    /// The organization that it is about.
    pub organization_id: Option<&'a OrganizationId>,
    /// Its type.
    pub event: &'a str,
    /// What happened, as JSON.
    pub data: &'a str,
    /// Who did it, as JSON.
    pub context: &'a str,
    /// The name of its targets, if it has any.
    pub batch: Option<&'a str>,
}

/// Queues events, in this order.
pub async fn queue(mut conn: Conn<'_>, events: &[EventToQueue<'_>]) -> Result<()> {
    const SQL: &str = "INSERT INTO event_queue (environment_id, organization_id, event, data, context, batch)
        VALUES ($1, $2, $3, $4, $5, $6)";
    for event in events {
        on_db!(conn.reborrow(), c => sqlx::query(SQL)
            .bind(event.environment_id)
            .bind(event.organization_id)
            .bind(event.event)
            .bind(event.data)
            .bind(event.context)
            .bind(event.batch)
            .execute(c).await.map(drop))?;
    }
    Ok(())
}

/// An event that waits for its place in the log.
#[derive(Debug, Clone, FromRow)]
pub struct Queued {
    /// Its place in the queue.
    pub position: i64,
    /// Its environment.
    pub environment_id: EnvironmentId,
    /// The organization that it is about.
    pub organization_id: Option<OrganizationId>,
    /// Its type.
    pub event: String,
    /// What happened, as JSON.
    pub data: String,
    /// Who did it, as JSON.
    pub context: String,
    /// The name of its targets, if it has any.
    pub batch: Option<String>,
}

/// Whether any event waits.
pub async fn any_queued(conn: Conn<'_>) -> Result<bool> {
    const SQL: &str = "SELECT (SELECT position FROM event_queue ORDER BY position LIMIT 1) IS NOT NULL";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}

/// Locks the end of the log until the transaction ends, and returns the last id. `None` if another process has locked it.
pub async fn lock_log(conn: Conn<'_>) -> Result<Option<String>> {
    let sql = sql!(conn, "SELECT last_id FROM event_log WHERE only_row = 1" (for update skip locked));
    on_db!(conn, c => sqlx::query_scalar(sql).fetch_optional(c).await)
}

/// The same, but waits for the other process.
pub async fn wait_for_log(conn: Conn<'_>) -> Result<Option<String>> {
    let sql = sql!(conn, "SELECT last_id FROM event_log WHERE only_row = 1" (for update));
    on_db!(conn, c => sqlx::query_scalar(sql).fetch_optional(c).await)
}

/// The next events of the queue. Those of an environment whose last event has targets left come after these.
pub async fn next_queued(conn: Conn<'_>, limit: i64) -> Result<Vec<Queued>> {
    const SQL: &str = "SELECT position, environment_id, organization_id, event, data, context, batch FROM event_queue
        WHERE environment_id NOT IN (SELECT environment_id FROM event_queue WHERE expanding)
        ORDER BY position LIMIT $1";
    on_db!(conn, c => sqlx::query_as(SQL).bind(limit).fetch_all(c).await)
}

/// Events of the queue that are in the log, but not those of their targets: at most one for each environment.
pub async fn expanding(conn: Conn<'_>) -> Result<Vec<Queued>> {
    const SQL: &str = "SELECT position, environment_id, organization_id, event, data, context, batch FROM event_queue
        WHERE expanding ORDER BY position";
    on_db!(conn, c => sqlx::query_as(SQL).fetch_all(c).await)
}

/// Notes that an event is in the log, and the events of its targets are to follow.
pub async fn set_expanding(conn: Conn<'_>, position: i64) -> Result<()> {
    const SQL: &str = "UPDATE event_queue SET expanding = TRUE WHERE position = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(position).execute(c).await.map(drop))
}

/// Removes events from the queue.
pub async fn dequeue(conn: Conn<'_>, positions: &[i64]) -> Result<()> {
    let sql = sql!(conn, "DELETE FROM event_queue
        WHERE position IN (SELECT CAST(CAST(value AS TEXT) AS BIGINT) FROM " (elements of "$1") ")");
    on_db!(conn, c => sqlx::query(sql).bind(JsonText(positions)).execute(c).await.map(drop))
}

/// Something that a change of many things concerned.
#[derive(Debug, Clone, FromRow)]
pub struct Target {
    /// The type of its event.
    pub event: String,
    /// Its id.
    pub id: String,
    /// What its row does not tell any more, as JSON.
    pub details: Option<String>,
}

/// The next targets of a batch.
pub async fn next_targets(conn: Conn<'_>, batch: &str, limit: i64) -> Result<Vec<Target>> {
    const SQL: &str = "SELECT event, id, details FROM event_targets WHERE batch = $1 ORDER BY event, id LIMIT $2";
    on_db!(conn, c => sqlx::query_as(SQL).bind(batch).bind(limit).fetch_all(c).await)
}

/// Removes the targets of a batch up to this one.
pub async fn remove_targets(conn: Conn<'_>, batch: &str, last: &Target) -> Result<()> {
    const SQL: &str = "DELETE FROM event_targets WHERE batch = $1 AND (event, id) <= ($2, $3)";
    on_db!(conn, c => sqlx::query(SQL).bind(batch).bind(&last.event).bind(&last.id).execute(c).await.map(drop))
}

/// A target to add.
#[derive(Debug, Serialize)]
pub struct NewTarget {
    /// Its id.
    pub id: String,
    /// What its row does not tell any more, as JSON.
    pub details: String,
}

/// Adds targets to a batch.
pub async fn add_targets(conn: Conn<'_>, batch: &str, event: &str, targets: &[NewTarget]) -> Result<()> {
    let sql = sql!(conn, "INSERT INTO event_targets (batch, event, id, details)
        SELECT $1, $2, value ->> 'id', value ->> 'details' FROM " (elements of "$3") " WHERE TRUE");
    on_db!(conn, c => sqlx::query(sql).bind(batch).bind(event).bind(JsonText(targets)).execute(c).await.map(drop))
}

/// An event with its place in the log.
#[derive(Debug, Clone, Serialize)]
pub struct Logged {
    /// Its id.
    pub id: EventId,
    /// Its environment.
    pub environment_id: EnvironmentId,
    /// The organization that it is about.
    pub organization_id: Option<OrganizationId>,
    /// Its type.
    pub event: String,
    /// Whether Latchkey defined the type.
    pub of_latchkey: bool,
    /// All of it, as JSON.
    pub body: String,
}

/// Adds events at the end of the log, which the transaction has locked.
pub async fn append(mut conn: Conn<'_>, events: &[Logged]) -> Result<()> {
    let Some(last) = events.last() else { return Ok(()) };
    let sql = sql!(conn, "INSERT INTO events (id, environment_id, organization_id, event, of_latchkey, body)
        SELECT value ->> 'id', value ->> 'environment_id', value ->> 'organization_id', value ->> 'event',
            CAST(value ->> 'of_latchkey' AS TEXT) IN ('true', '1'), value ->> 'body'
        FROM " (elements of "$1") " WHERE TRUE");
    on_db!(conn.reborrow(), c => sqlx::query(sql).bind(JsonText(events)).execute(c).await.map(drop))?;
    const END: &str = "UPDATE event_log SET last_id = $1 WHERE only_row = 1";
    on_db!(conn, c => sqlx::query(END).bind(&last.id).execute(c).await.map(drop))
}

/// Which events a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Those of these types. `None`: those that Latchkey did not define.
    pub types: Option<Vec<String>>,
    /// Those about this organization.
    pub organization: Option<OrganizationId>,
    /// Those whose ids are at least this one.
    pub from: Option<String>,
    /// Those whose ids are below this one.
    pub below: Option<String>,
}

/// An event, as a list shows it.
#[derive(Debug, Clone, FromRow)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event: String,
    /// All of it, as JSON.
    pub body: String,
}

macro_rules! select {
    ($condition:literal) => {
        [
            concat!(
                "SELECT id, event, body FROM events WHERE environment_id = $1 AND id > $2 AND id < $3 AND ",
                $condition,
                " ORDER BY id LIMIT $4"
            ),
            concat!(
                "SELECT id, event, body FROM events WHERE environment_id = $1 AND id > $2 AND id < $3 AND ",
                $condition,
                " ORDER BY id DESC LIMIT $4"
            ),
        ]
    };
}

/// A page of the events of an environment. Each query reads one range of an index, so that a rare type among millions of others is
/// found as fast as any.
pub async fn list(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<Event>> {
    let walk = request.walk();
    let (above, mut below) = bounds(filter, &walk.beyond, walk.towards_older);
    if filter.types.is_some() {
        // The log may grow between the queries. Up to its end as it is now, all of them see the same.
        below = below.min(log_end(conn.reborrow()).await? + BEYOND_ALL);
    }
    let organization = filter.organization.as_ref();
    let range = Range { environment, organization, above, below, limit: walk.limit, towards_older: walk.towards_older };
    let Some(types) = &filter.types else {
        return Ok(request.page(in_range(conn, &range, None).await?));
    };
    let mut events: Vec<Event> = vec![];
    for event in types {
        events.extend(in_range(conn.reborrow(), &range, Some(event)).await?);
    }
    events.sort_by(|a, b| if walk.towards_older { b.id.cmp(&a.id) } else { a.id.cmp(&b.id) });
    events.truncate(usize::try_from(walk.limit).unwrap_or(usize::MAX));
    Ok(request.page(events))
}

/// The last id of the log.
async fn log_end(conn: Conn<'_>) -> Result<String> {
    const SQL: &str = "SELECT last_id FROM event_log WHERE only_row = 1";
    on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)
}

/// Some of the log.
struct Range<'a> {
    environment: &'a EnvironmentId,
    organization: Option<&'a OrganizationId>,
    above: String,
    below: String,
    limit: i64,
    towards_older: bool,
}

/// The events of one type, or else those that Latchkey did not define.
async fn in_range(conn: Conn<'_>, range: &Range<'_>, event: Option<&str>) -> Result<Vec<Event>> {
    const ALL: [&str; 2] = select!("NOT of_latchkey");
    const OF_ORGANIZATION: [&str; 2] =
        select!("organization_id = $5 AND organization_id IS NOT NULL AND NOT of_latchkey");
    const OF_TYPE: [&str; 2] = select!("event = $5");
    const OF_TYPE_AND_ORGANIZATION: [&str; 2] =
        select!("event = $5 AND organization_id = $6 AND organization_id IS NOT NULL");
    let [oldest_first, newest_first] = match (event, range.organization) {
        (None, None) => ALL,
        (None, Some(_)) => OF_ORGANIZATION,
        (Some(_), None) => OF_TYPE,
        (Some(_), Some(_)) => OF_TYPE_AND_ORGANIZATION,
    };
    let sql = if range.towards_older { newest_first } else { oldest_first };
    on_db!(conn, c => {
        let mut query = sqlx::query_as(sql)
            .bind(range.environment)
            .bind(&range.above)
            .bind(&range.below)
            .bind(range.limit);
        if let Some(event) = event {
            query = query.bind(event);
        }
        if let Some(organization) = range.organization {
            query = query.bind(organization);
        }
        query.fetch_all(c).await
    })
}

/// Greater than every id.
const BEYOND_ALL: &str = "~";

/// Between which ids a page is: it begins beyond a cursor, and the filter may narrow it.
fn bounds(filter: &Filter, beyond: &str, towards_older: bool) -> (String, String) {
    // No id lies between a least id and its text without the last character.
    let from = filter.from.as_deref().map_or("", |from| from.get(..from.len() - 1).unwrap_or_default());
    let below = filter.below.as_deref().unwrap_or(BEYOND_ALL);
    match towards_older {
        true => (from.to_owned(), below.min(beyond).to_owned()),
        false => (from.max(beyond).to_owned(), below.to_owned()),
    }
}

/// Whether an event is in the log of an environment.
pub async fn exists(conn: Conn<'_>, environment: &EnvironmentId, id: &str) -> Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM events WHERE id = $2 AND environment_id = $1";
    let count: i64 = on_db!(conn, c => sqlx::query_scalar(SQL).bind(environment).bind(id).fetch_one(c).await)?;
    Ok(count > 0)
}

/// Deletes so many events with ids below this one, and returns how many. It passes over no row that another process is deleting: if
/// an event is there, all later ones are, on which [`crate::service::events::list`] relies.
pub async fn forget(conn: Conn<'_>, below: &str, limit: i64) -> Result<u64> {
    let sql =
        sql!(conn, "DELETE FROM events WHERE id" (one of "SELECT id FROM events WHERE id < $1 ORDER BY id LIMIT $2"));
    on_db!(conn, c => sqlx::query(sql).bind(below).bind(limit).execute(c).await.map(|done| done.rows_affected()))
}
