//! Appends changes to the feed: reads the *current* state of what changed, appends it, and records what the feed then
//! has.
//!
//! What is read was committed before, so the feed never has what is not in the database. Appending the same again
//! changes nothing, so no process claims a change: two may append the same one, and one may append it again after it
//! was killed between the append and the record of it.

use std::collections::HashMap;

use shared::{
    feed::{
        APPEND_MAX, BYTES_OF_AN_ENTRY, Held, Position, Status,
        wire::{self, Append, WireChange},
    },
    record::Version,
    seal::EdgeSecrets,
};

use super::{
    changes::{Subject, change_of_key, change_of_scope},
    feed::{FeedClient, FeedError},
};
use crate::{
    clock::Clock,
    config::EdgeConfig,
    storage::{
        self, Db, Priority, edge_sync, feed,
        outbox::{self, Changed, Kind},
    },
};

/// How long the changes of one append may be together. As JSON within JSON a record can become twice as long, and there
/// are numbers and words between.
const BYTES_MAX: usize = wire::BODY_LIMIT / 3;

/// What brings changes into the feed.
#[derive(Debug)]
pub struct Feeder {
    db: Db,
    clock: Clock,
    client: FeedClient,
    secrets: EdgeSecrets,
    /// How far the feed had come when it last answered. Nothing is known before it was read from the database.
    known: Option<Position>,
    has_read_known: bool,
}

/// Why changes did not get into the feed, or nobody knows whether they did.
#[derive(Debug, thiserror::Error)]
pub enum NotFed {
    /// The feed did not answer, or refused.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The database failed.
    #[error("database error: {0}")]
    Storage(#[from] sqlx::Error),
}

/// What came of an append.
#[derive(Debug)]
pub struct Fed {
    /// The feed.
    pub status: Status,
    /// What it now holds.
    pub held: HashMap<Subject, Held>,
    /// Keys of which it holds something newer or stricter than what was read of the database. Another process may have
    /// changed them meanwhile; otherwise the database is older than the feed, so it was restored.
    pub ahead: Vec<Ahead>,
    /// Whether all of it was appended. The rest was too much for one append.
    pub is_all: bool,
}

/// A key of which the feed holds something newer or stricter than the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// What kind of key it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its name in the feed.
    pub name: String,
    /// What the database said when it was read.
    pub version: Version,
    /// What the feed holds.
    pub held: Held,
}

/// A change that is to be appended, and what it is of.
struct Piece {
    subject: Subject,
    change: WireChange,
}

impl Feeder {
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn new(edge: EdgeConfig, db: Db, clock: Clock) -> anyhow::Result<Self> {
        let client = FeedClient::new(&edge)?;
        Ok(Self::with_client(client, edge, db, clock))
    }

    /// The same with this client.
    #[must_use]
    pub fn with_client(client: FeedClient, edge: EdgeConfig, db: Db, clock: Clock) -> Self {
        Self { db, clock, client, secrets: edge.secrets, known: None, has_read_known: false }
    }

    /// The feed itself.
    #[must_use]
    pub const fn client(&self) -> &FeedClient {
        &self.client
    }

    /// What the feed has yet to be told of, so much at the most: what narrows many keys at once comes first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unfed(&self, limit: usize) -> storage::Result<Vec<Subject>> {
        let limit_of = |left: usize| i64::try_from(left).unwrap_or(i64::MAX);
        let mut reader = self.db.read_as(Priority::Publisher).await?;
        let scopes = feed::unfed_scopes(reader.conn(), limit_of(limit)).await?;
        let mut subjects: Vec<Subject> = scopes.into_iter().map(Subject::Scope).collect();
        let keys = outbox::unfed(reader.conn(), limit_of(limit - subjects.len())).await?;
        subjects.extend(keys.into_iter().map(Subject::from));
        Ok(subjects)
    }

    /// Brings the current state of these into the feed: [`APPEND_MAX`] at the most. None of them to ask how it is.
    ///
    /// # Errors
    /// If the feed or the database fails. The changes may have been appended nevertheless.
    pub async fn feed(&mut self, subjects: &[Subject]) -> Result<Fed, NotFed> {
        if !self.has_read_known {
            self.known = feed::position(self.db.read_as(Priority::Publisher).await?.conn()).await?;
            self.has_read_known = true;
        }
        let (pieces, damaged) = self.read(&subjects[..subjects.len().min(APPEND_MAX)]).await?;
        let wanted = pieces.len();
        let pieces = within_a_body(pieces);
        let is_all = pieces.len() == wanted && subjects.len() <= APPEND_MAX;
        let changes = pieces.iter().map(|piece| piece.change.clone()).collect();
        let appended = self.client.append(&Append { known: self.known, changes }).await?;
        let status = appended.status;
        let position = Position { epoch: status.epoch, sequence: status.head };
        let before = self.known.replace(position);
        let ahead = ahead(&pieces, &appended.held);
        if !pieces.is_empty() || !damaged.is_empty() {
            self.note(&pieces, &appended.held, damaged, position, before).await?;
        }
        let held = pieces.into_iter().map(|piece| piece.subject).zip(appended.held).collect();
        Ok(Fed { status, held, ahead, is_all })
    }

    /// The changes, and the keys whose place nobody knows. Those cannot be in the feed nor in the store.
    async fn read(&self, subjects: &[Subject]) -> storage::Result<(Vec<Piece>, Vec<Changed>)> {
        let now = self.clock.now();
        let mut reader = self.db.read_as(Priority::Publisher).await?;
        let names: Vec<&str> = subjects.iter().filter_map(Subject::as_scope).collect();
        let (mut pieces, mut damaged) = (vec![], vec![]);
        if !names.is_empty() {
            for change in feed::scopes(reader.conn(), &names).await? {
                pieces.push(Piece { subject: Subject::Scope(change.name.clone()), change: change_of_scope(&change) });
            }
        }
        for kind in Kind::EVERY {
            let ids: Vec<&str> = subjects.iter().filter_map(|subject| subject.as_key(kind)).collect();
            if ids.is_empty() {
                continue;
            }
            for entry in edge_sync::by_ids(reader.conn(), kind, &ids, now).await? {
                match change_of_key(&entry, &self.secrets, now) {
                    Some(change) => pieces.push(Piece { subject: Subject::Key(kind, entry.id), change }),
                    None => {
                        tracing::error!(key = entry.id, "cannot publish a key whose stored hash is damaged");
                        damaged.push(Changed { id: entry.id, version: entry.record.version });
                    }
                }
            }
        }
        Ok((pieces, damaged))
    }

    /// Notes what the feed has. A key of which it has something else than what was appended is passed over: either
    /// another process notes it, or the database is older than the feed and has to be brought up first.
    async fn note(
        &self,
        pieces: &[Piece],
        held: &[Held],
        mut keys: Vec<Changed>,
        position: Position,
        before: Option<Position>,
    ) -> storage::Result<()> {
        let mut scopes = vec![];
        for (piece, held) in pieces.iter().zip(held) {
            let version = piece.change.version;
            match &piece.subject {
                Subject::Key(_, id) if !piece.is_behind(*held) => keys.push(Changed { id: id.clone(), version }),
                Subject::Scope(name) if held.covers(version) => scopes.push(Changed { id: name.clone(), version }),
                _ => {}
            }
        }
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        if !keys.is_empty() {
            outbox::note_fed(transaction.conn(), &keys).await?;
        }
        if !scopes.is_empty() {
            feed::note_scopes_fed(transaction.conn(), &scopes).await?;
        }
        feed::note_position(transaction.conn(), position, before).await?;
        transaction.commit().await
    }
}

