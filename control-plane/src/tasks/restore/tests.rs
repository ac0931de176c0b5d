use std::time::Duration;

use shared::{
    digest::Digest,
    feed::{Effect, Scope},
    id::EnvironmentId,
};

use super::*;
use crate::{
    entropy::OsEntropy,
    storage::{
        Conn,
        api_keys::{self, ApiKey},
        edge_sync,
        feed::ScopeChange,
        management_keys, organizations,
        outbox::{self, Route},
        permissions::{self, Permission},
        testing::{conformance, execute, organization},
    },
    testing::{backup, world::World},
};

/// As after a change of long ago.
async fn add_scope(
    conn: Conn<'_>,
    scope: &Scope<'_>,
    environment: &EnvironmentId,
    generation: Version,
    effect: Effect,
    now: Timestamp,
) -> storage::Result<()> {
    let change = ScopeChange::new(scope, environment, generation, effect, now);
    feed::add_scope(conn, &ScopeChange { acknowledged: true, ..change }).await
}

async fn catch_up(world: &World) -> Restored {
    let (feed, secrets) = (world.feed_client(), world.secrets());
    let database = &world.context().database();
    let restorer = Restorer { db: &world.db, database, clock: &world.clock, feed: &feed, secrets: &secrets };
    restorer.catch_up(&world.kv_client()).await.unwrap()
}

async fn key(world: &World, text: &str) -> ApiKey {
    let mut reader = world.db.read().await.unwrap();
    api_keys::by_digest(reader.conn(), &world.tenant.environment, &Digest::of(text)).await.unwrap().unwrap()
}

