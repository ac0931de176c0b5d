//! Telling the edge's store what changed, once the change feed has what it must have of it: one flush, and the rules by which it never leaves an older record over a
//! newer one and never loses a change.
//!
//! A change is committed together with a row in the outbox. A flush
//! 1. *claims* rows that are due and not unfed, in a transaction of its own: it writes its number into them, and the moment until
//!    when what it is about to send may land ([`SETTLE`] from now). They are due again then, should it never come back;
//! 2. reads the *current* state of their keys and seals it, so a record is at least as new as the row that it is for;
//! 3. writes them to KV in one call, unless so much time has passed meanwhile that the write could land too late;
//! 4. *settles* its claim by what KV answered, each statement only on rows that still bear its number:
//!
//! | KV's answer | what becomes of the row |
//! | --- | --- |
//! | written | it goes; if its key was changed meanwhile, it stays and is due at once |
//! | written, but an earlier write of it had no answer and may still land | it stays until that can no longer be, and is written once more, so that a late older write is never the last |
//! | refused (4xx), or no connection came about | it stays and is due after a pause |
//! | nothing (time-out, broken connection, 5xx), or KV could not write it everywhere | likewise, and this write is now one that may still land |
//!
//! A flush may stop anywhere, be repeated, or overlap with that of another process: a row is removed only by the flush
//! that claimed it last, and a claim that was never settled is itself an earlier write that may still land. So when a
//! process starts it need not wait for the claims of the one before.
//!
//! This assumes that a write lands within [`SETTLE`] of its claim or never, by the clocks of all processes. It is sent
//! within `SEND_WITHIN`, and after [`kv::TIMEOUT`] the client gives up; the other 20 seconds are left to the network
//! and to the difference of clocks.

use std::{collections::HashSet, time::Duration};

use shared::{Timestamp, seal::EdgeSecrets};

use super::kv::{self, Kv, KvError, Pairs};
use crate::{
    clock::Clock,
    config::EdgeConfig,
    entropy::random_i64,
    storage::{
        self, Db, Priority, edge_sync,
        outbox::{self, Claim, Fate, Kind},
    },
};

/// How long after its claim a write may land.
pub const SETTLE: Duration = Duration::from_secs(2 * kv::TIMEOUT.as_secs());
/// How long after its claim a write may still be sent. Longer than this it takes only if something is wrong.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// The shortest pause between two flushes. KV takes one write of a key in a second.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures, unless KV itself asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that KV can ask for. Cloudflare blocks for five minutes whoever calls too often.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// When a row is tried again that KV could not write everywhere.
const RETRY_PAIR: Duration = Duration::from_secs(5);
/// The fewest rows of a flush, however slow KV is.
const FEWEST_PAIRS: usize = 100;
/// How many keys are read at once.
const PAGE: i64 = 1_000;

/// What flushes the outbox.
#[derive(Debug)]
pub struct Flusher {
    db: Db,
    clock: Clock,
    kv: Kv,
    secrets: EdgeSecrets,
    pace: Pace,
    body_limit: usize,
}

/// What a flush did.
#[derive(Debug)]
pub enum Flushed {
    /// Nothing was due.
    Nothing,
    /// Records were written.
    Written {
        /// How many.
        written: usize,
        /// How many others KV could not write everywhere. They will be tried again.
        unsuccessful: usize,
    },
    /// Nothing was written, or nobody knows.
    Failed(KvError),
    /// It took so long to read the records that writing them was no longer safe. They will be tried again.
    TooLate,
}

/// Records under one claim, ready to be sent.
struct Batch {
    pairs: Pairs,
    /// The name in KV and the id of each key.
    sent: Vec<(String, String)>,
    /// The ids of the keys that did not fit.
    left_over: Vec<String>,
}

impl Flusher {
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn new(edge: EdgeConfig, db: Db, clock: Clock) -> anyhow::Result<Self> {
        let kv = Kv::new(&edge, clock.clone())?;
        Ok(Self::with_kv(kv, edge, db, clock))
    }

    /// The same with this client.
    #[must_use]
    pub fn with_kv(kv: Kv, edge: EdgeConfig, db: Db, clock: Clock) -> Self {
        Self { db, clock, kv, secrets: edge.secrets, pace: Pace::new(edge.batch_pairs), body_limit: kv::BODY_LIMIT }
    }

    /// The namespace that is written to.
    #[must_use]
    pub const fn kv(&self) -> &Kv {
        &self.kv
    }

