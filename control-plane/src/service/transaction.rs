//! Transactions of use cases, and the one way to commit them.

use std::sync::Arc;

use shared::{Timestamp, entropy::Entropy, feed::Scope, id::EnvironmentId};

use super::{Change, Result, change::Part};
use crate::{
    clock::Clock,
    edge::{
        Wake,
        acknowledge::{Committed, EdgeLink},
    },
    events::{
        Actor, NewEvent,
        append::{Appended, IfBusy, append},
    },
    storage::{
        self, Conn, Db, Failure, JsonText, Priority, Reader, Writer, edge_sync,
        events::{self, EventToQueue},
        feed::{self, ScopeChange},
        outbox::{self, Route},
    },
};

/// The database as use cases see it: anyone may read, and whatever changes goes through [`commit`].
#[derive(Debug, Clone)]
pub struct Database {
    db: Db,
    edge: Option<Arc<EdgeLink>>,
    wakes: Wakes,
}

/// What wakes the tasks that take a committed change further.
#[derive(Debug, Clone, Default)]
pub struct Wakes {
    /// The publisher, which writes records to Workers KV.
    pub publisher: Wake,
    /// The event logger, which moves events into the log.
    pub events: Wake,
    /// The task that sends webhooks.
    pub webhooks: Wake,
}

impl Database {
    /// The database of an installation with this edge, if it has one.
    #[must_use]
    pub const fn new(db: Db, edge: Option<Arc<EdgeLink>>, wakes: Wakes) -> Self {
        Self { db, edge, wakes }
    }

    /// The database for a caller that does not wait for the edge, as commands and tests do.
    #[must_use]
    pub fn without_edge(db: Db) -> Self {
        Self::new(db, None, Wakes::default())
    }

    /// A connection for reading.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read(&self) -> storage::Result<Reader> {
        self.db.read().await
    }

    /// Begins a transaction in which this actor makes changes.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin(&self, actor: Actor, priority: Priority) -> storage::Result<Transaction> {
        let writer = self.db.write_as(priority).await?;
        Ok(Transaction { writer, actor, edge: self.edge.clone(), wakes: self.wakes.clone() })
    }

    /// Moves committed events into the log: at most one batch of them, which may be those of other callers.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn append_events(&self, clock: &Clock, entropy: &mut impl Entropy) -> storage::Result<Appended> {
        let appended = append(&self.db, Priority::Normal, IfBusy::Wait, clock, entropy).await?;
        if appended.is_partial {
            self.wakes.events.notify();
        }
        if appended.deliveries > 0 {
            self.wakes.webhooks.notify();
        }
        Ok(appended)
    }

    /// Whether changes have to reach an edge.
    #[must_use]
    pub const fn has_edge(&self) -> bool {
        self.edge.is_some()
    }

    /// Whether the database is a SQLite file, which has a single writer.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        self.db.is_sqlite()
    }

    /// Whether the database accepts writes at the moment.
    ///
    /// # Errors
    /// If it does not.
    pub async fn check_writes(&self) -> std::result::Result<(), Failure> {
        self.db.check_writes().await
    }
}

/// A transaction of a use case. Dropped without [`commit`], it is rolled back. It cannot be committed without a [`Change`], which
/// only use cases make:
///
/// ```compile_fail,E0599
/// async fn forgets_the_change(transaction: control_plane::service::Transaction) {
///     transaction.commit().await.unwrap();
/// }
/// ```
///
/// ```compile_fail,E0423
/// fn makes_up_a_change() -> control_plane::service::Change {
///     control_plane::service::Change(vec![])
/// }
/// ```
#[derive(Debug)]
pub struct Transaction {
    writer: Writer,
    actor: Actor,
    edge: Option<Arc<EdgeLink>>,
    wakes: Wakes,
}

