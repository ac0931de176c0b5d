use shared::{digest::Digest, record::Revoked};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    storage::{
        Db, api_keys, edge_sync,
        outbox::{self, Kind, Route},
        testing::conformance,
    },
    tasks::pump::Pump,
    testing::{
        backup,
        fake_worker::Mood,
        world::{DEADLINE, World},
    },
};

/// A process with pump and keeper.
struct Process {
    context: TaskContext,
    tasks: JoinHandle<()>,
    stop: watch::Sender<()>,
}

impl Process {
    fn start(world: &World) -> Self {
        let (context, ends) = world.linked_context(DEADLINE);
        let (stop, mut stopped) = watch::channel(());
        let mut keeper = Keeper::new(context.clone(), world.edge(), world.feeder()).unwrap();
        let pump = Pump::new(context.clone(), world.feeder(), ends.waiters);
        let tasks = tokio::spawn(async move {
            if keeper.begin(&mut stopped).await {
                tokio::join!(keeper.run(ends.ahead, stopped.clone()), pump.run(stopped));
            }
        });
        Self { context, tasks, stop }
    }

    async fn stop(self) {
        drop(self.stop);
        tokio::time::timeout(DEADLINE, self.tasks).await.expect("it stops").unwrap();
    }
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let look = async {
        while !done().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn is_revoked(world: &World, text: &str) -> bool {
    let mut reader = world.db.read().await.unwrap();
    let key = api_keys::by_digest(reader.conn(), &world.tenant.environment, &Digest::of(text)).await.unwrap();
    key.unwrap().revoked_at.is_some()
}

async fn revoke(world: &World, text: &str) {
    let now = world.clock.now();
    let environment = &world.tenant.environment;
    let mut transaction = world.db.write().await.unwrap();
    let key = api_keys::by_digest(transaction.conn(), environment, &Digest::of(text)).await.unwrap().unwrap();
    let version = api_keys::revoke(transaction.conn(), environment, &key.id, &Revoked::new("leaked", now), now)
        .await
        .unwrap()
        .unwrap();
    edge_sync::note_change(transaction.conn(), Kind::ApiKey, key.id.as_str(), true, now).await.unwrap();
    outbox::add(transaction.conn(), Kind::ApiKey, key.id.as_str(), version, Route::FeedFirst, now).await.unwrap();
    transaction.commit().await.unwrap();
}

fn shows(context: &TaskContext, line: &str) -> bool {
    context.metrics.to_text().unwrap().lines().any(|shown| shown == line)
}

conformance! {
    async fn a_restored_database_is_brought_up_before_anything_is_published(db: Db) {
        let world = World::new(db).await;
        world.create_key_for_feed("key").await;
        world.feed_all().await;
        backup::back_up(&world.db).await;
        revoke(&world, "key").await;
        world.feed_all().await;
        backup::restore(&world.db).await;
        let waiting = world.create_key_for_feed("created after the restore").await;
        world.feed.set_mood(Mood::Failing);
        let process = Process::start(&world);
        eventually("the metric says that the feed is away", async || {
            shows(&process.context, "latchkey_feed_state{state=\"unreachable\"} 1")
        }).await;
        world.feed.set_mood(Mood::Well);
        eventually("what was created is in the feed", async || {
            let mut reader = world.db.read().await.unwrap();
            outbox::unfed_of(reader.conn(), &[waiting.as_str()]).await.unwrap().is_empty()
        }).await;
        assert!(is_revoked(&world, "key").await);
        assert_eq!(process.context.metrics.feed.drift.get(), 1);
        process.stop().await;
    }

    async fn a_database_that_is_restored_under_a_running_server_is_brought_up_again(db: Db) {
        let world = World::new(db).await;
        world.create_key_for_feed("key").await;
        world.feed_all().await;
        backup::back_up(&world.db).await;
        let process = Process::start(&world);
        revoke(&world, "key").await;
        eventually("the pump brings it", async || world.feed.appends().len() == 3).await;
        eventually("and notes it", async || {
            let noted = feed::position(world.db.read().await.unwrap().conn()).await.unwrap();
            noted.is_some_and(|noted| noted.sequence == world.feed.status().head)
        }).await;
        backup::restore(&world.db).await;
        // Whatever is changed next must not hide that something is missing.
        world.create_key_for_feed("other").await;
        eventually("it is revoked again", async || is_revoked(&world, "key").await).await;
        process.stop().await;
    }

    async fn a_lost_feed_is_told_all_and_opened(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.change_key_for_feed(&id).await;
        let process = Process::start(&world);
        eventually("it is fed", async || shows(&process.context, "latchkey_feed_state{state=\"open\"} 1")).await;
        world.feed.lose_everything();
        eventually("it is open again", async || world.feed.is_open() && world.feed.entries().len() == 1).await;
        process.stop().await;
    }

    async fn a_new_feed_is_opened_although_there_is_nothing_to_tell(db: Db) {
        let world = World::new(db).await;
        world.feed.lose_everything();
        let process = Process::start(&world);
        eventually("it is open", async || world.feed.is_open()).await;
        process.stop().await;
    }

    async fn a_retired_feed_is_shown_as_what_it_is(db: Db) {
        let world = World::new(db).await;
        let process = Process::start(&world);
        world.feed_client().retire().await.unwrap();
        world.create_key_for_feed("key").await;
        eventually("it is shown", async || shows(&process.context, "latchkey_feed_state{state=\"retired\"} 1")).await;
        process.stop().await;
    }

    async fn changes_that_wait_are_shown(db: Db) {
        let world = World::new(db).await;
        let process = Process::start(&world);
        eventually("it has begun", async || shows(&process.context, "latchkey_feed_state{state=\"open\"} 1")).await;
        world.feed.set_mood(Mood::Failing);
        world.create_key_for_feed("key").await;
        world.advance(Duration::from_secs(40));
        eventually("the lag grows", async || process.context.metrics.feed.lag.get() == 40).await;
        world.feed.set_mood(Mood::Well);
        eventually("it is over", async || process.context.metrics.feed.lag.get() == 0).await;
        process.stop().await;
    }
}
