//! What callers are told while the edge does not have their change yet, on the real routes: with a stand-in for the
//! Worker that can fail, and the pump of each process.

use std::time::Duration;

use serde_json::json;
use shared::feed::{Mark, Scope};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    edge::flush::SETTLE,
    storage::{
        Db,
        testing::{conformance, very_many_keys},
    },
    tasks::{TaskContext, pump::Pump},
    testing::{
        fake_worker::Mood,
        server::{Reply, Server, id_of, ids_of},
        world::{DEADLINE, World},
    },
};

/// How long these servers wait for the edge.
const PATIENCE: Duration = Duration::from_millis(300);

/// A server with its pump.
struct Process {
    server: Server,
    context: TaskContext,
    pump: JoinHandle<()>,
    _stop: watch::Sender<()>,
}

impl Process {
    async fn start(world: &World, patience: Duration) -> Self {
        let (context, ends) = world.linked_context(patience);
        let (stop, stopped) = watch::channel(());
        let pump = tokio::spawn(Pump::new(context.clone(), world.feeder(), ends.waiters).run(stopped));
        Self { server: Server::of(context.clone()).await, context, pump, _stop: stop }
    }
}

/// Repeats a call, as callers do who are told to, until its answer is another one than "not yet".
async fn repeat(call: impl AsyncFn() -> Reply) -> Reply {
    let repeated = async {
        loop {
            let reply = call().await;
            if reply.status != 503 {
                return reply;
            }
            assert_eq!(reply.error(503), "edge_propagation_pending");
        }
    };
    tokio::time::timeout(DEADLINE, repeated).await.expect("it succeeds some time")
}

/// How many entries of scopes the feed has. Keys that were just made may come at any time.
fn scopes(world: &World) -> usize {
    world.feed.entries().iter().filter(|entry| matches!(entry.mark, Mark::Scope(_))).count()
}

