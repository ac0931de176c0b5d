//! The rules of the change feed: what one Durable Object remembers of recent changes, so that what is stale in KV is known
//! to be stale.
//!
//! An entry is the newest state of one key, or of one *scope*, which is something that many keys depend on. It has a
//! sequence number of its own, and gets a new one whenever its state changes, so reading all entries beyond a number is
//! reading all that changed since. The rules here are pure; [`Store`] is where the entries are, which is SQLite in the
//! Worker and a map in the model.
//!
//! | rule | what would go wrong without it |
//! | --- | --- |
//! | an older version never replaces a newer one, and nothing replaces a revocation | a late write of one publisher revives what another revoked |
//! | a change stays for [`KEPT_MILLIS`] | KV serves the state before it, and nobody objects |
//! | what supersedes a change inherits how long it stays | a change that leaves early takes an earlier narrowing with it |
//! | only the low end is trimmed, and `trimmed` says up to where | an isolate that was away misses a change |
//! | a new feed, or one that lost something, is *closed* until it was re-seeded | isolates trust a feed that knows nothing |
//! | only the life that was re-seeded is opened | isolates trust a feed that was lost again meanwhile |
//! | a retired feed answers no poll | isolates of an older deployment trust a feed that hears of nothing any more |

use serde::{Deserialize, Serialize};

use crate::{Timestamp, digest::Place};

mod entry;
mod position;
pub mod wire;

pub use entry::{BYTES_OF_AN_ENTRY, Change, Effect, Entry, Held, Mark, Page, PageEntry, Scope, up_to_weight};
pub use position::{Epoch, Position, Sequence};

const HOUR: i64 = 60 * 60 * 1000;
/// R: a record that was sealed longer ago than this is not decided on.
pub const RECORD_AGE_MILLIS: i64 = 7 * 24 * HOUR;
/// How long a change stays in the feed: until every record from before it is too old to be decided on, and an hour more
/// for the difference of clocks and for transactions under way.
pub const KEPT_MILLIS: i64 = RECORD_AGE_MILLIS + HOUR;
/// How long a creation stays: longer than the Worker lets KV cache that there was no such key (ten minutes), and than the
/// publisher takes to repeat what failed (a minute).
pub const CREATION_KEPT_MILLIS: i64 = HOUR;

/// How long entries stay at least, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kept {
    /// A change.
    pub change: i64,
    /// A creation.
    pub creation: i64,
}

impl Kept {
    /// What the product promises.
    pub const PRODUCT: Self = Self { change: KEPT_MILLIS, creation: CREATION_KEPT_MILLIS };
}

/// The most entries, of which a long one counts as several ([`Mark::weight`]). It bounds the memory of an isolate too, which
/// holds one floor for each change.
pub const ENTRIES_MAX: u64 = 400_000;
/// The most changes in one append.
pub const APPEND_MAX: usize = 1_000;
/// The most entries on one page, counted likewise.
pub const PAGE_MAX: u64 = 10_000;

/// Whether a feed may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It knows every change of the last R.
    Open,
    /// It is new or lost something, so it grants no lease until it was re-seeded.
    Closed,
    /// Another feed took its place.
    Retired,
}

/// What a feed knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status {
    /// Its present life.
    pub epoch: Epoch,
    /// Whether it may be trusted.
    pub state: State,
    /// The number of the last change.
    pub head: Sequence,
    /// Every change up to this number may have been removed.
    pub trimmed: Sequence,
}

/// The entry of a place, if there is one, and where the feed stood then.
pub type Found<B> = (Position, Option<Entry<B>>);

/// Why the feed does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It has to be re-seeded first.
    #[error("the feed is closed until the control plane reseeds it")]
    Closed,
    /// Another feed took its place.
    #[error("the feed is retired, because another one has replaced it")]
    Retired,
    /// It was reset since the caller looked.
    #[error("the feed has begun another epoch since")]
    AnotherEpoch,
    /// It holds as much as isolates can bear.
    #[error("the feed is full")]
    Full,
}

/// Which rules are in force. In the product all of them are; the model checker leaves out one at a time, to see that it
/// finds what that one is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table at the top of this module says what each of them is for")]
pub struct Rules {
    pub newest_wins: bool,
    pub revoked_is_final: bool,
    pub changes_are_kept: bool,
    pub kept_is_inherited: bool,
    pub lower_head_closes: bool,
    pub new_feed_is_closed: bool,
    pub retired_refuses: bool,
    pub complete_is_the_end: bool,
    pub open_names_epoch: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        newest_wins: true,
        revoked_is_final: true,
        changes_are_kept: true,
        kept_is_inherited: true,
        lower_head_closes: true,
        new_feed_is_closed: true,
        retired_refuses: true,
        complete_is_the_end: true,
        open_names_epoch: true,
    };
}

/// Where the entries of a feed are. What several calls write becomes lasting together or not at all.
pub trait Store {
    /// What an entry carries along.
    type Body;
    /// What can go wrong.
    type Error: From<Refusal>;