    /// How long to wait before the next flush.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.pace.pause
    }

    /// Sends one batch of what is due.
    ///
    /// # Errors
    /// If the database fails. What was claimed is due again after [`SETTLE`].
    pub async fn flush(&mut self) -> storage::Result<Flushed> {
        let now = self.clock.now();
        let claim = Claim { id: random_i64(), until: after(now, SETTLE) };
        if !self.claim(claim, now).await? {
            return Ok(Flushed::Nothing);
        }
        let Batch { pairs, sent, left_over } = self.seal(claim, now).await?;
        let ids: Vec<&str> = sent.iter().map(|(_, id)| id.as_str()).collect();
        self.release(claim, &left_over, Fate::NeverLands, Duration::ZERO).await?;
        if self.clock.now() > after(now, SEND_WITHIN) {
            self.pace.failed(None, true);
            self.release(claim, &ids, Fate::NeverLands, self.pace.pause).await?;
            return Ok(Flushed::TooLate);
        }
        let answer = if sent.is_empty() { Ok(vec![]) } else { self.kv.put(pairs).await };
        match answer {
            Ok(unsuccessful) => {
                self.pace.succeeded();
                self.settle(claim, &sent, &unsuccessful, now).await
            }
            Err(error) => {
                let may_land = error.may_take_effect();
                self.pace.failed(error.retry_after(), may_land);
                let fate = if may_land { Fate::MayLand } else { Fate::NeverLands };
                self.release(claim, &ids, fate, self.pace.pause).await?;
                Ok(Flushed::Failed(error))
            }
        }
    }

    async fn claim(&self, claim: Claim, now: Timestamp) -> storage::Result<bool> {
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        let limit = i64::try_from(self.pace.limit).unwrap_or(i64::MAX);
        let taken = outbox::claim(transaction.conn(), claim, now, limit).await?;
        transaction.commit().await?;
        Ok(taken > 0)
    }

    /// Reads and seals what the claim holds, page by page, so that memory is bounded by the length of a body.
    async fn seal(&self, claim: Claim, now: Timestamp) -> storage::Result<Batch> {
        let mut batch = Batch { pairs: Pairs::new(self.body_limit), sent: vec![], left_over: vec![] };
        for kind in Kind::EVERY {
            let mut cursor = String::new();
            loop {
                let mut reader = self.db.read_as(Priority::Publisher).await?;
                let entries = edge_sync::claimed(reader.conn(), kind, claim, &cursor, PAGE, now).await?;
                let Some(last) = entries.last() else { break };
                cursor.clone_from(&last.id);
                for entry in entries {
                    let Some(kv_key) = entry.kv_key else {
                        tracing::error!(key = entry.id, "cannot publish a key whose stored hash is damaged");
                        continue;
                    };
                    let sealed = self.secrets.seal(&kv_key, &entry.record);
                    if batch.pairs.push(&kv_key, &sealed) {
                        batch.sent.push((kv_key.as_str().to_owned(), entry.id));
                    } else {
                        batch.left_over.push(entry.id);
                    }
                }
            }
        }
        Ok(batch)
    }

    async fn settle<'a>(
        &self,
        claim: Claim,
        sent: &'a [(String, String)],
        unsuccessful: &[String],
        sealed_at: Timestamp,
    ) -> storage::Result<Flushed> {
        let unsuccessful: HashSet<&str> = unsuccessful.iter().map(String::as_str).collect();
        let (retry, done): (Vec<_>, Vec<_>) = sent.iter().partition(|(name, _)| unsuccessful.contains(name.as_str()));
        let ids = |sent: Vec<&'a (String, String)>| sent.into_iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>();
        let (retry, done) = (ids(retry), ids(done));
        let (written, unsuccessful) = (sent.len() - retry.len(), retry.len());
        // KV may have written these in some places, and goes on by rules of its own.
        self.release(claim, &retry, Fate::MayLand, RETRY_PAIR).await?;
        // In a transaction of its own, so that it never holds rows of keys and of the outbox at once.
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        edge_sync::note_sealed(transaction.conn(), &done, sealed_at).await?;
        transaction.commit().await?;
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        outbox::settle(transaction.conn(), claim, self.clock.now()).await?;
        transaction.commit().await?;
        Ok(Flushed::Written { written, unsuccessful })
    }

    async fn release(&self, claim: Claim, ids: &[impl AsRef<str>], fate: Fate, pause: Duration) -> storage::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        outbox::release(transaction.conn(), claim, &ids, fate, after(self.clock.now(), pause)).await?;
        transaction.commit().await
    }
}

fn after(moment: Timestamp, pause: Duration) -> Timestamp {
    moment.plus_millis(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
}

/// How much to send, and how often.
#[derive(Debug, PartialEq, Eq)]
struct Pace {
    limit: usize,
    most: usize,
    failures: u32,
    pause: Duration,
}

impl Pace {
    const fn new(most: usize) -> Self {
        Self { limit: most, most, failures: 0, pause: PAUSE }
    }

    fn succeeded(&mut self) {
        *self = Self { limit: (self.limit * 2).min(self.most), ..Self::new(self.most) };
    }

    fn failed(&mut self, asked_for: Option<Duration>, perhaps_too_much: bool) {
        // 1, 2, 4, … seconds.
        let doubled = PAUSE * 2_u32.saturating_pow(self.failures.min(10));
        let asked_for = asked_for.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        self.pause = doubled.min(LONGEST_PAUSE).max(asked_for);
        self.failures += 1;
        if perhaps_too_much {
            self.limit = (self.limit / 2).max(FEWEST_PAIRS.min(self.most));
        }
    }
}

#[cfg(test)]
mod tests;