conformance! {
    async fn a_deletion_succeeds_once_the_feed_has_it_and_is_not_found_later(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, PATIENCE).await;
        let organization = server.organization().await;
        let key = server.api_key(&organization, json!({"name": "k"})).await;
        let path = format!("/api_keys/{}", id_of(&key));
        world.feed.set_mood(Mood::Failing);
        for _ in 0..2 {
            assert_eq!(server.delete(&path).await.error(503), "edge_propagation_pending");
        }
        assert_eq!(server.validate(key["value"].as_str().unwrap()).await["code"], "revoked", "it is done");
        let keys = format!("/organizations/{organization}/api_keys");
        assert_eq!(server.get(&keys).await.expect(200)["data"], json!([]));
        let listed = server.get(&format!("{keys}?include=revoked")).await.expect(200);
        assert_eq!(ids_of(&listed), [id_of(&key)]);
        assert_eq!(listed["data"][0]["propagating"], true);
        assert!(listed["data"][0]["revoked_at"].is_string());

        world.feed.set_mood(Mood::Well);
        repeat(async || server.delete(&path).await).await.expect(204);
        assert!(world.feed.entries().iter().any(|entry| entry.mark == Mark::Revoked));
        assert_eq!(server.delete(&path).await.error(404), "entity_not_found");
        let listed = server.get(&format!("{keys}?include=revoked")).await.expect(200);
        assert!(listed["data"][0].get("propagating").is_none());
        assert_eq!(server.get(&format!("{keys}?include=everything")).await.fields(), ["include"]);
    }

    async fn an_expiry_succeeds_once_the_feed_has_it_and_is_a_conflict_later(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, PATIENCE).await;
        let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
        let path = format!("/api_keys/{}/expire", id_of(&key));
        world.feed.set_mood(Mood::Failing);
        for _ in 0..2 {
            assert_eq!(server.post(&path, json!({})).await.error(503), "edge_propagation_pending");
        }
        for later in [json!(null), json!("2099-01-01T00:00:00Z")] {
            let revival = server.post(&path, json!({"expires_at": later})).await;
            assert_eq!(revival.error(409), "api_key_already_expired");
        }
        world.feed.set_mood(Mood::Well);
        let expired = repeat(async || server.post(&path, json!({})).await).await.expect(200);
        assert_eq!(expired["id"], key["id"]);
        assert_eq!(server.post(&path, json!({})).await.error(409), "api_key_already_expired");
    }

    async fn a_change_succeeds_once_the_feed_has_it_though_it_changes_nothing_any_more(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, PATIENCE).await;
        let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
        let path = format!("/api_keys/{}", id_of(&key));
        let change = json!({"enabled": false, "expires_at": "2001-01-01T00:00:00Z"});
        world.feed.set_mood(Mood::Failing);
        for _ in 0..2 {
            assert_eq!(server.patch(&path, change.clone()).await.error(503), "edge_propagation_pending");
        }
        let stands = server.get(&path).await.expect(200);
        assert_eq!(stands["enabled"], false, "it is done");
        world.feed.set_mood(Mood::Well);
        let changed = repeat(async || server.patch(&path, change.clone()).await).await.expect(200);
        assert_eq!(changed, stands, "and was done once");
        world.feed.set_mood(Mood::Failing);
        assert_eq!(server.patch(&path, json!({"enabled": false})).await.expect(200), stands, "nobody waits for nothing");
        world.feed.set_mood(Mood::Well);
    }

    async fn a_rotation_succeeds_once_the_feed_has_it_with_the_key_that_it_made_at_first(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, PATIENCE).await;
        let organization = server.organization().await;
        let old = server.api_key(&organization, json!({"name": "k"})).await;
        let rotate = format!("/api_keys/{}/rotate", id_of(&old));
        let body = json!({"overlap_seconds": 0});
        world.feed.set_mood(Mood::Failing);
        for _ in 0..2 {
            assert_eq!(server.post(&rotate, body.clone()).await.error(503), "edge_propagation_pending");
        }
        let another = server.of_environment(&server.environment).await;
        assert_eq!(another.post(&rotate, body.clone()).await.error(409), "api_key_already_rotated");
        let keys = format!("/organizations/{organization}/api_keys");
        let listed = server.get(&keys).await.expect(200);
        let made: Vec<String> = ids_of(&listed).into_iter().filter(|id| *id != id_of(&old)).collect();
        assert_eq!(made.len(), 1, "it is done, and was done once");

        world.feed.set_mood(Mood::Well);
        let new = repeat(async || server.post(&rotate, body.clone()).await).await.expect(201);
        assert_eq!((&id_of(&new), &new["rotated_from"]), (&made[0], &old["id"]));
        assert!(server.validate(new["value"].as_str().unwrap()).await["api_key"].is_object());
        assert_eq!(server.validate(old["value"].as_str().unwrap()).await["code"], "expired");
        assert_eq!(server.post(&rotate, body).await.error(409), "api_key_already_rotated");
    }

    async fn deleting_an_organization_or_a_permission_waits_for_its_one_entry(db: Db) {
        let world = World::new(db).await;
        let Process { server, context, .. } = &Process::start(&world, PATIENCE).await;
        server.permissions(&["a"]).await;
        let organization = server.organization().await;
        let key = server.api_key(&organization, json!({"name": "k", "permissions": ["a"]})).await;
        world.feed.set_mood(Mood::Failing);
        let permission = "/authorization/permissions/a";
        let organization = format!("/organizations/{organization}");
        for path in [permission, &organization] {
            for _ in 0..2 {
                assert_eq!(server.delete(path).await.error(503), "edge_propagation_pending");
            }
        }
        world.feed.set_mood(Mood::Well);
        repeat(async || server.delete(permission).await).await.expect(204);
        repeat(async || server.delete(&organization).await).await.expect(200);
        assert_eq!(scopes(&world), 2);
        for path in [permission, &organization] {
            assert_eq!(server.delete(path).await.error(404), "entity_not_found");
        }
        assert!(context.edge.is_some() && key["id"].is_string());
    }

    async fn what_changes_the_keys_of_users_waits_for_its_one_entry_and_is_repeated(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, PATIENCE).await;
        server.permissions(&["a", "b"]).await;
        server.role("editor", &["a", "b"]).await;
        let organization = server.organization().await;
        let user = server.user(json!({})).await;
        let membership = server.membership(&organization, &user, Some("editor")).await;
        server.user_api_key(&user, json!({"name": "k", "organization_id": organization, "permissions": ["a"]})).await;
        let of_user = format!("/user_management/users/{user}");
        let of_membership = format!("/user_management/organization_memberships/{membership}");
        let again = json!({"user_id": user, "organization_id": organization});
        let memberships = "/user_management/organization_memberships";
        for (method, path, body, success, repeated) in [
            ("PUT", "/authorization/roles/editor/permissions", json!({"permissions": ["b"]}), 200, 200),
            ("POST", "/authorization/roles/editor/permissions", json!({"slug": "a"}), 200, 200),
            ("PUT", &format!("{of_membership}/deactivate"), json!({}), 200, 200),
            ("PUT", &format!("{of_membership}/reactivate"), json!({}), 200, 200),
            ("PUT", &of_membership, json!({"role_slug": "member"}), 200, 200),
            ("PUT", &format!("{of_membership}/deactivate"), json!({}), 200, 200),
            // The membership becomes active again.
            ("POST", memberships, again.clone(), 201, 409),
            ("DELETE", &of_membership, json!({}), 200, 404),
            // A new one.
            ("POST", memberships, again, 201, 409),
            ("DELETE", &of_user, json!({}), 200, 404),
        ] {
            let call = async || server.send(method, path, body.to_string().into()).await;
            let entries = scopes(&world);
            world.feed.set_mood(Mood::Failing);
            let is_new = path == memberships && server.get(&of_membership).await.status == 404;
            if is_new {
                // Nobody has anything of a new membership, so nobody has to be told.
                call().await.expect(success);
            } else {
                for _ in 0..2 {
                    assert_eq!(call().await.error(503), "edge_propagation_pending", "{method} {path}");
                }
                world.feed.set_mood(Mood::Well);
                repeat(call).await.expect(success);
                assert!(scopes(&world) <= entries + 1, "{method} {path}: one entry, or the one it has");
            }
            world.feed.set_mood(Mood::Failing);
            assert_eq!(call().await.status, repeated, "{method} {path}: nobody waits for nothing");
            world.feed.set_mood(Mood::Well);
        }
    }

    async fn a_permission_that_is_made_again_can_be_deleted_again(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, Duration::from_secs(30)).await;
        let name = Scope::Permission(&server.environment, "a").name();
        let mut generations = vec![];
        for _ in 0..2 {
            server.permissions(&["a"]).await;
            server.delete("/authorization/permissions/a").await.expect(204);
            generations.push(world.feed.entry(&name).unwrap().version);
        }
        assert!(generations[0] < generations[1], "records in between are not subject to the first");
    }

    async fn a_creation_succeeds_without_the_feed_too(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, PATIENCE).await;
        world.feed.set_mood(Mood::Hanging);
        let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
        assert!(server.validate(key["value"].as_str().unwrap()).await["api_key"].is_object());
        world.feed.set_mood(Mood::Well);
    }

    /// One process cannot reach the feed; another one does it for both, and each finds out from the database.
    async fn another_process_may_have_told_the_feed(db: Db) {
        let world = World::new(db).await;
        let cut_off = Process::start(&world, Duration::from_secs(30)).await;
        cut_off.pump.abort();
        let _other = Process::start(&world, PATIENCE).await;
        let key = cut_off.server.api_key(&cut_off.server.organization().await, json!({"name": "k"})).await;
        cut_off.server.delete(&format!("/api_keys/{}", id_of(&key))).await.expect(204);
        assert!(world.feed.entries().iter().any(|entry| entry.mark == Mark::Revoked));
    }

    /// Two processes, and each changes keys, tells the feed and the store, all at once.
    async fn many_changes_at_once_all_succeed(db: Db) {
        let world = World::new(db).await;
        let patience = Duration::from_secs(30);
        let processes = [Process::start(&world, patience).await, Process::start(&world, patience).await];
        let first = &processes[0].server;
        let second = processes[1].server.of_environment(&first.environment).await;
        first.permissions(&["a", "b"]).await;
        let (organization, doomed) = (first.organization().await, first.organization().await);
        let mut keys = vec![];
        for number in 0..24 {
            let of = if number % 3 == 0 { &doomed } else { &organization };
            keys.push(id_of(&first.api_key(of, json!({"name": "k", "permissions": ["a", "b"]})).await));
        }
        let one_key = async |number: usize| {
            let server = if number.is_multiple_of(2) { first } else { &second };
            match number % 3 {
                // Its organization may be gone already.
                0 => {
                    let reply = server.delete(&format!("/api_keys/{}", keys[number])).await;
                    assert!([204, 404].contains(&reply.status), "{reply:?}");
                }
                1 => drop(server.post(&format!("/api_keys/{}/expire", keys[number]), json!({})).await.expect(200)),
                _ => drop(server.delete(&format!("/api_keys/{}", keys[number])).await.expect(204)),
            }
        };
        let flush = async {
            for _ in 0..10 {
                world.flusher().flush().await.unwrap();
            }
        };
        let doomed = format!("/organizations/{doomed}");
        let (_, (), gone, a, b) = tokio::join!(
            futures::future::join_all((0..keys.len()).map(one_key)),
            flush,
            first.delete(&doomed),
            second.delete("/authorization/permissions/a"),
            first.delete("/authorization/permissions/b"),
        );
        gone.expect(200);
        a.expect(204);
        b.expect(204);
        world.feed_all().await;
        // A row that was locked when its flush ended is written once more when that flush can no longer land.
        for _ in 0..3 {
            while world.backlog().await.due {
                world.flusher().flush().await.unwrap();
            }
            world.advance(SETTLE);
        }
        assert_eq!(world.backlog().await.depth, 0);
        assert_eq!(world.versions_at_edge().await, world.versions().await);
    }

    /// Everything that locks a key, and what the key depends on, at once and again and again. On Postgres none of it may end in a
    /// deadlock, which would be a failure of ours.
    async fn changes_of_every_kind_never_wait_for_each_other_in_a_circle(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, Duration::from_secs(30)).await;
        server.permissions(&["a", "b", "c"]).await;
        let (organization, doomed) = (server.organization().await, server.organization().await);
        let mut keys = vec![];
        for number in 0..8 {
            let of = if number % 2 == 0 { &doomed } else { &organization };
            keys.push(format!("/api_keys/{}", id_of(&server.api_key(of, json!({"name": "k", "permissions": ["a", "b"]})).await)));
        }
        server.role("editor", &["a", "b", "c"]).await;
        let mut members = vec![];
        for number in 0..8 {
            let user = server.user(json!({})).await;
            let mut memberships = vec![];
            for of in [&doomed, &organization] {
                memberships.push(server.membership(of, &user, Some("editor")).await);
                server.user_api_key(&user, json!({"name": "k", "organization_id": of, "permissions": ["a", "c"]})).await;
            }
            members.push((number, user, memberships));
        }
        let expect_order = |reply: &Reply| {
            let lost_a_race = reply.status == 503 && reply.error(503) == "overloaded";
            assert!([200, 201, 404, 409, 422].contains(&reply.status) || lost_a_race, "{reply:?}");
        };
        let change_member = async |(number, user, memberships): &(usize, String, Vec<String>)| {
            for round in 0..4 {
                for membership in memberships {
                    let path = format!("/user_management/organization_memberships/{membership}");
                    let role = if round % 2 == 0 { "member" } else { "editor" };
                    expect_order(&server.put(&path, json!({"role_slug": role})).await);
                    let slugs = if round % 2 == 0 { json!(["c"]) } else { json!(["c", "b"]) };
                    expect_order(&server.put("/authorization/roles/editor/permissions", json!({"permissions": slugs})).await);
                    if *number == 1 && round == 3 {
                        expect_order(&server.delete(&path).await);
                    }
                }
            }
            if *number == 0 {
                expect_order(&server.delete(&format!("/user_management/users/{user}")).await);
            }
        };
        let change = async |key: &String, number: usize| {
            let reply = match number % 4 {
                0 => server.patch(key, json!({"permissions": ["c", "a"], "metadata": {"n": number.to_string()}})).await,
                1 => server.patch(key, json!({"permissions": ["b", "c"]})).await,
                2 => server.post(&format!("{key}/rotate"), json!({})).await,
                _ => server.post(&format!("{key}/expire"), json!({"expires_at": "2099-01-01T00:00:00Z"})).await,
            };
            expect_order(&reply);
        };
        let changes = keys.iter().flat_map(|key| (0..8).map(move |number| (key, number)));
        let doomed_path = format!("/organizations/{doomed}");
        let (_, _, gone, a, b) = tokio::join!(
            futures::future::join_all(changes.map(|(key, number)| change(key, number))),
            futures::future::join_all(members.iter().map(change_member)),
            server.delete(&doomed_path),
            server.delete("/authorization/permissions/a"),
            server.delete("/authorization/permissions/b"),
        );
        gone.expect(200);
        a.expect(204);
        b.expect(204);
        let list = server.get(&format!("/organizations/{organization}/api_keys?limit=100")).await.expect(200);
        for key in list["data"].as_array().unwrap() {
            assert!([json!([]), json!(["c"])].contains(&key["permissions"]), "{key}");
        }
        let gone = server.get(&format!("{doomed_path}/api_keys?include=revoked")).await;
        assert_eq!(gone.error(404), "entity_not_found");
    }

    /// Memberships are locked before keys, by whoever locks both.
    async fn organizations_are_deleted_while_their_members_get_other_roles(db: Db) {
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, Duration::from_secs(30)).await;
        server.role("editor", &[]).await;
        let mut doomed = vec![];
        for _ in 0..10 {
            let organization = server.organization().await;
            let user = server.user(json!({})).await;
            let membership = server.membership(&organization, &user, None).await;
            for _ in 0..4 {
                server.user_api_key(&user, json!({"name": "k", "organization_id": organization})).await;
            }
            doomed.push((format!("/organizations/{organization}"), format!("/user_management/organization_memberships/{membership}")));
        }
        let change = async |(organization, membership): &(String, String)| {
            let (changed, deleted) = tokio::join!(
                server.put(membership, json!({"role_slug": "editor"})),
                server.delete(organization),
            );
            assert!([200, 404].contains(&changed.status), "{changed:?}");
            deleted.expect(200);
        };
        futures::future::join_all(doomed.iter().map(change)).await;
    }

    /// The feed has one entry for all of them, and nobody waits until they are in the store.
    async fn a_hundred_thousand_keys_of_an_organization_are_one_entry(db: Db) {
        const KEYS: i64 = 100_000;
        let world = World::new(db).await;
        let Process { server, .. } = &Process::start(&world, Duration::from_secs(30)).await;
        very_many_keys(&world.db, &world.tenant, KEYS).await;
        let organization = &world.tenant.organization;
        let before = world.feed.appends();
        let server = server.of_environment(&world.tenant.environment).await;
        world.feed_all().await;
        server.delete(&format!("/organizations/{organization}")).await.expect(200);
        assert!(world.feed.entry(&Scope::Organization(organization).name()).is_some());
        assert!(world.backlog().await.depth >= KEYS, "they wait for the store");
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let appended: usize = world.feed.appends()[before.len()..].iter().sum();
        assert!(appended < 10, "the scope, and the key of this test's caller: {appended}");
    }
}
