use std::future::Future;

use shared::{
    feed::{Mark, State, wire::WireChange},
    record::{Revoked, Version},
};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    edge::acknowledge::{Committed, Unacknowledged},
    storage::{
        Db, Priority, api_keys, edge_sync,
        outbox::{self, Kind, Route},
        testing::{conformance, execute},
    },
    testing::{
        fake_worker::Mood,
        world::{DEADLINE, World},
    },
};

/// Long enough for any machine.
const PATIENT: Duration = Duration::from_secs(30);
/// So short that a test can wait for its end.
const IMPATIENT: Duration = Duration::from_millis(300);

/// A process with its pump.
struct Process {
    context: TaskContext,
    pump: JoinHandle<()>,
    _stop: watch::Sender<()>,
}

impl Process {
    fn start(world: &World, patience: Duration) -> Self {
        let (context, ends) = world.linked_context(patience);
        let (stop, stopped) = watch::channel(());
        let pump = Pump::new(context.clone(), world.feeder(), ends.waiters);
        Self { context, pump: tokio::spawn(pump.run(stopped)), _stop: stop }
    }

    /// Revokes a key, and does not wait for anything.
    async fn revoke(&self, world: &World, id: &shared::id::ApiKeyId) -> Committed {
        let mut transaction = self.context.db.write().await.unwrap();
        let environment = &world.tenant.environment;
        let now = self.context.clock.now();
        let version = api_keys::revoke(transaction.conn(), environment, id, &Revoked::new("deleted", now), now)
            .await
            .unwrap()
            .unwrap();
        let (kind, key_id) = (Kind::ApiKey, id.as_str());
        edge_sync::note_change(transaction.conn(), kind, key_id, false, now).await.unwrap();
        outbox::add(transaction.conn(), kind, key_id, version, Route::FeedFirst, now).await.unwrap();
        transaction.commit().await.unwrap();
        Committed::key(kind, id.to_string(), version, Priority::Normal)
    }

    async fn acknowledge(&self, change: &Committed) -> Result<(), Unacknowledged> {
        self.context.edge.as_ref().unwrap().acknowledge(change).await
    }

