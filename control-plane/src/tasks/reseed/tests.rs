use std::time::Duration;

use shared::{
    feed::{Effect, Mark, Scope},
    id::ApiKeyId,
    record::{Owner, Version},
};

use super::*;
use crate::{
    storage::{
        Db, edge_sync,
        feed::ScopeChange,
        testing::{conformance, execute},
    },
    testing::{fake_worker::Mood, world::World},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn run(world: &World) -> anyhow::Result<u64> {
    reseed(&world.db, &mut world.feeder(), world.clock.now()).await
}

async fn name_of(world: &World, id: &ApiKeyId) -> String {
    let mut reader = world.db.read().await.unwrap();
    let entries = edge_sync::by_ids(reader.conn(), Kind::ApiKey, &[id.as_str()], world.clock.now()).await.unwrap();
    entries[0].kv_key.as_ref().unwrap().as_str().to_owned()
}

async fn mark(world: &World, id: &ApiKeyId) -> Option<Mark> {
    world.feed.entry(&name_of(world, id).await).map(|entry| entry.mark)
}

async fn publish(world: &World) {
    world.feed_all().await;
    world.flusher().flush().await.unwrap();
}

async fn change_scope(world: &World, slug: &str) -> String {
    let environment = &world.tenant.environment;
    let scope = Scope::Permission(environment, slug);
    let change = ScopeChange::new(&scope, environment, Version(1), Effect::Revoke, world.clock.now());
    let mut transaction = world.db.write().await.unwrap();
    feed::add_scope(transaction.conn(), &change).await.unwrap();
    transaction.commit().await.unwrap();
    scope.name()
}

conformance! {
    async fn a_lost_feed_is_told_every_change_of_the_last_week_and_opened(db: Db) {
        let world = World::new(db).await;
        let unchanged = world.create_key_for_feed("unchanged").await;
        let long_ago = world.create_key_for_feed("long ago").await;
        let old_scope = change_scope(&world, "old").await;
        world.change_key_for_feed(&long_ago).await;
        publish(&world).await;
        world.advance(Duration::from_millis(u64::try_from(KEPT_MILLIS).unwrap() + 1));
        let mut changed = vec![];
        for number in 0..3 {
            changed.push(world.create_key_for_feed(&number.to_string()).await);
            world.change_key_for_feed(&changed[number]).await;
        }
        let scope = change_scope(&world, "a").await;
        publish(&world).await;
        world.advance(6 * DAY);
        let unwritten = world.create_key_for_feed("unwritten").await;
        world.feed_all().await;
        let unfed = world.create_key_for_feed("unfed").await;

        world.feed.lose_everything();
        assert!(!world.feed.is_open());
        assert_eq!(run(&world).await.unwrap(), 3 + 1 + 2);
        assert!(world.feed.is_open());
        for id in &changed {
            assert_eq!(mark(&world, id).await, Some(Mark::Changed));
        }
        assert_eq!((mark(&world, &unwritten).await, mark(&world, &unfed).await), (Some(Mark::Created), Some(Mark::Created)));
        assert_eq!((mark(&world, &unchanged).await, mark(&world, &long_ago).await), (None, None));
        assert!(world.feed.entry(&scope).is_some() && world.feed.entry(&old_scope).is_none());
    }

    async fn what_is_told_stays_as_long_as_it_would_have(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.change_key_for_feed(&id).await;
        let changed_at = world.clock.now();
        publish(&world).await;
        let before = world.feed.entry(&name_of(&world, &id).await).unwrap();
        world.advance(3 * DAY);
        world.feed.lose_everything();
        run(&world).await.unwrap();
        let after = world.feed.entry(&name_of(&world, &id).await).unwrap();
        assert_eq!(after.kept_until, changed_at.plus_millis(KEPT_MILLIS));
        assert_eq!((after.kept_until, after.version), (before.kept_until, before.version));
    }

    async fn what_is_open_is_left_alone(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        let entries = world.feed.entries();
        assert_eq!(run(&world).await.unwrap(), 0);
        assert_eq!(world.feed.entries(), entries);
    }

    async fn a_feed_that_was_rolled_back_gets_what_it_lost(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        publish(&world).await;
        let mut feeder = world.feeder();
        feeder.feed(&[]).await.unwrap();
        let earlier = world.feed.snapshot();
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        world.feed.roll_back(earlier);
        assert!(world.feed.is_open(), "it knows nothing of it");
        reseed(&world.db, &mut world.feeder(), world.clock.now()).await.unwrap();
        assert!(world.feed.is_open());
        assert_eq!(mark(&world, &id).await, Some(Mark::Changed));
    }

    async fn if_it_is_lost_again_meanwhile_all_begins_anew(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        world.feed.lose_everything();
        let mut feeder = world.feeder();
        let epoch = world.feed.status().epoch;
        world.feed.lose_everything();
        let seeded = seed(&world.db, &mut feeder, world.clock.now(), epoch).await.unwrap();
        assert!(matches!(seeded, Seeded::InVain));
        assert!(!world.feed.is_open());
        run(&world).await.unwrap();
        assert!(world.feed.is_open());
        assert!(mark(&world, &id).await.is_some());
    }

    async fn two_processes_may_do_it_at_once(db: Db) {
        let world = World::new(db).await;
        for number in 0..5 {
            let id = world.create_key_for_feed(&number.to_string()).await;
            world.change_key_for_feed(&id).await;
        }
        publish(&world).await;
        world.feed.lose_everything();
        let (one, other) = tokio::join!(run(&world), run(&world));
        assert!(one.unwrap().max(other.unwrap()) >= 5);
        assert!(world.feed.is_open());
        assert_eq!(world.feed.entries().len(), 5);
    }

    async fn what_fails_is_not_opened(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        world.feed.lose_everything();
        world.feed.set_mood(Mood::Failing);
        run(&world).await.unwrap_err();
        world.feed.set_mood(Mood::Mute);
        run(&world).await.unwrap_err();
        world.feed.set_mood(Mood::Well);
        assert!(!world.feed.is_open());
        run(&world).await.unwrap();
        assert!(world.feed.is_open());
    }

    async fn more_than_a_page_is_told_page_by_page(db: Db) {
        let world = World::new(db).await;
        let mut transaction = world.db.write().await.unwrap();
        let now = world.clock.now();
        for number in 0..1_001 {
            let key = crate::storage::api_keys::NewApiKey {
                id: &ApiKeyId::generate(now, &mut crate::entropy::OsEntropy),
                environment_id: &world.tenant.environment,
                owner: &Owner::Organization { id: world.tenant.organization.clone() },
                digest: &shared::digest::Digest::of(&number.to_string()),
                obfuscated_value: "lk_test_…abcd",
                settings: &crate::storage::api_keys::ApiKeySettings { name: "k".to_owned(), ..Default::default() },
                rotated_from: None,
            created_by: &world.tenant.creator,
                now,
            };
            crate::storage::api_keys::insert(transaction.conn(), &key).await.unwrap();
        }
        transaction.commit().await.unwrap();
        execute(&world.db, "UPDATE api_keys SET changed_at = created_at").await;
        world.feed.lose_everything();
        let client = crate::edge::feed::FeedClient::new(&world.edge()).unwrap();
        let mut feeder = Feeder::with_client(client, world.edge(), world.db.clone(), world.clock.clone());
        assert_eq!(reseed(&world.db, &mut feeder, now).await.unwrap(), 1_001);
        assert_eq!(world.feed.entries().len(), 1_001);
    }

    async fn telling_all_seals_anew_what_the_feed_holds_and_is_no_news(db: Db) {
        let world = World::new(db).await;
        let id = world.create_key_for_feed("key").await;
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        let before = world.feed.entry(&name_of(&world, &id).await).unwrap();
        world.advance(DAY);
        let (status, told) = tell_all(&world.db, &mut world.feeder(), world.clock.now()).await.unwrap();
        assert_eq!((status.state, told), (State::Open, 1));
        let after = world.feed.entry(&name_of(&world, &id).await).unwrap();
        assert_ne!(after.body.sealed, before.body.sealed);
        assert_eq!((after.sequence, after.version), (before.sequence, before.version));
    }
}