    /// What the feed knows of itself; `None` if it was never written.
    fn status(&self) -> Result<Option<Status>, Self::Error>;
    /// Writes what the feed knows of itself.
    fn set_status(&mut self, status: Status) -> Result<(), Self::Error>;
    /// The entry of this place.
    fn entry(&self, place: Place) -> Result<Option<Entry<Self::Body>>, Self::Error>;
    /// Writes the entry of its place, instead of the one that is there.
    fn put(&mut self, entry: Entry<Self::Body>) -> Result<(), Self::Error>;
    /// The entries beyond this number, in order: all of them, or the first that together weigh at least so much.
    fn after(&self, sequence: Sequence, weight: u64) -> Result<Vec<PageEntry>, Self::Error>;
    /// What all entries weigh.
    fn weight(&self) -> Result<u64, Self::Error>;
    /// The lowest number of an entry that stays beyond this moment.
    fn lowest_kept_beyond(&self, moment: Timestamp) -> Result<Option<Sequence>, Self::Error>;
    /// Removes every entry with a lower number, and returns the highest number that it removed.
    fn remove_below(&mut self, sequence: Sequence) -> Result<Option<Sequence>, Self::Error>;
    /// Removes the creations that stay no longer than this moment.
    fn remove_creations_until(&mut self, moment: Timestamp) -> Result<(), Self::Error>;
}

/// A feed: its rules, on its entries.
#[derive(Debug)]
pub struct Feed<'a, S> {
    store: &'a mut S,
    rules: Rules,
    kept: Kept,
    /// A number that no life of the feed has had, in case it has to begin another one.
    fresh: Epoch,
}

impl<'a, S: Store> Feed<'a, S> {
    /// The feed in this store.
    pub const fn new(store: &'a mut S, fresh: Epoch, rules: Rules) -> Self {
        Self { store, rules, kept: Kept::PRODUCT, fresh }
    }

    /// With other times, for worlds in which a week is too long.
    #[must_use]
    pub const fn keeping(mut self, kept: Kept) -> Self {
        self.kept = kept;
        self
    }

    /// Its entries.
    #[must_use]
    pub const fn store(&self) -> &S {
        self.store
    }

    /// What it knows of itself. A feed that was never written begins its first life here, closed.
    ///
    /// # Errors
    /// If the store fails.
    pub fn status(&mut self) -> Result<Status, S::Error> {
        if let Some(status) = self.store.status()? {
            return Ok(status);
        }
        let state = if self.rules.new_feed_is_closed { State::Closed } else { State::Open };
        let status = Status { epoch: self.fresh, state, head: 0, trimmed: 0 };
        self.store.set_status(status)?;
        Ok(status)
    }

    /// Adds changes, and says for each what the feed holds then. A change that is known already changes nothing, so this
    /// can be repeated.
    ///
    /// `known` is how far the caller knows that the feed had come. A feed that has not come so far has lost something.
    ///
    /// # Errors
    /// If the feed is retired or full, or the store fails.
    pub fn append(
        &mut self,
        known: Option<Position>,
        changes: Vec<Change<S::Body>>,
    ) -> Result<(Status, Vec<Held>), S::Error> {
        let mut status = self.status()?;
        if status.state == State::Retired && self.rules.retired_refuses {
            return Err(Refusal::Retired.into());
        }
        let is_behind = known.is_some_and(|known| known.epoch == status.epoch && known.sequence > status.head);
        if is_behind && self.rules.lower_head_closes {
            status = self.begin_anew(status)?;
        }
        let added: u64 = changes.iter().map(|change| change.mark.weight()).sum();
        if added > 0 && self.store.weight()? + added > ENTRIES_MAX {
            return Err(Refusal::Full.into());
        }
        let mut held = Vec::with_capacity(changes.len());
        let before = status.head;
        for change in changes {
            held.push(self.append_one(&mut status.head, change)?);
        }
        if status.head != before {
            self.store.set_status(status)?;
        }
        Ok((status, held))
    }

    /// What it holds stays true, and is kept; but there may be something that it does not hold any more.
    fn begin_anew(&mut self, status: Status) -> Result<Status, S::Error> {
        let status = Status { epoch: self.fresh, state: State::Closed, ..status };
        self.store.set_status(status)?;
        Ok(status)
    }