    fn kill(self) {
        self.pump.abort();
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let look = async {
        while !done().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// The name that the feed knows a key by.
async fn name_of(world: &World, id: &shared::id::ApiKeyId) -> String {
    let mut reader = world.db.read().await.unwrap();
    let entries = edge_sync::by_ids(reader.conn(), Kind::ApiKey, &[id.as_str()], world.clock.now()).await.unwrap();
    entries[0].kv_key.as_ref().unwrap().as_str().to_owned()
}

/// What the feed says of a key.
async fn fed(world: &World, id: &shared::id::ApiKeyId) -> Option<(Mark, Version)> {
    world.feed.entry(&name_of(world, id).await).map(|entry| (entry.mark, entry.version))
}

conformance! {
    async fn whoever_is_told_of_success_can_rely_on_the_feed(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        let process = Process::start(&world, PATIENT);
        let revoked = process.revoke(&world, &id).await;
        process.acknowledge(&revoked).await.unwrap();
        assert_eq!(fed(&world, &id).await, Some((Mark::Revoked, revoked.version)));
    }

    async fn while_the_feed_is_down_nobody_is_told_of_success_and_later_everybody(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.feed_all().await;
        for mood in [Mood::Failing, Mood::Hanging, Mood::Mute] {
            world.feed.set_mood(mood);
            let process = Process::start(&world, IMPATIENT);
            let change = Committed {
                subject: Subject::Key(Kind::ApiKey, id.to_string()),
                version: world.change_key_for_feed(&id).await,
                priority: Priority::Normal,
            };
            let answer = process.acknowledge(&change).await;
            assert!(matches!(answer, Err(Unacknowledged::Pending)), "{mood:?}: {answer:?}");
            world.feed.set_mood(Mood::Well);
            eventually("the same wait, again, succeeds", async || process.acknowledge(&change).await.is_ok()).await;
            assert_eq!(fed(&world, &id).await, Some((Mark::Changed, change.version)));
            process.kill();
        }
    }

    async fn the_store_is_told_after_the_feed_and_never_before(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        assert!(!world.backlog().await.due);
        world.flusher().flush().await.unwrap();
        assert!(world.versions_at_edge().await.is_empty());
        world.feed_all().await;
        assert!(world.backlog().await.due);
        world.flusher().flush().await.unwrap();
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        world.change_key_for_feed(&id).await;
        world.flusher().flush().await.unwrap();
        assert_ne!(world.versions_at_edge().await, world.versions().await, "the feed has to have it first");
    }

    async fn what_a_killed_process_committed_is_fed_by_the_next(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.feed.set_mood(Mood::Hanging);
        let killed = Process::start(&world, IMPATIENT);
        let revoked = killed.revoke(&world, &id).await;
        killed.kill();
        world.feed.set_mood(Mood::Well);
        let next = Process::start(&world, PATIENT);
        eventually("it is fed", async || fed(&world, &id).await == Some((Mark::Revoked, revoked.version))).await;
        let mut reader = next.context.db.read().await.unwrap();
        eventually("and noted", async || outbox::unfed(world.db.read().await.unwrap().conn(), 9).await.unwrap().is_empty()).await;
        assert!(outbox::is_fed(reader.conn(), id.as_str(), revoked.version).await.unwrap());
    }

    async fn an_idle_pump_asks_how_the_feed_is_and_notices_when_it_lost_something(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        let before = world.feed.snapshot();
        let process = Process::start(&world, PATIENT);
        let revoked = process.revoke(&world, &id).await;
        process.acknowledge(&revoked).await.unwrap();
        let mut seen = process.context.edge.as_ref().unwrap().watch();
        let is_open = |seen: &Seen| matches!(seen, Seen::Answered(status) if status.state == State::Open);
        assert!(is_open(&seen.borrow_and_update()));
        let calls = world.feed.calls();
        eventually("it asks", async || world.feed.calls() > calls + 1).await;
        assert!(is_open(&seen.borrow_and_update()));
        world.feed.roll_back(before);
        assert!(world.feed.is_open(), "the feed itself does not know");
        eventually("it is told", async || !world.feed.is_open()).await;
        eventually("and so are we", async || !is_open(&seen.borrow())).await;
        world.feed.set_mood(Mood::Failing);
        eventually("failures are seen", async || matches!(*seen.borrow(), Seen::Failed(_))).await;
    }

    async fn a_feed_that_lost_everything_is_seen_to_be_closed_and_goes_on_taking_changes(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        let process = Process::start(&world, PATIENT);
        world.feed_all().await;
        world.feed.lose_everything();
        let revoked = process.revoke(&world, &id).await;
        process.acknowledge(&revoked).await.unwrap();
        assert_eq!(fed(&world, &id).await, Some((Mark::Revoked, revoked.version)));
        let seen = process.context.edge.as_ref().unwrap().watch();
        assert!(matches!(*seen.borrow(), Seen::Answered(status) if status.state == State::Closed));
    }

    async fn after_failures_it_appends_little_and_then_more_and_forgets_nobody(db: Db) {
        let world = World::new(db).await;
        execute(&world.db, "DELETE FROM outbox").await;
        let mut changes = vec![];
        for number in 0..35 {
            let id = world.create_key_for_feed(&number.to_string()).await;
            let version = world.change_key_for_feed(&id).await;
            changes.push(Committed { subject: Subject::Key(Kind::ApiKey, id.to_string()), version, priority: Priority::Normal });
        }
        let (context, ends) = world.linked_context(PATIENT);
        let mut pump = Pump::new(context.clone(), world.feeder(), ends.waiters);
        world.feed.set_mood(Mood::Failing);
        let before = world.feed.appends().len();
        let pauses = [pump.turn(true).await, pump.turn(true).await, pump.turn(true).await];
        assert_eq!(pauses.map(|pause| pause.as_millis()), [100, 200, 400]);
        for _ in 0..9 {
            assert!(pump.turn(true).await <= LONGEST_PAUSE);
        }
        assert_eq!(pump.limit, FEWEST);
        world.feed.set_mood(Mood::Well);
        let waits = futures::future::join_all(changes.iter().map(|change| context.edge.as_ref().unwrap().acknowledge(change)));
        let pumping = async {
            sleep(Duration::from_millis(50)).await;
            assert_eq!(pump.turn(true).await, Duration::ZERO);
        };
        let (told, ()) = tokio::join!(waits, pumping);
        assert!(told.iter().all(Result::is_ok));
        assert_eq!(world.feed.appends()[before..], [10, 20, 5]);
    }

    async fn what_was_noted_of_the_feed_outlasts_the_process(db: Db) {
        let world = World::new(db).await;
        let before = world.feed.snapshot();
        world.create_key_for_feed("key").await;
        world.feed_all().await;
        world.feed.roll_back(before);
        world.feeder().feed(&[]).await.unwrap();
        assert!(!world.feed.is_open(), "another process knew how far it had come");
    }

    async fn a_database_that_is_older_than_the_feed_revives_nothing(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.feed_all().await;
        let name = name_of(&world, &id).await;
        let version = Version(world.clock.now().as_millis() + 5);
        let changed_at = world.clock.now();
        let tombstone = WireChange { name: name.clone(), version, mark: Mark::Revoked, changed_at, sealed: None };
        world.feed.append(vec![tombstone]);
        world.change_key_for_feed(&id).await;
        let mut feeder = world.feeder();
        for _ in 0..2 {
            let unfed = feeder.unfed(9).await.unwrap();
            assert_eq!(unfed, [Subject::Key(Kind::ApiKey, id.to_string())]);
            let fed = feeder.feed(&unfed).await.unwrap();
            assert_eq!(fed.ahead.len(), 1);
            assert_eq!((fed.ahead[0].name.as_str(), fed.ahead[0].held.revoked), (name.as_str(), true));
        }
        assert_eq!(self::fed(&world, &id).await, Some((Mark::Revoked, version)));
        world.flusher().flush().await.unwrap();
        assert!(world.versions_at_edge().await.is_empty(), "nor does the store hear of it");
    }
}
