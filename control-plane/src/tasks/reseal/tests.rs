use shared::{
    digest::{Digest, KvKey},
    id::ApiKeyId,
    record::{Owner, Record, Revoked},
};

use super::*;
use crate::{
    entropy::OsEntropy,
    storage::{
        Db,
        api_keys::{self, ApiKeySettings, NewApiKey},
        testing::{conformance, execute},
    },
    testing::world::World,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A world with so many keys that were written to the store now, beside its management key.
async fn world(db: Db, keys: usize) -> World {
    let world = World::new(db).await;
    for number in 0..keys {
        world.create_key(&number.to_string()).await;
    }
    publish(&world).await;
    world
}

/// Writes what waits, without the feed: that is about changes, and sealing anew is none.
async fn publish(world: &World) {
    execute(&world.db, "UPDATE outbox SET through_feed = FALSE").await;
    world.flusher().flush().await.unwrap();
    assert_eq!(world.backlog().await.depth, 0);
}

/// Every record that the store has.
fn records(world: &World) -> Vec<Record> {
    let open = |(name, sealed): (String, String)| {
        let api_key = KvKey::parse_api_key(&name).map(|(environment, digest)| KvKey::api_key(&environment, &digest));
        let kv_key =
            api_key.or_else(|| KvKey::parse_management_key(&name).map(|digest| KvKey::management_key(&digest)));
        world.secrets().open(&kv_key.unwrap(), &sealed).unwrap()
    };
    world.kv.records().into_iter().map(open).collect()
}

async fn revoke(world: &World, id: &ApiKeyId) {
    let now = world.clock.now();
    let mut transaction = world.db.write().await.unwrap();
    let environment = api_keys::after(transaction.conn(), "", 1).await.unwrap()[0].environment_id.clone();
    let version = api_keys::revoke(transaction.conn(), &environment, id, &Revoked::new("deleted", now), now)
        .await
        .unwrap()
        .unwrap();
    outbox::add(transaction.conn(), Kind::ApiKey, id.as_str(), version, outbox::Route::StoreOnly, now).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Makes so many more keys, of which the store was told now.
async fn make_sealed_keys(world: &World, keys: i64) {
    let now = world.clock.now();
    world.create_key("template").await;
    let mut transaction = world.db.write().await.unwrap();
    let template = api_keys::after(transaction.conn(), "", 1).await.unwrap().remove(0);
    for number in 0..keys {
        let key = NewApiKey {
            id: &ApiKeyId::generate(now, &mut OsEntropy),
            environment_id: &template.environment_id,
            owner: &Owner::Organization { id: template.organization_id.clone() },
            digest: &Digest::of(&number.to_string()),
            obfuscated_value: "lk_test_…abcd",
            settings: &ApiKeySettings { name: "k".to_owned(), ..ApiKeySettings::default() },
            rotated_from: None,
            created_by: &template.created_by.parse().unwrap(),
            now,
        };
        api_keys::insert(transaction.conn(), &key).await.unwrap();
    }
    transaction.commit().await.unwrap();
    execute(&world.db, "UPDATE api_keys SET sealed_at = created_at").await;
    execute(&world.db, "DELETE FROM outbox").await;
}

/// Fills the outbox as far as sealing anew bears it.
const FILL_OUTBOX: &str = "INSERT INTO outbox (key_id, kind, version, queued_at, next_attempt_at)
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 10000)
    SELECT CAST(number AS TEXT), 'api_key', 1, 1, 1 FROM numbers";

conformance! {
    async fn a_record_is_sealed_anew_at_half_of_the_age_that_it_may_have(db: Db) {
        let world = world(db, 3).await;
        let context = world.context();
        world.advance(3 * DAY);
        assert_eq!(turn(&context).await.unwrap(), TURN_EACH);
        assert_eq!(world.backlog().await.depth, 0);
        world.advance(DAY);
        assert_eq!(turn(&context).await.unwrap(), TURN_EACH);
        assert_eq!(world.backlog().await.depth, 4, "three keys and their management key");
        assert_eq!(context.metrics.oldest_seal_age.get(), 4 * 24 * 60 * 60);
        let versions = world.versions_at_edge().await;
        publish(&world).await;
        assert_eq!(world.versions_at_edge().await, versions, "sealing is no change");
        assert!(records(&world).iter().all(|record| record.sealed_at == world.clock.now()));
        turn(&context).await.unwrap();
        assert_eq!(world.backlog().await.depth, 0);
        assert_eq!(context.metrics.oldest_seal_age.get(), 0);
    }

    async fn revoked_keys_are_left_alone(db: Db) {
        let world = world(db, 0).await;
        let id = world.create_key("key").await;
        revoke(&world, &id).await;
        publish(&world).await;
        let before = world.kv.records();
        world.advance(30 * DAY);
        turn(&world.context()).await.unwrap();
        assert_eq!(world.backlog().await.depth, 1, "the management key alone");
        publish(&world).await;
        let kept = world.kv.records().into_iter().filter(|record| before.get(&record.0) == Some(&record.1)).count();
        assert_eq!(kept, 1, "its tombstone");
    }

    async fn what_is_late_is_hurried(db: Db) {
        let world = world(db, 1).await;
        let context = world.context();
        world.advance(30 * DAY);
        assert_eq!(turn(&context).await.unwrap(), HURRIED_TURN_EACH);
        assert_eq!(turn(&context).await.unwrap(), TURN_EACH, "it waits in the outbox by now");
    }

    async fn a_key_that_the_store_was_never_told_of_is_hurried(db: Db) {
        let world = world(db, 0).await;
        world.create_key("key").await;
        execute(&world.db, "DELETE FROM outbox").await;
        assert_eq!(turn(&world.context()).await.unwrap(), HURRIED_TURN_EACH);
        publish(&world).await;
        assert_eq!(world.versions_at_edge().await, world.versions().await);
    }

    async fn pages_come_evenly_and_after_what_people_change(db: Db) {
        let world = world(db, 0).await;
        make_sealed_keys(&world, 2_000).await;
        world.advance(4 * DAY);
        let context = world.context();
        for pages in 1..=2 {
            assert_eq!(turn(&context).await.unwrap(), TURN_EACH);
            assert_eq!(world.backlog().await.depth, 1 + pages * PAGE, "and the management key");
        }
        execute(&world.db, FILL_OUTBOX).await;
        let before = world.backlog().await.depth;
        turn(&context).await.unwrap();
        assert_eq!(world.backlog().await.depth, before);
    }
}
