use std::collections::BTreeMap;

use super::*;
use crate::{
    storage::{Db, testing::conformance},
    testing::world::{DEADLINE, World},
};

/// Runs the publisher until `done`, looking every few milliseconds, and stops it.
async fn publish_until(world: &World, context: &TaskContext, flusher: Option<Flusher>, done: impl AsyncFn() -> bool) {
    let (stop, stopped) = watch::channel(());
    let publisher = tokio::spawn(run(flusher, context.clone(), stopped));
    let finished = tokio::time::timeout(DEADLINE, async {
        while !done().await {
            sleep(Duration::from_millis(5)).await;
        }
    });
    finished.await.unwrap_or_else(|_| panic!("not done: {:?}", world.kv.records()));
    drop(stop);
    tokio::time::timeout(DEADLINE, publisher).await.expect("it stops").unwrap();
}

conformance! {
    async fn changes_are_published_as_they_come(db: Db) {
        let world = World::new(db).await;
        let context = world.context();
        let id = world.create_key("first").await;
        publish_until(&world, &context, Some(world.flusher()), async || world.backlog().await.depth == 0).await;
        world.change_key(&id).await;
        context.wakes.publisher.notify();
        publish_until(&world, &context, Some(world.flusher()), async || world.backlog().await.depth == 0).await;
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(context.metrics.published.get(), 2);
        assert_eq!(context.metrics.outbox_depth.get(), 0);
    }

    async fn what_a_killed_process_left_is_published_at_once(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        let mut writes = world.kv.intercept();
        let mut killed = world.flusher();
        let killed = tokio::spawn(async move { drop(killed.flush().await) });
        let _unanswered = writes.recv().await.unwrap();
        killed.abort();
        world.kv.behave();
        // The clock stands still, so nothing becomes due by itself.
        publish_until(&world, &world.context(), Some(world.flusher()), async || !world.versions_at_edge().await.is_empty()).await;
        assert_eq!(world.versions_at_edge().await, world.versions().await);
    }

    async fn without_an_edge_nothing_piles_up(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        publish_until(&world, &world.context(), None, async || world.backlog().await.depth == 0).await;
        assert_eq!(world.versions_at_edge().await, BTreeMap::new());
    }

    async fn failures_are_counted_and_shown(db: Db) {
        let world = World::new(db).await;
        let context = world.context();
        world.create_key("key").await;
        world.advance(Duration::from_secs(30));
        let mut edge = world.edge();
        edge.kv_url = "http://127.0.0.1:1".to_owned();
        let flusher = Flusher::new(edge, world.db.clone(), world.clock.clone()).unwrap();
        publish_until(&world, &context, Some(flusher), async || context.metrics.publish_failures.get() > 0).await;
        assert_eq!(context.metrics.outbox_depth.get(), 1);
        assert_eq!(context.metrics.outbox_age.get(), 30);
    }

    async fn a_second_passes_between_two_flushes_and_longer_if_kv_says_so(db: Db) {
        let world = World::new(db).await;
        let mut publisher = Publisher { context: world.context(), flusher: Some(world.flusher()), started: true };
        assert_eq!(publisher.turn().await, Duration::ZERO, "nothing was due, so nothing was sent");
        world.create_key("key").await;
        assert_eq!(publisher.turn().await, Duration::from_secs(1));
        world.create_key("other key").await;
        let mut writes = world.kv.intercept();
        let refuse = async { writes.recv().await.unwrap().answer_error(429, Some("9")) };
        assert_eq!(tokio::join!(publisher.turn(), refuse).0, Duration::from_secs(9));
    }
}
