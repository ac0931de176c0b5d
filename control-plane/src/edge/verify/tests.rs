use serde_json::json;

use super::*;
use crate::{
    storage::testing::{conformance, execute},
    testing::server::Server,
    testing::world::World,
};

async fn compare(world: &World) -> Report {
    let (kv, secrets) = (world.kv_client(), world.secrets());
    let comparison = Comparison { db: &world.db, clock: &world.clock, kv: &kv, secrets: &secrets };
    comparison.run(|_| ()).await.unwrap()
}

/// A world with published keys of these names, and the place of each in the store.
async fn published(db: Db, names: &[&str]) -> (World, Vec<(String, String)>) {
    let world = World::new(db).await;
    let mut keys = vec![];
    for name in names {
        let before = world.kv.records();
        world.advance(std::time::Duration::from_millis(1));
        let id = world.create_key(name).await;
        world.flusher().flush().await.unwrap();
        let place = world.kv.records().into_keys().find(|place| !before.contains_key(place)).unwrap();
        keys.push((id.to_string(), place));
    }
    (world, keys)
}

fn one(id: &str) -> Difference {
    Difference { count: 1, examples: vec![id.to_owned()] }
}

conformance! {
    async fn what_was_published_is_clean(db: Db) {
        let (world, _) = published(db, &["one", "two", "three"]).await;
        let report = compare(&world).await;
        assert_eq!(report, Report { keys: 4, records: 4, ..Report::default() });
        assert!(report.is_clean());
    }

    /// Their records are older than the environment's last generation, and nothing is wrong with that.
    async fn keys_without_a_permission_that_is_deleted_are_not_stale(db: Db) {
        let (world, _) = published(db, &["one", "two"]).await;
        execute(&world.db, "UPDATE environments SET generation = generation + 1").await;
        assert!(compare(&world).await.is_clean());
    }

    /// Whatever their roles and memberships went through.
    async fn records_of_users_keys_follow_what_they_depend_on(db: Db) {
        let world = World::new(db).await;
        let server = Server::of(world.context()).await.of_environment(&world.tenant.environment).await;
        server.permissions(&["a", "b", "*"]).await;
        server.role("editor", &["a", "b", "*"]).await;
        server.role("reader", &["a"]).await;
        let organization = server.organization().await;
        let mut memberships = vec![];
        for _ in 0..2 {
            let user = server.user(json!({})).await;
            memberships.push(server.membership(&organization, &user, Some("editor")).await);
            // What it may do is not named in the key itself.
            server.user_api_key(&user, json!({"name": "k", "organization_id": organization, "permissions": ["*"]})).await;
        }
        let path = format!("/user_management/organization_memberships/{}", memberships[0]);
        for (method, path, body) in [
            ("DELETE", "/authorization/permissions/b", json!({})),
            ("PUT", "/authorization/roles/editor/permissions", json!({"permissions": ["a"]})),
            ("PUT", &path, json!({"role_slug": "reader"})),
            ("PUT", &format!("{path}/deactivate"), json!({})),
            ("PUT", &format!("{path}/reactivate"), json!({})),
            ("DELETE", &path, json!({})),
        ] {
            world.feed_all().await;
            world.flusher().flush().await.unwrap();
            let report = compare(&world).await;
            assert!(report.is_clean() && report.waiting == 0, "before {path}: {report:?}");
            world.advance(std::time::Duration::from_secs(1));
            let reply = server.send(method, path, axum::body::Body::from(body.to_string())).await;
            assert!(reply.status < 300, "{path}: {}", reply.text);
            assert!(compare(&world).await.waiting > 0, "{path} has no key sealed again");
        }
        world.feed_all().await;
        world.flusher().flush().await.unwrap();
        let report = compare(&world).await;
        assert!(report.is_clean() && report.waiting == 0, "{report:?}");
    }

    async fn more_than_a_page_is_compared(db: Db) {
        let world = World::new(db).await;
        for number in 0..kv::GET_LIMIT + 20 {
            world.create_key(&number.to_string()).await;
        }
        world.flusher().flush().await.unwrap();
        world.kv.tamper(|records| records.retain(|name, _| name.starts_with(KvKey::MANAGEMENT_KEYS)));
        let report = compare(&world).await;
        assert_eq!((report.keys, report.records, report.missing.count), (121, 1, 120));
        assert_eq!(report.missing.examples.len(), EXAMPLES);
    }

    async fn each_difference_is_told_by_its_name(db: Db) {
        let names = ["missing", "stale", "forged", "moved", "unknown codec", "newer", "other"];
        let (world, keys) = published(db, &names).await;
        let old = world.kv.records();
        world.change_key(&keys[1].0.parse().unwrap()).await;
        world.change_key(&keys[5].0.parse().unwrap()).await;
        world.flusher().flush().await.unwrap();
        execute(&world.db, "UPDATE api_keys SET version = version - 5 WHERE name = 'newer'").await;
        execute(&world.db, "UPDATE api_keys SET permissions = '[\"a\"]' WHERE name = 'other'").await;
        world.kv.tamper(|records| {
            records.remove(&keys[0].1);
            records.insert(keys[1].1.clone(), old[&keys[1].1].clone());
            records.insert(keys[2].1.clone(), old[&keys[2].1].replace("forged", "golden"));
            records.insert(keys[3].1.clone(), old[&keys[0].1].clone());
            records.insert(keys[4].1.clone(), "v9.something".to_owned());
            records.insert("k1:junk".to_owned(), "junk".to_owned());
        });
        let report = compare(&world).await;
        let ids = |of: &[usize]| of.iter().map(|key| keys[*key].0.clone()).collect::<Vec<_>>();
        assert_eq!(report.missing, one(&keys[0].0));
        assert_eq!(report.stale, Difference { count: 2, examples: ids(&[1, 6]) }, "the last says something else");
        assert_eq!(report.unreadable, Difference { count: 3, examples: ids(&[2, 3, 4]) });
        assert_eq!(report.newer, one(&keys[5].0));
        assert_eq!(report.unknown, one("(unreadable)"));
        assert!(!report.is_clean());
    }

    async fn a_record_of_no_key_is_told_by_its_id(db: Db) {
        let (world, keys) = published(db, &["key"]).await;
        execute(&world.db, "DELETE FROM api_keys").await;
        assert_eq!(compare(&world).await.unknown, one(&keys[0].0));
    }

    async fn what_waits_in_the_outbox_is_no_difference(db: Db) {
        let (world, keys) = published(db, &["key"]).await;
        world.change_key(&keys[0].0.parse().unwrap()).await;
        world.create_key("new").await;
        let report = compare(&world).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.waiting, 2);
    }
}