    fn append_one(&mut self, head: &mut Sequence, change: Change<S::Body>) -> Result<Held, S::Error> {
        let there = self.store.entry(change.place)?;
        let kept = if change.mark == Mark::Created { self.kept.creation } else { self.kept.change };
        let mut kept_until = change.changed_at.plus_millis(if self.rules.changes_are_kept { kept } else { 0 });
        let mut mark = change.mark;
        if let Some(there) = there {
            let (is_newer, is_same) = (change.version > there.version, change.version == there.version);
            let was_revoked = there.mark == Mark::Revoked;
            let is_revoked = mark == Mark::Revoked;
            let is_newly_revoked = is_revoked && !was_revoked;
            let is_late = self.rules.newest_wins && !is_newer && !is_newly_revoked;
            let would_revive = was_revoked && !is_revoked && self.rules.revoked_is_final;
            if is_late || would_revive {
                // What stands in for a change stays as long as the change would have.
                let kept_until = kept_until.max(there.kept_until);
                // The same again, from a publisher that repeats itself, or sealed with another secret, is no news either.
                if is_same && there.mark == mark {
                    self.store.put(Entry { kept_until, body: change.body, ..there })?;
                    return Ok(Held { version: change.version, revoked: is_revoked });
                }
                let held = Held { version: there.version, revoked: was_revoked };
                if kept_until > there.kept_until {
                    self.store.put(Entry { kept_until, ..there })?;
                }
                return Ok(held);
            }
            if self.rules.kept_is_inherited {
                kept_until = kept_until.max(there.kept_until);
            }
            if mark == Mark::Created && there.mark != Mark::Created {
                mark = Mark::Changed;
            }
        }
        *head += 1;
        let revoked = mark == Mark::Revoked;
        let version = change.version;
        self.store.put(Entry { sequence: *head, place: change.place, version, mark, kept_until, body: change.body })?;
        Ok(Held { version, revoked })
    }

    /// The changes after a position, as many as a page takes that weighs so much. An isolate that cannot go on from where it
    /// is begins anew: the page then begins after 0.
    ///
    /// # Errors
    /// If the feed grants no lease, or the store fails.
    pub fn page(&mut self, position: Option<Position>, weight: u64) -> Result<Page, S::Error> {
        let status = self.granting()?;
        let Status { epoch, head, trimmed, .. } = status;
        let asked = position.filter(|position| position.epoch == epoch).map(|position| position.sequence);
        // Someone has seen a change that is not here. So this is an older state of the feed.
        if asked.is_some_and(|asked| asked > head) && self.rules.lower_head_closes {
            self.begin_anew(status)?;
            return Err(Refusal::Closed.into());
        }
        // Who is behind what was trimmed learns that from the page, and forgets what it knows.
        let after = asked.filter(|asked| *asked <= head).unwrap_or(0);
        let entries = self.store.after(after, weight)?;
        let is_full = entries.iter().map(|entry| entry.mark.weight()).sum::<u64>() >= weight;
        let up_to = entries.last().filter(|_| is_full).map_or(head, |last| last.sequence);
        let complete = up_to >= head || !self.rules.complete_is_the_end;
        Ok(Page { epoch, after, up_to, trimmed, complete, age_millis: 0, entries })
    }

    /// The entry of a place, and where the feed stood when it had it.
    ///
    /// # Errors
    /// If the feed grants no lease, or the store fails.
    pub fn entry(&mut self, place: Place) -> Result<Found<S::Body>, S::Error> {
        let Status { epoch, head, .. } = self.granting()?;
        Ok((Position { epoch, sequence: head }, self.store.entry(place)?))
    }

    fn granting(&mut self) -> Result<Status, S::Error> {
        let status = self.status()?;
        match status.state {
            State::Closed => Err(Refusal::Closed.into()),
            State::Retired if self.rules.retired_refuses => Err(Refusal::Retired.into()),
            _ => Ok(status),
        }
    }

    /// Opens a closed feed, whose caller has appended every change of the last [`KEPT_MILLIS`] in this epoch.
    ///
    /// # Errors
    /// If it has begun another epoch since, is retired, or the store fails.
    pub fn open(&mut self, epoch: Epoch) -> Result<Status, S::Error> {
        let status = self.status()?;
        if status.state == State::Retired {
            return Err(Refusal::Retired.into());
        }
        if status.epoch != epoch && self.rules.open_names_epoch {
            return Err(Refusal::AnotherEpoch.into());
        }
        let status = Status { state: State::Open, ..status };
        self.store.set_status(status)?;
        Ok(status)
    }

    /// Ends this feed for good, before another one takes its place.
    ///
    /// # Errors
    /// If the store fails.
    pub fn retire(&mut self) -> Result<Status, S::Error> {
        let status = Status { state: State::Retired, ..self.status()? };
        self.store.set_status(status)?;
        Ok(status)
    }

    /// Removes what need not stay any longer: from the low end, and creations from anywhere, since whoever misses one
    /// only asks the feed or KV once more.
    ///
    /// # Errors
    /// If the store fails.
    pub fn trim(&mut self, now: Timestamp) -> Result<(), S::Error> {
        let status = self.status()?;
        self.store.remove_creations_until(now)?;
        let lowest = self.store.lowest_kept_beyond(now)?.unwrap_or(status.head + 1);
        // Numbers that are free because their entries were superseded are no gap: what superseded them is still there.
        if let Some(trimmed) = self.store.remove_below(lowest)? {
            self.store.set_status(Status { trimmed, ..status })?;
        }
        Ok(())
    }
}
