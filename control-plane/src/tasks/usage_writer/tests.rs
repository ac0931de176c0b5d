use std::sync::Mutex;

use serde_json::json;
use shared::{
    Timestamp,
    digest::Digest,
    id::EnvironmentId,
    reason::Reason,
    usage::{HOUR_MILLIS, KEYS_MAX, Outcome, TELL_AFTER_KEYS, Tally},
};

use super::*;
use crate::{
    service::usage::{Retention, Usage},
    storage::{
        Db,
        testing::{conformance, execute},
        usage::{self as rows, Counted},
    },
    tasks::sweeper,
    testing::server::{Server, id_of},
};

async fn apply(context: &TaskContext, batch: &Batch) -> service::Result<Option<Counted>> {
    usage::apply(&context.database(), &context.usage, batch, context.clock.now()).await
}

/// A server with one key.
struct World {
    server: Server,
    id: String,
    value: String,
}

impl World {
    async fn new(db: Db) -> Self {
        let server = Server::new(db).await;
        let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
        Self { id: id_of(&key), value: key["value"].as_str().unwrap().to_owned(), server }
    }

    async fn validate(&self) {
        self.server.validate(&self.value).await;
    }

    /// How often the key was validated.
    async fn total(&self) -> u64 {
        let usage = self.server.get(&format!("/api_keys/{}/usage", self.id)).await.expect(200);
        usage["data"].as_array().unwrap().iter().map(|interval| interval["total"].as_u64().unwrap()).sum()
    }

    fn writer(&self) -> Writer {
        Writer::new(self.server.context.clone())
    }
}

conformance! {
    async fn no_request_writes_and_what_it_counted_is_written_once(db: Db) {
        let world = World::new(db).await;
        let mut writer = world.writer();
        world.validate().await;
        world.validate().await;
        assert_eq!(world.total().await, 0);
        writer.turn().await;
        assert_eq!(world.total().await, 2);
        writer.turn().await;
        assert_eq!((world.total().await, writer.number), (2, 1), "where there is nothing to write, nothing is");
        world.validate().await;
        writer.turn().await;
        assert_eq!((world.total().await, writer.number), (3, 2));
    }

    async fn a_database_that_fails_gets_it_later_and_once(db: Db) {
        let world = World::new(db).await;
        let mut writer = world.writer();
        world.validate().await;
        execute(&world.server.db, "ALTER TABLE environment_usage RENAME TO away").await;
        writer.turn().await;
        world.validate().await;
        writer.turn().await;
        assert_eq!((writer.failures, world.total().await), (2, 0), "all of it or nothing");
        execute(&world.server.db, "ALTER TABLE away RENAME TO environment_usage").await;
        writer.turn().await;
        assert_eq!((writer.failures, world.total().await), (0, 2));
    }

    async fn what_was_written_although_nobody_heard_of_it_counts_once(db: Db) {
        let world = World::new(db).await;
        let mut writer = world.writer();
        world.validate().await;
        let batch = writer.next().unwrap();
        assert!(apply(&world.server.context, &batch).await.unwrap().is_some());
        writer.pending = Some(batch);
        world.validate().await;
        writer.turn().await;
        assert_eq!((world.total().await, writer.number), (2, 2));
    }

    async fn whoever_stops_the_server_in_good_order_loses_nothing(db: Db) {
        let world = World::new(db).await;
        let (stop, stopped) = watch::channel(());
        let tasks = tokio::spawn(run(world.server.context.clone(), stopped));
        world.validate().await;
        drop(stop);
        tokio::time::timeout(Duration::from_secs(60), tasks).await.expect("it stops").unwrap();
        assert_eq!(world.total().await, 1);
    }

    async fn so_many_keys_are_counted_at_a_time_and_the_others_are_lost(db: Db) {
        let world = World::new(db).await;
        let (context, environment) = (&world.server.context, &world.server.environment);
        for number in 0..KEYS_MAX + 3 {
            context.usage.count_key(environment, Digest::of(&number.to_string()), Outcome::Valid, context.clock.now());
        }
        world.writer().turn().await;
        assert_eq!(context.metrics.usage.lost.get(), 3);
        let usage = world.server.get("/usage").await.expect(200);
        assert_eq!(usage["data"][0]["outcomes"], json!({"valid": KEYS_MAX}));
    }

    /// Batches of one environment wait for each other, and then for whoever has its rows.
    async fn batches_that_wait_leave_connections_to_others(db: Db) {
        let world = World::new(db).await;
        let context = &world.server.context;
        let batch_of = |sender: usize| {
            let mut tally = Tally::default();
            tally.count_unknown(&world.server.environment, Reason::Malformed, context.clock.now());
            tally.close(&format!("sender {sender}"), 1)
        };
        assert!(apply(context, &batch_of(0)).await.unwrap().is_some());
        let batches: Vec<Batch> = (1..=40).map(batch_of).collect();
        let mut holder = context.db.write().await.unwrap();
        let now = context.clock.now();
        rows::apply(holder.conn(), &batch_of(41), context.usage.retention.hours(now), now).await.unwrap();
        let others = async {
            for _ in 0..100 {
                world.server.get("/usage").await.expect(200);
            }
            holder.commit().await.unwrap();
        };
        let applied = futures::future::join_all(batches.iter().map(|batch| apply(context, batch)));
        let (applied, ()) = tokio::join!(applied, others);
        assert!(applied.into_iter().all(|counted| counted.unwrap().is_some()));
        let usage = world.server.get("/usage").await.expect(200);
        assert_eq!(usage["data"][0]["outcomes"], json!({"malformed": 42}));
    }

    async fn what_is_older_than_it_is_kept_for_is_forgotten(db: Db) {
        let world = World::new(db).await;
        world.validate().await;
        world.writer().turn().await;
        world.server.advance(400 * 24 * HOUR_MILLIS);
        assert_eq!(sweeper::step(&world.server.context, 1_000).await.unwrap(), 1, "the sender alone");
        assert_eq!(world.server.get("/usage?from=2027-01-15T00:00:00Z&to=2027-01-16T00:00:00Z").await.expect(200)["data"][0]["total"], 1);
        world.server.advance(HOUR_MILLIS);
        assert_eq!(sweeper::step(&world.server.context, 1_000).await.unwrap(), 2, "of the key and of its environment");
        assert_eq!(sweeper::step(&world.server.context, 1_000).await.unwrap(), 0);
    }
}