async fn revoke(world: &World, id: &ApiKeyId, reason: &str) {
    let now = world.clock.now();
    let mut transaction = world.db.write().await.unwrap();
    let environment = &world.tenant.environment;
    let version =
        api_keys::revoke(transaction.conn(), environment, id, &Revoked::new(reason, now), now).await.unwrap().unwrap();
    let kind = Kind::ApiKey;
    edge_sync::note_change(transaction.conn(), kind, id.as_str(), true, now).await.unwrap();
    outbox::add(transaction.conn(), kind, id.as_str(), version, Route::FeedFirst, now).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn make_permission(world: &World, slug: &str) {
    let now = world.clock.now();
    let permission = Permission {
        id: shared::id::PermissionId::generate(now, &mut OsEntropy),
        environment_id: world.tenant.environment.clone(),
        slug: slug.to_owned(),
        name: slug.to_owned(),
        description: None,
        resource_type_slug: "x".to_owned(),
        created_at: now,
        updated_at: now,
    };
    let mut transaction = world.db.write().await.unwrap();
    assert!(permissions::insert(transaction.conn(), &permission).await.unwrap());
    transaction.commit().await.unwrap();
}

async fn has_permission(world: &World, slug: &str) -> bool {
    let mut reader = world.db.read().await.unwrap();
    permissions::get(reader.conn(), &world.tenant.environment, slug).await.unwrap().is_some()
}

async fn delete_permission(world: &World, slug: &str) {
    let now = world.clock.now();
    let environment = &world.tenant.environment;
    let mut transaction = world.db.write().await.unwrap();
    let (_, generation) = permissions::delete(transaction.conn(), environment, slug, now).await.unwrap().unwrap();
    add_scope(transaction.conn(), &Scope::Permission(environment, slug), environment, generation, Effect::Revoke, now)
        .await
        .unwrap();
    api_keys::remove_permission(transaction.conn(), environment, slug, &[], slug, now).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn create_key_with(world: &World, text: &str, permissions: &[&str]) -> ApiKeyId {
    world.tenant.api_key_by(Route::FeedFirst, &world.db, text, permissions, world.clock.now()).await
}

/// What was done is in the feed and in the store, and some time goes by.
async fn publish(world: &World) {
    world.feed_all().await;
    world.flusher().flush().await.unwrap();
    world.advance(Duration::from_secs(10));
}

/// Afterwards the edge has what the database has.
async fn expect_agreement(world: &World) {
    assert_eq!(catch_up(world).await.changes(), 0, "all of it was taken over");
    publish(world).await;
    assert_eq!(world.backlog().await.depth, 0);
    assert_eq!(world.versions_at_edge().await, world.versions().await);
    assert_eq!(catch_up(world).await.changes(), 0, "what is published is no news");
}

conformance! {
    async fn usually_there_is_nothing_to_take_over(db: Db) {
        let world = World::new(db).await;
        let id = create_key_with(&world, "key", &[]).await;
        publish(&world).await;
        revoke(&world, &id, "deleted").await;
        publish(&world).await;
        let before = key(&world, "key").await;
        assert_eq!(catch_up(&world).await, Restored::default());
        execute(&world.db, "DELETE FROM feed_position").await;
        assert_eq!(catch_up(&world).await, Restored::default(), "nor if nothing was noted");
        assert_eq!(key(&world, "key").await, before);
        let noted = feed::position(world.db.read().await.unwrap().conn()).await.unwrap().unwrap();
        assert_eq!(noted.sequence, world.feed.status().head);
    }

    async fn a_restored_database_revives_no_key(db: Db) {
        let world = World::new(db).await;
        let gone = create_key_with(&world, "gone", &[]).await;
        create_key_with(&world, "stays", &[]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        revoke(&world, &gone, "leaked").await;
        publish(&world).await;
        let (revoked, stays) = (key(&world, "gone").await, key(&world, "stays").await);
        backup::restore(&world.db).await;
        assert_eq!(key(&world, "gone").await.revoked_at, None);

        assert_eq!(catch_up(&world).await, Restored { revoked: 1, ..Restored::default() });
        let again = key(&world, "gone").await;
        assert_eq!((again.revoked_at, again.revoked_reason), (revoked.revoked_at, Some("leaked".to_owned())));
        assert!(again.version > revoked.version);
        assert_eq!(key(&world, "stays").await, stays);
        expect_agreement(&world).await;
    }

    async fn a_restored_database_revives_no_management_key(db: Db) {
        let world = World::new(db).await;
        backup::back_up(&world.db).await;
        let now = world.clock.now();
        let id = world.tenant.creator.clone();
        let mut transaction = world.db.write().await.unwrap();
        let version = management_keys::revoke(transaction.conn(), &id, &Revoked::new("lost", now), now).await.unwrap().unwrap();
        let kind = Kind::ManagementKey;
        outbox::add(transaction.conn(), kind, id.as_str(), version, Route::FeedFirst, now).await.unwrap();
        transaction.commit().await.unwrap();
        publish(&world).await;
        backup::restore(&world.db).await;
        assert_eq!(catch_up(&world).await, Restored { revoked: 1, ..Restored::default() });
        let keys = management_keys::list(world.db.read().await.unwrap().conn(), &world.tenant.environment).await.unwrap();
        assert_eq!((keys[0].revoked_at, keys[0].revoked_reason.as_deref()), (Some(now), Some("lost")));
        expect_agreement(&world).await;
    }

    async fn a_restored_database_widens_no_key(db: Db) {
        let world = World::new(db).await;
        let id = create_key_with(&world, "key", &["a", "b"]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        world.change_key_for_feed(&id).await;
        execute(&world.db, "UPDATE api_keys SET name = 'renamed', permissions = '[\"a\"]', disabled = TRUE,
            ip_allow_list = '[\"10.0.0.0/8\"]', resources = '[\"r\"]', metadata = '{\"k\":\"v\"}', not_before = 7").await;
        publish(&world).await;
        let changed = key(&world, "key").await;
        backup::restore(&world.db).await;
        assert_eq!(key(&world, "key").await.expires_at, None);

        assert_eq!(catch_up(&world).await, Restored { taken_over: 1, ..Restored::default() });
        let again = key(&world, "key").await;
        assert_eq!(again.changed_at, Some(world.clock.now()), "so that a feed that is told all is told of it");
        assert_eq!(ApiKey { changed_at: changed.changed_at, acknowledged: changed.acknowledged, ..again }, changed);
        expect_agreement(&world).await;
    }

    async fn what_was_changed_since_the_restore_stays_as_it_is(db: Db) {
        let world = World::new(db).await;
        let id = create_key_with(&world, "key", &[]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        backup::restore(&world.db).await;
        let newest = world.change_key_for_feed(&id).await;
        assert_eq!(catch_up(&world).await, Restored::default());
        assert_eq!(key(&world, "key").await.version, newest);
        expect_agreement(&world).await;
    }

    async fn a_deleted_organization_stays_deleted_with_all_its_keys(db: Db) {
        let world = World::new(db).await;
        create_key_with(&world, "key", &[]).await;
        let other = organization(&world.tenant.environment, world.clock.now());
        world.tenant.add(&world.db, &other).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        let (environment, its_id) = (&world.tenant.environment, &world.tenant.organization);
        let now = world.clock.now();
        let mut transaction = world.db.write().await.unwrap();
        let generation = organizations::delete(transaction.conn(), environment, its_id, now).await.unwrap().unwrap();
        add_scope(transaction.conn(), &Scope::Organization(its_id), environment, generation, Effect::Revoke, now).await.unwrap();
        transaction.commit().await.unwrap();
        publish(&world).await;
        backup::restore(&world.db).await;

        assert_eq!(catch_up(&world).await, Restored { scopes: 1, ..Restored::default() });
        let key = key(&world, "key").await;
        assert_eq!(key.revoked_reason.as_deref(), Some("organization_deleted"));
        assert!(key.organization_generation >= generation.0);
        let get = async |id| organizations::get(world.db.read().await.unwrap().conn(), environment, id).await.unwrap();
        assert!(get(its_id).await.is_none() && get(&other.id).await.is_some());
        expect_agreement(&world).await;
    }

    async fn deleted_permissions_stay_deleted_and_are_taken_from_keys_that_were_taken_over(db: Db) {
        let world = World::new(db).await;
        for slug in ["a", "b:c", "d"] {
            make_permission(&world, slug).await;
        }
        let id = create_key_with(&world, "key", &["a", "b:c", "d"]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        // The feed keeps a record of the key that still has them all.
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        // The one that comes first in the feed has the higher generation.
        delete_permission(&world, "d").await;
        let early = world.clock.now();
        world.advance(Duration::from_secs(1));
        delete_permission(&world, "a").await;
        let name = Scope::Permission(&world.tenant.environment, "a").name();
        world.feeder().feed(&[crate::edge::changes::Subject::Scope(name)]).await.unwrap();
        publish(&world).await;
        assert!(world.clock.now() > early);
        backup::restore(&world.db).await;

        assert_eq!(catch_up(&world).await, Restored { scopes: 2, taken_over: 1, ..Restored::default() });
        assert_eq!(key(&world, "key").await.permissions.0, ["b:c"]);
        assert_eq!((has_permission(&world, "a").await, has_permission(&world, "b:c").await), (false, true));
        // Made again, it is not taken away once more, even if all of the feed is read again.
        make_permission(&world, "a").await;
        execute(&world.db, "DELETE FROM feed_position").await;
        expect_agreement(&world).await;
        assert!(has_permission(&world, "a").await);
    }

    async fn a_permission_that_the_backup_knows_nothing_of_is_not_taken_from_those_that_are_made_later(db: Db) {
        let world = World::new(db).await;
        backup::back_up(&world.db).await;
        make_permission(&world, "a").await;
        delete_permission(&world, "a").await;
        publish(&world).await;
        backup::restore(&world.db).await;
        assert_eq!(catch_up(&world).await.changes(), 0);
        make_permission(&world, "a").await;
        create_key_with(&world, "key", &["a"]).await;
        execute(&world.db, "DELETE FROM feed_position").await;
        assert_eq!(catch_up(&world).await.changes(), 0);
        assert_eq!(key(&world, "key").await.permissions.0, ["a"]);
    }

    async fn what_the_feed_has_forgotten_the_store_has_not(db: Db) {
        let world = World::new(db).await;
        let gone = create_key_with(&world, "gone", &[]).await;
        let changed = create_key_with(&world, "changed", &[]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        revoke(&world, &gone, "leaked").await;
        let expired = world.change_key_for_feed(&changed).await;
        publish(&world).await;
        world.advance(Duration::from_secs(8 * 24 * 60 * 60));
        world.feed.trim(world.clock.now());
        assert_eq!(world.feed.entries(), [], "a week has gone by");
        backup::restore(&world.db).await;
        assert_eq!(catch_up(&world).await, Restored { revoked: 1, taken_over: 1, ..Restored::default() });
        assert_eq!(key(&world, "gone").await.revoked_reason.as_deref(), Some("leaked"));
        assert_eq!(key(&world, "changed").await.version, expired);
        expect_agreement(&world).await;
    }

    async fn keys_that_the_database_does_not_know_are_counted_and_left(db: Db) {
        let world = World::new(db).await;
        backup::back_up(&world.db).await;
        create_key_with(&world, "new", &[]).await;
        let gone = create_key_with(&world, "gone", &[]).await;
        revoke(&world, &gone, "deleted").await;
        publish(&world).await;
        backup::restore(&world.db).await;
        assert_eq!(catch_up(&world).await, Restored { unknown: 1, ..Restored::default() });
    }

    async fn a_feed_of_another_epoch_is_read_from_its_beginning(db: Db) {
        let world = World::new(db).await;
        let id = create_key_with(&world, "key", &[]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        revoke(&world, &id, "deleted").await;
        publish(&world).await;
        execute(&world.db, "UPDATE saved_feed_position SET epoch = epoch + 100, sequence = 1000").await;
        backup::restore(&world.db).await;
        assert_eq!(catch_up(&world).await.revoked, 1);
        let noted = feed::position(world.db.read().await.unwrap().conn()).await.unwrap().unwrap();
        assert_eq!(noted.epoch, world.feed.status().epoch);
    }

    async fn a_record_that_cannot_be_opened_is_told_and_a_tombstone_counts_all_the_same(db: Db) {
        let world = World::new(db).await;
        let gone = create_key_with(&world, "gone", &[]).await;
        let changed = create_key_with(&world, "changed", &[]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        revoke(&world, &gone, "deleted").await;
        world.change_key_for_feed(&changed).await;
        publish(&world).await;
        backup::restore(&world.db).await;
        let (feed, secrets) = (world.feed_client(), EdgeSecrets::parse(&"another secret".repeat(3)).unwrap());
        let database = &world.context().database();
    let restorer = Restorer { db: &world.db, database, clock: &world.clock, feed: &feed, secrets: &secrets };
        let restored = restorer.catch_up(&world.kv_client()).await.unwrap();
        assert_eq!(restored, Restored { revoked: 1, unreadable: 1, ..Restored::default() });
        assert_eq!(key(&world, "gone").await.revoked_reason.as_deref(), Some("revoked_before_restore"));
    }

    async fn what_only_looked_newer_for_a_moment_is_not(db: Db) {
        let world = World::new(db).await;
        let id = create_key_with(&world, "key", &[]).await;
        publish(&world).await;
        backup::back_up(&world.db).await;
        world.change_key_for_feed(&id).await;
        publish(&world).await;
        let name = key(&world, "key").await.kv_key().unwrap().as_str().to_owned();
        let (feed, secrets) = (world.feed_client(), world.secrets());
        let database = &world.context().database();
    let restorer = Restorer { db: &world.db, database, clock: &world.clock, feed: &feed, secrets: &secrets };
        assert!(!restorer.is_behind(std::slice::from_ref(&name)).await.unwrap());
        assert_eq!(restorer.count_newer(None).await.unwrap(), 0);
        backup::restore(&world.db).await;
        assert!(restorer.is_behind(&[name]).await.unwrap());
        let noted = feed::position(world.db.read().await.unwrap().conn()).await.unwrap();
        assert_eq!(restorer.count_newer(noted).await.unwrap(), 1);
        assert_eq!(restorer.take_over_all().await.unwrap().taken_over, 1);
    }
}
