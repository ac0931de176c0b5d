//! A question about one key, and what to do for its answer.

use super::Stored;
use crate::{
    digest::Place,
    feed::{Position, Sequence},
    reason::Reason,
};

/// A question about one key, from the first look into the cache to the decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LookUp<R> {
    pub(super) place: Place,
    /// On whose account questions about unknown keys go.
    pub(super) caller: Place,
    pub(super) life: u64,
    pub(super) best: Option<R>,
    pub(super) store: Store,
    pub(super) feed: FeedSays,
    pub(super) feed_questions: u8,
    pub(super) waited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Store {
    NotAsked,
    Answered,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FeedSays {
    NotAsked,
    Record,
    Nothing(Sequence),
    Failed,
}

/// What the feed answered about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedAnswer<R> {
    /// It holds this record.
    Record(Position, R),
    /// It holds none.
    Nothing(Position),
    /// It did not answer, or grants nothing.
    Failed,
}

/// What to do next for a look-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step<R> {
    /// Decide on this record, now.
    Decide(R),
    /// Refuse, now.
    Refuse(Reason),
    /// Wait until a poll was answered.
    AwaitPoll,
    /// Ask KV.
    AskStore,
    /// Ask the feed for the record.
    AskFeed,
    /// Nothing can be said of this key at present.
    Unknown(Unknown),
}

/// Why nothing can be said of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// KV did not answer, and the feed has no record of it.
    StoreFailed,
    /// KV knows nothing that could be believed, and the feed did not answer.
    FeedFailed,
    /// The newest record was sealed too long ago.
    RecordTooOld,
    /// Neither KV nor the feed has the state that the key is known to have.
    Behind,
    /// Too many questions about keys that nobody knows.
    TooManyQuestions,
}

impl<R: Stored> LookUp<R> {
    /// Of two records the newer one counts; of two of one version the one that was sealed later.
    pub(super) fn better(&mut self, answer: Option<R>) {
        let rank = |record: &R| (record.version(), record.sealed_at());
        if let Some(record) = answer.filter(|new| self.best.as_ref().is_none_or(|old| rank(new) > rank(old))) {
            self.best = Some(record);
        }
    }
}
