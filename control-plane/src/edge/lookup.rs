//! Looks up which version of a key the change feed and Workers KV have now, to explain why a key is accepted or
//! refused.
//!
//! Any caller that may read keys can request this as often as it likes, while both sources cost money and have limits.
//! So each source has a rate limit, a time-out of a second, and a pause after a failure. Beyond these the version is
//! unknown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use shared::{Timestamp, digest::KvKey, record::Version, seal::EdgeSecrets};
use tokio::time::timeout;

use super::{feed::FeedClient, kv::Kv};
use crate::{clock::Clock, config::EdgeConfig};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what failed is left alone, in milliseconds.
const PAUSE_MILLIS: i64 = 5_000;

/// What one side of the edge has of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// This version.
    Version(Version),
    /// Nothing.
    Nothing,
    /// Nobody knows, for this reason.
    Unknown(&'static str),
}

/// What the edge has of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtEdge {
    /// The change feed, which keeps a change for a week.
    pub feed: Has,
    /// The store.
    pub kv: Has,
}

/// Asks feed and store.
#[derive(Debug)]
pub struct Lookup {
    feed: FeedClient,
    kv: Kv,
    secrets: EdgeSecrets,
    clock: Clock,
    of_feed: Allowance,
    of_kv: Allowance,
}

const TOO_OFTEN: &str = "too many lookups; try again in a few seconds";
const NO_ANSWER: &str = "no response, or an error";
const UNREADABLE: &str = "the record cannot be opened: it was sealed with another secret or tampered with";

impl Lookup {
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn new(edge: EdgeConfig, clock: Clock) -> anyhow::Result<Arc<Self>> {
        let (feed, kv) = (FeedClient::new(&edge)?, Kv::new(&edge, clock.clone())?);
        Ok(Arc::new(Self {
            feed,
            kv,
            secrets: edge.secrets,
            clock,
            of_feed: Allowance::new(100, 20),
            // Cloudflare allows an account 1,200 calls in five minutes. These are 50, and 10 at once.
            of_kv: Allowance::new(6_000, 10),
        }))
    }

    /// What the edge has of the key that stands here.
    pub async fn look(&self, kv_key: &KvKey) -> AtEdge {
        let (feed, kv) = tokio::join!(
            self.within(&self.of_feed, self.ask_feed(kv_key)),
            self.within(&self.of_kv, self.ask_kv(kv_key)),
        );
        AtEdge { feed, kv }
    }

    async fn within(&self, allowance: &Allowance, answer: impl Future<Output = Option<Has>>) -> Has {
        if !allowance.take(self.clock.now()) {
            return Has::Unknown(TOO_OFTEN);
        }
        timeout(PATIENCE, answer).await.ok().flatten().unwrap_or_else(|| {
            allowance.pause(self.clock.now());
            Has::Unknown(NO_ANSWER)
        })
    }

    async fn ask_feed(&self, kv_key: &KvKey) -> Option<Has> {
        let found = self.feed.entries(vec![kv_key.as_str().to_owned()]).await.ok()?;
        let entry = found.entries.into_iter().next()?;
        Some(entry.map_or(Has::Nothing, |entry| Has::Version(entry.version)))
    }

    async fn ask_kv(&self, kv_key: &KvKey) -> Option<Has> {
        let values = self.kv.get(&[kv_key.as_str()]).await.ok()?;
        let Some(sealed) = values.get(kv_key.as_str()) else { return Some(Has::Nothing) };
        let record = self.secrets.open(kv_key, sealed);
        Some(record.map_or(Has::Unknown(UNREADABLE), |record| Has::Version(record.version)))
    }
}

/// So many questions at once, and then one each so many milliseconds.
#[derive(Debug)]
struct Allowance {
    price: i64,
    credit: i64,
    /// When everything allowed so far will have been paid for.
    paid_up_at: AtomicI64,
}

impl Allowance {
    const fn new(price_millis: i64, at_once: i64) -> Self {
        Self { price: price_millis, credit: price_millis * at_once, paid_up_at: AtomicI64::new(0) }
    }