/// SQLite has one writer, and whoever wants to be it waits in line.
#[tokio::test]
async fn who_changes_something_finds_one_batch_before_it_at_the_most() {
    let (db, _folder) = crate::storage::testing::sqlite().await;
    let world = World::new(db).await;
    let context = &world.server.context;
    let order = Mutex::new(vec![]);
    let holder = context.db.write().await.unwrap();
    let batch = async |sender: usize| {
        let batch = Tally::default().close(&format!("sender {sender}"), 1);
        apply(context, &batch).await.unwrap();
        order.lock().unwrap().push("batch");
    };
    let change = async {
        context.db.write().await.unwrap().commit().await.unwrap();
        order.lock().unwrap().push("change");
    };
    let batches = futures::future::join_all((0..5).map(batch));
    tokio::join!(batches, change, async { holder.commit().await.unwrap() });
    assert_eq!(*order.lock().unwrap(), ["batch", "change", "batch", "batch", "batch", "batch"]);
}

#[test]
fn it_is_kept_for_as_long_as_the_documented_default_says() {
    assert_eq!(Retention::of_days(crate::config::Config::defaults().usage_retention_days), Retention::default());
}

#[test]
fn many_keys_are_written_sooner() {
    let usage = Usage::new(Retention::default());
    let environment: EnvironmentId = "environment_01KF0JZ4G0000000000000000A".parse().unwrap();
    let count = |number: usize| {
        usage.count_key(&environment, Digest::of(&number.to_string()), Outcome::Valid, Timestamp::from_millis(0));
    };
    let is_many = || futures::FutureExt::now_or_never(usage.is_large()).is_some();
    (1..TELL_AFTER_KEYS).for_each(count);
    assert!(!is_many());
    count(TELL_AFTER_KEYS);
    assert!(is_many());
}
