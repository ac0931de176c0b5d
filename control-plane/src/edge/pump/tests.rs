use std::future::Future;

use shared::{feed::Mark, record::Version};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    edge::{
        acknowledge::{Committed, Unacknowledged},
        testing::{DEADLINE, World, feed::Mood},
    },
    storage::{
        Db, api_keys, edge_sync,
        outbox::{self, Kind},
        testing::conformance,
    },
};

/// Long enough for any machine.
const PATIENT: Duration = Duration::from_secs(30);
/// So short that a test can wait for its end.
const IMPATIENT: Duration = Duration::from_millis(300);

/// A process with its pump.
struct Process {
    app: App,
    pump: JoinHandle<()>,
    _stop: watch::Sender<()>,
}

impl Process {
    fn start(world: &World, patience: Duration) -> Self {
        let (app, ends) = world.linked_app(patience);
        let (stop, stopped) = watch::channel(());
        let pump = Pump::new(app.clone(), world.feeder(), ends.waiters);
        Self { app, pump: tokio::spawn(pump.run(stopped)), _stop: stop }
    }

    /// Revokes a key, and does not wait for anything.
    async fn revoke(&self, world: &World, id: &shared::id::ApiKeyId) -> Committed {
        let mut transaction = self.app.db.write().await.unwrap();
        let environment = &world.tenant.environment;
        let now = self.app.clock.now();
        let version = api_keys::revoke(transaction.conn(), environment, id, "deleted", now).await.unwrap().unwrap();
        self.app.commit_change(transaction, Kind::ApiKey, id.as_str(), version).await.unwrap()
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
        process.app.acknowledge(&revoked).await.unwrap();
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
            };
            let answer = process.app.acknowledge(&change).await;
            assert!(matches!(answer, Err(Unacknowledged::Pending)), "{mood:?}: {answer:?}");
            world.feed.set_mood(Mood::Well);
            eventually("the same wait, again, succeeds", async || process.app.acknowledge(&change).await.is_ok()).await;
            assert_eq!(fed(&world, &id).await, Some((Mark::Changed, change.version)));
            process.kill();
        }
    }

    async fn the_store_is_told_after_the_feed_and_never_before(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        assert_eq!(world.backlog().await.due, 0);
        world.flusher().flush().await.unwrap();
        assert!(world.versions_at_edge().await.is_empty());
        world.feed_all().await;
        assert_eq!(world.backlog().await.due, 1);
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
        let mut reader = next.app.db.read().await.unwrap();
        eventually("and noted", async || outbox::unfed(world.db.read().await.unwrap().conn(), 9).await.unwrap().is_empty()).await;
        assert!(outbox::is_fed(reader.conn(), id.as_str(), revoked.version).await.unwrap());
    }
}
