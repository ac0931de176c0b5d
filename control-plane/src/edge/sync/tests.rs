use super::*;
use crate::{
    storage::testing::{conformance, execute},
    testing::world::World,
};

const NAMESPACE: &str = "namespace";

async fn rebuild(world: &World, start: Start) -> Rebuilt {
    run(&world.db, &world.clock, &mut world.feeder(), &mut world.flusher(), NAMESPACE, start, |_| ()).await.unwrap()
}

async fn begin(world: &World, restart: bool) -> Start {
    start(&world.db, &world.clock, NAMESPACE, restart).await.unwrap()
}

/// Begins a rebuild and kills it while it writes the management key, the first that it writes.
async fn begin_and_kill(world: &World) {
    let mut writes = world.kv.intercept();
    let (db, clock) = (world.db.clone(), world.clock.clone());
    let (mut feeder, mut flusher) = (world.feeder(), world.flusher());
    let start = begin(world, false).await;
    let killed =
        tokio::spawn(
            async move { run(&db, &clock, &mut feeder, &mut flusher, NAMESPACE, start, |_| ()).await.map(drop) },
        );
    drop(writes.recv().await.unwrap().answer_ok(&[]));
    let unanswered = writes.recv().await.unwrap();
    killed.abort();
    unanswered.forget();
    world.kv.behave();
}

conformance! {
    async fn an_empty_store_gets_everything(db: Db) {
        let world = World::new(db).await;
        for name in ["one", "two", "three"] {
            world.create_key(name).await;
        }
        world.flusher().flush().await.unwrap();
        let before = world.kv.records().into_keys().collect::<Vec<_>>();
        world.kv.tamper(std::collections::BTreeMap::clear);
        let start = begin(&world, false).await;
        assert_eq!((start.keys, start.resumes), (4, None));
        let mut reports = vec![];
        let mut flusher = world.flusher();
        let rebuilt = run(&world.db, &world.clock, &mut world.feeder(), &mut flusher, NAMESPACE, start, |done| reports.push(done)).await;
        assert_eq!(rebuilt.unwrap(), Rebuilt { queued: 4, written: 4, waiting: 0 });
        assert_eq!(reports, [1, 1, 4, 4]);
        assert_eq!(world.kv.records().into_keys().collect::<Vec<_>>(), before);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
    }

    async fn an_interrupted_run_goes_on_where_it_stopped_and_loses_nothing(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        world.flusher().flush().await.unwrap();
        world.kv.tamper(std::collections::BTreeMap::clear);
        begin_and_kill(&world).await;
        assert_eq!(start(&world.db, &world.clock, "another", false).await.unwrap().keys, 2, "of another namespace");
        let start = begin(&world, false).await;
        assert_eq!((start.keys, start.resumes), (0, Some(world.clock.now())), "all is in the outbox by now");
        world.advance(SETTLE);
        assert_eq!(rebuild(&world, start).await.waiting, 0);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
        assert_eq!(begin(&world, false).await.keys, 2, "what is finished is not resumed");
    }

    async fn a_run_begins_anew_if_it_is_told_to_or_the_last_one_is_long_ago(db: Db) {
        let world = World::new(db).await;
        world.create_key("key").await;
        begin_and_kill(&world).await;
        world.advance(RESUMABLE_FOR);
        assert_eq!(begin(&world, false).await.keys, 0);
        world.advance(Duration::from_millis(1));
        assert_eq!(begin(&world, false).await.keys, 2);
        world.create_key("other key").await;
        begin_and_kill(&world).await;
        assert_eq!(begin(&world, true).await.keys, 3);
    }

    async fn pruning_removes_what_the_database_does_not_know_and_nothing_else(db: Db) {
        let world = World::new(db).await;
        for name in ["one", "two", "three"] {
            world.create_key(name).await;
        }
        world.flusher().flush().await.unwrap();
        let before = world.kv.records();
        world.kv.tamper(|records| {
            records.insert("k1:junk".to_owned(), "junk".to_owned());
            records.insert("m1:junk".to_owned(), "junk".to_owned());
            let moved = before.iter().find(|(name, _)| name.starts_with("k1:")).unwrap();
            records.insert(moved.0.replace("environment_0", "environment_7"), moved.1.clone());
            records.insert("something else".to_owned(), "not ours".to_owned());
        });
        assert_eq!(prune(&world.db, &world.kv_client()).await.unwrap(), 3);
        let mut after = world.kv.records();
        assert_eq!(after.remove("something else").as_deref(), Some("not ours"));
        assert_eq!(after, before);
    }

    async fn a_database_without_keys_prunes_nothing(db: Db) {
        let world = World::new(db).await;
        execute(&world.db, "DELETE FROM management_keys").await;
        let error = prune(&world.db, &world.kv_client()).await.unwrap_err();
        assert!(error.to_string().contains("database_url"), "{error}");
        assert_eq!(world.kv.records().len(), 1);
    }
}