impl Transaction {
    /// The connection, inside the transaction.
    pub fn conn(&mut self) -> Conn<'_> {
        self.writer.conn()
    }

    /// Whether changes have to reach an edge.
    #[must_use]
    pub const fn has_edge(&self) -> bool {
        self.edge.is_some()
    }

    /// The last change of a scope, if its caller has received no acknowledgement. Without an edge there is nothing to wait for,
    /// hence no change.
    pub(super) async fn unacknowledged(
        &mut self,
        scope: &Scope<'_>,
        environment: &EnvironmentId,
    ) -> storage::Result<Option<Change>> {
        if !self.has_edge() {
            return Ok(None);
        }
        let generation = feed::unacknowledged_scope(self.conn(), environment, scope).await?;
        Ok(generation.map(|generation| Change::unacknowledged_scope(scope, generation)))
    }

    /// Writes the events and the outbox rows of a change and commits all of it. Returns what to wait for.
    async fn write(mut self, change: Change, acknowledged: bool, now: Timestamp) -> storage::Result<Pending> {
        let priority = self.writer.priority();
        let mut pending = Pending::default();
        let has_deliveries = change.has_deliveries();
        let (events, parts) = change.into_parts();
        self.queue(&events).await?;
        for part in parts {
            match part {
                Part::Created(key) => {
                    outbox::add(self.conn(), key.kind, &key.id, key.version, Route::FeedFirst, now).await?;
                    pending.created.push(Committed::key(key.kind, key.id, key.version, priority));
                }
                Part::Updated(key) => {
                    edge_sync::note_change(self.conn(), key.kind, &key.id, acknowledged, now).await?;
                    outbox::add(self.conn(), key.kind, &key.id, key.version, Route::FeedFirst, now).await?;
                    pending.updated.push(Committed::key(key.kind, key.id, key.version, priority));
                }
                Part::Scope(scope) => {
                    let change = ScopeChange {
                        name: scope.name,
                        environment_id: scope.environment,
                        generation: scope.generation,
                        effect: JsonText(scope.effect),
                        changed_at: now,
                        fed: false,
                        acknowledged,
                    };
                    feed::add_scope(self.conn(), &change).await?;
                    pending.updated.push(Committed::scope(change.name, change.generation, priority));
                }
                Part::Restored(key) => {
                    outbox::add(self.conn(), key.kind, &key.id, key.version, Route::StoreOnly, now).await?;
                }
                Part::Unacknowledged(earlier) => pending.updated.push(earlier),
            }
        }
        self.writer.commit().await?;
        if !pending.created.is_empty() || !pending.updated.is_empty() {
            self.wakes.publisher.notify();
        }
        if !events.is_empty() {
            self.wakes.events.notify();
        }
        if has_deliveries {
            self.wakes.webhooks.notify();
        }
        Ok(pending)
    }

    async fn queue(&mut self, events: &[NewEvent]) -> storage::Result<()> {
        let context = self.actor.context()?;
        let events: Vec<EventToQueue<'_>> = events.iter().map(|event| to_queue(event, &context)).collect();
        events::queue(self.conn(), &events).await
    }
}

fn to_queue<'a>(event: &'a NewEvent, context: &'a str) -> EventToQueue<'a> {
    EventToQueue {
        environment_id: &event.environment,
        organization_id: event.organization.as_ref(),
        event: event.event.as_str(),
        data: &event.data,
        context,
        batch: event.batch.as_deref(),
    }
}

/// What a committed change has to wait for.
#[derive(Debug, Default)]
struct Pending {
    created: Vec<Committed>,
    updated: Vec<Committed>,
}

/// Commits a change with its events and outbox rows, and returns once the edge has it.
///
/// A new key is waited for only briefly: until the edge has it, it is refused, which is safe. Anything else must be in
/// the change feed before this succeeds. A change that was committed stands even if the wait fails. The database
/// remembers that its caller has received no acknowledgement, so the same call, repeated, resumes the wait.
///
/// # Errors
/// If the database fails, and then nothing is changed; or [`super::Error::EdgePending`], if the wait takes too long.
pub async fn commit(transaction: Transaction, change: Change, now: Timestamp) -> Result<()> {
    let edge = transaction.edge.clone();
    let Pending { created, updated } = transaction.write(change, edge.is_none(), now).await?;
    let Some(edge) = edge else { return Ok(()) };
    for change in &updated {
        edge.acknowledge(change).await?;
    }
    if updated.is_empty() {
        for change in &created {
            edge.await_creation(change).await;
        }
    }
    Ok(())
}

/// Commits a change with its events and outbox rows without waiting for the edge, for callers to whom nothing has to be
/// acknowledged: the restore, the first run, and what the server does by itself.
///
/// # Errors
/// If the database fails. Nothing is changed then.
pub async fn commit_without_waiting(transaction: Transaction, change: Change, now: Timestamp) -> storage::Result<()> {
    transaction.write(change, true, now).await.map(drop)
}