    fn take(&self, now: Timestamp) -> bool {
        let now = now.as_millis();
        // However the clock is turned, nothing is owed for longer than after a failure.
        let owed = |paid_up_at: i64| paid_up_at.clamp(now, now + self.credit + PAUSE_MILLIS);
        let is_allowed = |paid_up_at: i64| owed(paid_up_at) + self.price <= now + self.credit;
        let pay = |paid_up_at| owed(paid_up_at) + if is_allowed(paid_up_at) { self.price } else { 0 };
        is_allowed(self.paid_up_at.update(Ordering::Relaxed, Ordering::Relaxed, pay))
    }

    /// Allows nothing for a while.
    fn pause(&self, now: Timestamp) {
        self.paid_up_at.fetch_max(now.as_millis() + self.credit + PAUSE_MILLIS - self.price, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        storage::{Db, api_keys, testing::conformance},
        testing::{fake_worker::Mood, world::World},
    };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    #[test]
    fn so_many_at_once_and_then_one_each_so_often() {
        let allowance = Allowance::new(100, 3);
        let takes = |millis| (0..10).filter(|_| allowance.take(at(millis))).count();
        assert_eq!((takes(0), takes(99), takes(100), takes(250), takes(10_000)), (3, 0, 1, 1, 3));
    }

    #[test]
    fn what_failed_is_left_alone_for_a_while() {
        let allowance = Allowance::new(100, 3);
        assert!(allowance.take(at(0)));
        allowance.pause(at(0));
        assert!(!allowance.take(at(PAUSE_MILLIS - 1)));
        assert!(allowance.take(at(PAUSE_MILLIS)));
    }

    #[test]
    fn a_clock_that_is_turned_back_forbids_nothing_for_long() {
        let allowance = Allowance::new(100, 3);
        assert!(allowance.take(at(1_000_000_000)));
        allowance.take(at(0));
        assert!(allowance.take(at(PAUSE_MILLIS + 400)));
    }

    async fn place(world: &World) -> KvKey {
        let keys = api_keys::after(world.db.read().await.unwrap().conn(), "", 1).await.unwrap();
        keys[0].kv_key().unwrap()
    }

    conformance! {
        async fn each_side_says_what_it_has(db: Db) {
            let world = World::new(db).await;
            let lookup = Lookup::new(world.edge(), world.clock.clone()).unwrap();
            let id = world.create_key_for_feed("key").await;
            let place = place(&world).await;
            assert_eq!(lookup.look(&place).await, AtEdge { feed: Has::Nothing, kv: Has::Nothing });
            let first = Has::Version(world.versions().await[id.as_str()]);
            world.feed_all().await;
            assert_eq!(lookup.look(&place).await, AtEdge { feed: first, kv: Has::Nothing });
            world.flusher().flush().await.unwrap();
            assert_eq!(lookup.look(&place).await, AtEdge { feed: first, kv: first });
            let second = Has::Version(world.change_key_for_feed(&id).await);
            world.feed_all().await;
            assert_eq!(lookup.look(&place).await, AtEdge { feed: second, kv: first });
        }

        async fn what_does_not_answer_or_cannot_be_read_is_unknown(db: Db) {
            let world = World::new(db).await;
            let lookup = Lookup::new(world.edge(), world.clock.clone()).unwrap();
            world.create_key("key").await;
            world.flusher().flush().await.unwrap();
            let place = place(&world).await;
            world.kv.tamper(|records| records.values_mut().for_each(|sealed| sealed.push('x')));
            world.feed.set_mood(Mood::Hanging);
            let found = lookup.look(&place).await;
            assert_eq!(found, AtEdge { feed: Has::Unknown(NO_ANSWER), kv: Has::Unknown(UNREADABLE) });
            world.feed.set_mood(Mood::Well);
            assert_eq!(lookup.look(&place).await.feed, Has::Unknown(TOO_OFTEN), "it is left alone for a while");
            world.advance(Duration::from_secs(5));
            assert_eq!(lookup.look(&place).await.feed, Has::Nothing);
            for _ in 0..10 {
                lookup.look(&place).await;
            }
            assert_eq!(lookup.look(&place).await.kv, Has::Unknown(TOO_OFTEN));
        }
    }
}