impl Piece {
    /// Whether the feed holds something else than this, which then is newer or stricter.
    fn is_behind(&self, held: Held) -> bool {
        held.version != self.change.version || held.revoked != (self.change.mark == shared::feed::Mark::Revoked)
    }
}

fn ahead(pieces: &[Piece], held: &[Held]) -> Vec<Ahead> {
    let of_key = |(piece, held): (&Piece, &Held)| match &piece.subject {
        Subject::Key(kind, id) if piece.is_behind(*held) => Some(Ahead {
            kind: *kind,
            id: id.clone(),
            name: piece.change.name.clone(),
            version: piece.change.version,
            held: *held,
        }),
        _ => None,
    };
    pieces.iter().zip(held).filter_map(of_key).collect()
}

/// As many of them, from the first on, as one body takes. The first one always fits.
fn within_a_body(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let mut bytes = 0;
    let fits = pieces.iter().take_while(|piece| {
        bytes += bytes_of(&piece.change);
        bytes <= BYTES_MAX
    });
    let count = fits.count().max(1);
    pieces.truncate(count);
    pieces
}

/// How long it is, roughly.
fn bytes_of(change: &WireChange) -> usize {
    let of_mark = usize::try_from(change.mark.weight()).unwrap_or(usize::MAX).saturating_mul(BYTES_OF_AN_ENTRY);
    change.sealed.as_ref().map_or(0, String::len) + change.name.len() + of_mark
}

#[cfg(test)]
mod tests {
    use shared::{
        Timestamp,
        feed::{Effect, Mark},
    };

    use super::*;

    #[test]
    fn a_body_takes_what_fits_and_at_least_one() {
        let piece = |length: usize| Piece {
            subject: Subject::Scope(String::new()),
            change: WireChange {
                name: String::new(),
                version: Version(1),
                mark: Mark::Changed,
                changed_at: Timestamp::from_millis(0),
                sealed: Some("x".repeat(length)),
            },
        };
        let count = |lengths: &[usize]| within_a_body(lengths.iter().map(|length| piece(*length)).collect()).len();
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[10, 10, 10]), 3);
        assert_eq!(count(&[BYTES_MAX / 2 - 100, BYTES_MAX / 2 - 100, 200]), 2);
        assert_eq!(count(&[BYTES_MAX * 2, 1]), 1);
    }

    #[test]
    fn what_becomes_of_a_scope_takes_room_in_a_body_too() {
        let permissions = (0..200).map(|number| format!("{number:048}")).collect();
        let change = WireChange {
            name: String::new(),
            version: Version(1),
            mark: Mark::Scope(Effect::AllowOnly(permissions)),
            changed_at: Timestamp::from_millis(0),
            sealed: None,
        };
        let pieces = (0..APPEND_MAX).map(|_| Piece { subject: Subject::Scope(String::new()), change: change.clone() });
        let fitting = within_a_body(pieces.collect()).into_iter().map(|piece| piece.change).collect::<Vec<_>>();
        let append = Append { known: None, changes: fitting };
        let length = serde_json::to_vec(&append).unwrap().len();
        assert!((BYTES_MAX / 2..wire::BODY_LIMIT).contains(&length), "{length}");
    }
}
