use std::collections::BTreeMap;

use super::*;
use crate::{
    storage::testing::{conformance, execute, sealed_at},
    testing::world::{DEADLINE, START, World, Write},
};

#[test]
fn pauses_double_up_to_a_minute_and_end_with_the_first_success() {
    let mut pace = Pace::new(10_000);
    let mut pauses = vec![];
    for _ in 0..9 {
        pace.failed(None, false);
        pauses.push(pace.pause.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    pace.succeeded();
    assert_eq!(pace, Pace::new(10_000));
}

#[test]
fn retry_after_is_honoured_within_bounds() {
    for (asked_for, given) in [(0, 1), (7, 7), (86_400, 300)] {
        let mut pace = Pace::new(10_000);
        pace.failed(Some(Duration::from_secs(asked_for)), false);
        assert_eq!(pace.pause.as_secs(), given);
    }
}

#[test]
fn a_batch_that_is_not_written_in_time_is_halved_and_grows_again() {
    let mut pace = Pace::new(300);
    let mut limits = vec![];
    for failure in [true, true, true, false, false] {
        if failure {
            pace.failed(None, true)
        } else {
            pace.succeeded()
        }
        limits.push(pace.limit);
    }
    assert_eq!(limits, [150, 100, 100, 200, 300]);
    pace.failed(None, false);
    assert_eq!(pace.limit, 300, "a refusal says nothing of the size");
}

/// A flush that is under way, with its write waiting for an answer.
struct UnderWay {
    write: Write,
    task: tokio::task::JoinHandle<(Flusher, storage::Result<Flushed>)>,
}

impl UnderWay {
    async fn start(world: &World, mut flusher: Flusher) -> Self {
        let mut writes = world.kv.intercept();
        let task = tokio::spawn(async move {
            let flushed = flusher.flush().await;
            (flusher, flushed)
        });
        let write = tokio::time::timeout(DEADLINE, writes.recv()).await.expect("a write is sent").unwrap();
        world.kv.behave();
        Self { write, task }
    }

    async fn end<T>(self, answer: impl FnOnce(Write) -> T) -> (T, Flushed) {
        let answered = answer(self.write);
        (answered, self.task.await.unwrap().1.unwrap())
    }
}

/// Flushes until nothing is due, and returns how many records were written.
async fn drain(world: &World) -> usize {
    let mut flusher = world.flusher();
    let mut all = 0;
    loop {
        match flusher.flush().await.unwrap() {
            Flushed::Nothing => return all,
            Flushed::Written { written, unsuccessful: 0 } => all += written,
            other => panic!("{other:?}"),
        }
    }
}

#[track_caller]
fn refused_with(flushed: &Flushed, status: u16) {
    assert!(
        matches!(flushed, Flushed::Failed(KvError::Status { status: given, .. }) if *given == status),
        "{flushed:?}"
    );
}

conformance! {
    /// The plain case, over more than one batch.
    async fn a_change_reaches_the_edge_and_leaves_the_outbox(db: Db) {
        let world = World::new(db).await;
        for name in ["one", "two", "three"] {
            world.create_key(name).await;
        }
        let mut edge = world.edge();
        edge.batch_pairs = 2;
        let mut flusher = Flusher::new(edge, world.db.clone(), world.clock.clone()).unwrap();
        assert!(matches!(flusher.flush().await.unwrap(), Flushed::Written { written: 2, unsuccessful: 0 }));
        assert!(matches!(flusher.flush().await.unwrap(), Flushed::Written { written: 1, unsuccessful: 0 }));
        assert!(matches!(flusher.flush().await.unwrap(), Flushed::Nothing));
        assert_eq!(world.backlog().await.depth, 0);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(world.versions().await.len(), 3);
    }

    async fn keys_remember_when_the_record_in_the_store_was_sealed(db: Db) {
        let world = World::new(db).await;
        let sealed = async || sealed_at(&world.db).await;
        world.create_key("one").await;
        world.create_key("two").await;
        assert_eq!(sealed().await, [None, None]);
        let under_way = UnderWay::start(&world, world.flusher()).await;
        world.advance(Duration::from_secs(3));
        let failed = under_way.write.pairs[0].key.clone();
        under_way.end(|write| write.answer_ok(&[&failed])).await;
        assert_eq!(sealed().await.iter().flatten().collect::<Vec<_>>(), [&START], "when it was read, and one only");
        world.advance(RETRY_PAIR);
        let again = after(START, Duration::from_secs(8));
        UnderWay::start(&world, world.flusher()).await.end(|write| write.answer_ok(&[])).await;
        let mut all = sealed().await;
        all.sort();
        assert_eq!(all, [Some(START), Some(again)]);
    }

    async fn what_was_refused_waits_as_long_as_kv_asks_for(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        let (_, flushed) = UnderWay::start(&world, world.flusher()).await.end(|w| w.answer_error(429, Some("7"))).await;
        refused_with(&flushed, 429);
        assert!(!format!("{flushed:?}").contains("secret name"), "no message of KV is repeated");
        world.advance(Duration::from_millis(6_999));
        assert_eq!(drain(&world).await, 0);
        world.advance(Duration::from_millis(1));
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.backlog().await.depth, 0, "what was refused cannot land later");
    }

    async fn what_may_have_been_written_is_written_again_until_no_older_write_can_land(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        let (_, flushed) = UnderWay::start(&world, world.flusher()).await.end(|w| w.answer_error(500, None)).await;
        refused_with(&flushed, 500);
        world.advance(Duration::from_secs(1));
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.backlog().await.depth, 1);
        world.advance(SETTLE);
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn what_kv_could_not_write_everywhere_is_written_again_alone(db: Db) {
        let world = World::new(db).await;
        world.create_key("one").await;
        world.create_key("two").await;
        let under_way = UnderWay::start(&world, world.flusher()).await;
        let unsuccessful = under_way.write.pairs[1].key.clone();
        let (pairs, flushed) = under_way.end(|write| write.answer_ok(&[&unsuccessful])).await;
        assert!(matches!(flushed, Flushed::Written { written: 1, unsuccessful: 1 }));
        world.kv.land(pairs[..1].to_vec());
        assert_eq!(world.backlog().await.depth, 1);
        world.advance(RETRY_PAIR);
        let retried = UnderWay::start(&world, world.flusher()).await;
        assert_eq!(retried.write.pairs.len(), 1);
        assert_eq!(retried.write.pairs[0].key, unsuccessful);
        let (pairs, _) = retried.end(|write| write.answer_ok(&[])).await;
        world.kv.land(pairs);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(world.backlog().await.depth, 1, "KV may still be at it with the first one");
        world.advance(SETTLE);
        drain(&world).await;
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn a_stalled_older_write_is_never_the_last(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key("key").await;
        let (stalled, flushed) = UnderWay::start(&world, world.flusher()).await.end(Write::break_off).await;
        assert!(matches!(flushed, Flushed::Failed(KvError::BrokenOff(_))), "{flushed:?}");
        world.advance(Duration::from_secs(1));
        world.change_key(&id).await;
        assert_eq!(drain(&world).await, 1);
        world.kv.land(stalled);
        assert_ne!(world.versions_at_edge().await, world.versions().await, "now the older record is there");
        world.advance(SETTLE);
        drain(&world).await;
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn a_write_that_is_never_answered_may_land(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        let edge = world.edge();
        let kv = Kv::with_timeout(&edge, world.clock.clone(), Duration::from_millis(200)).unwrap();
        let mut flusher = Flusher::with_kv(kv, edge, world.db.clone(), world.clock.clone());
        let _unanswered = world.kv.intercept();
        let flushed = flusher.flush().await.unwrap();
        assert!(matches!(&flushed, Flushed::Failed(error) if error.may_take_effect()), "{flushed:?}");
        world.kv.behave();
        world.advance(Duration::from_secs(1));
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.backlog().await.depth, 1);
    }

    async fn without_a_connection_nothing_may_land(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        let mut edge = world.edge();
        edge.kv_url = "http://127.0.0.1:1".to_owned();
        let mut flusher = Flusher::new(edge, world.db.clone(), world.clock.clone()).unwrap();
        assert!(matches!(flusher.flush().await.unwrap(), Flushed::Failed(KvError::Unreachable(_))));
        world.advance(Duration::from_secs(1));
        drain(&world).await;
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn a_key_that_is_changed_while_its_write_is_under_way_is_due_at_once(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key("key").await;
        let under_way = UnderWay::start(&world, world.flusher()).await;
        world.change_key(&id).await;
        let (pairs, _) = under_way.end(|write| write.answer_ok(&[])).await;
        world.kv.land(pairs);
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(world.backlog().await.depth, 0, "the first write is known to have landed");
    }

    async fn a_change_during_a_refused_write_does_not_wait_for_its_pause(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key("key").await;
        let under_way = UnderWay::start(&world, world.flusher()).await;
        world.change_key(&id).await;
        under_way.end(|write| write.answer_error(429, Some("100"))).await;
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn a_crash_after_the_claim_loses_nothing(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key("key").await;
        let killed = UnderWay::start(&world, world.flusher()).await;
        killed.task.abort();
        world.change_key(&id).await;
        assert_eq!(drain(&world).await, 1, "the next process need not wait");
        world.kv.land(killed.write.pairs);
        world.advance(SETTLE);
        drain(&world).await;
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn a_claim_that_nobody_ends_is_due_again_by_itself(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        let killed = UnderWay::start(&world, world.flusher()).await;
        killed.task.abort();
        assert_eq!(drain(&world).await, 0);
        world.advance(SETTLE);
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn of_two_that_flush_at_once_neither_undoes_the_other(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key("key").await;
        let first = UnderWay::start(&world, world.flusher()).await;
        world.change_key(&id).await;
        assert_eq!(drain(&world).await, 1, "the second writes the newer record");
        let (pairs, _) = first.end(|write| write.answer_ok(&[])).await;
        world.kv.land(pairs);
        assert_ne!(world.versions_at_edge().await, world.versions().await, "the first one's landed over it");
        world.advance(SETTLE);
        drain(&world).await;
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(world.backlog().await.depth, 0);
    }

    async fn what_does_not_fit_into_one_body_goes_into_the_next(db: Db) {
        let world = World::new(db).await;
        for name in ["one", "two", "three"] {
            world.create_key(name).await;
        }
        let mut flusher = world.flusher();
        flusher.body_limit = 1_500;
        let mut written = vec![];
        while let Flushed::Written { written: more, .. } = flusher.flush().await.unwrap() {
            written.push(more);
        }
        assert_eq!(written.iter().sum::<usize>(), 3);
        assert!(written.len() > 1, "{written:?}");
        assert_eq!(world.backlog().await.depth, 0);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
    }

    async fn what_would_be_sent_too_late_is_not_sent(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        // Each look at this clock takes 40 s: a process that sleeps between its claim and its write.
        let seconds = std::sync::atomic::AtomicI64::new(0);
        let slow = Clock::from_fn(move || {
            START.plus_millis(1000 * seconds.fetch_add(40, std::sync::atomic::Ordering::SeqCst))
        });
        let mut flusher = Flusher::new(world.edge(), world.db.clone(), slow).unwrap();
        assert!(matches!(flusher.flush().await.unwrap(), Flushed::TooLate));
        assert!(world.versions_at_edge().await.is_empty());
        world.advance(SETTLE * 2);
        drain(&world).await;
        assert_eq!(world.versions_at_edge().await, world.versions().await);
    }

    async fn a_key_with_a_damaged_digest_holds_up_no_other(db: Db) {
        let world = World::new(db).await;
        world.create_key("damaged").await;
        world.create_key("whole").await;
        execute(&world.db, "UPDATE api_keys SET digest = substr(digest, 1, 3) WHERE name = 'damaged'").await;
        assert_eq!(drain(&world).await, 1);
        assert_eq!(world.backlog().await.depth, 0);
    }
}

mod random_worlds;
