//! The change feed and the lease, in plain workerd, with the control plane's part played by hand: what an isolate does
//! when KV is stale, slow or broken, and when the feed is lost or cannot be asked.

use std::{
    collections::BTreeSet,
    env,
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use shared::{
    feed::{APPEND_MAX, Effect, Held, Mark, Position, Scope, wire},
    id::RoleId,
    record::Version,
};
use tests::{
    hand::{Hand, HandKey},
    http::Answer,
    stale_kv::{Serves, StaleKv},
    wait::{eventually, moment},
    workerd::{Plan, Reach, Workerd},
};

/// L, as `wrangler.toml` has it.
const LEASE: Duration = Duration::from_millis(2_000);

struct World {
    kv: StaleKv,
    workerd: Workerd,
    hand: Hand,
}

fn world(isolates: usize) -> Option<World> {
    world_with(isolates, false)
}

fn world_with(isolates: usize, proxied: bool) -> Option<World> {
    let kv = StaleKv::start();
    let plan = Plan { isolates, kv_port: kv.port, control_plane: "http://127.0.0.1:9", lease_ms: 2_000, proxied };
    let workerd = Workerd::start(plan)?;
    let hand = Hand::of(&workerd, &kv);
    Some(World { kv, workerd, hand })
}

impl World {
    #[track_caller]
    fn ask(&self, isolate: usize, key: &HandKey) -> Answer {
        self.hand.validate(&self.workerd.isolate(isolate), &key.value)
    }

    #[track_caller]
    fn is_valid(&self, isolate: usize, key: &HandKey) -> bool {
        self.ask(isolate, key).expect(200)["api_key"].is_object()
    }

    #[track_caller]
    fn refusal(&self, isolate: usize, key: &HandKey) -> Value {
        self.ask(isolate, key).expect(200)["code"].clone()
    }

    #[track_caller]
    fn status(&self, isolate: usize) -> Value {
        let token = self.workerd.secrets().ingress_token().to_owned();
        self.workerd.isolate(isolate).with_token(&token).get("/_edge/status").expect(200)
    }
}

#[test]
fn a_new_key_is_valid_at_once_although_kv_says_that_there_is_none() {
    let Some(world) = world(3) else { return };
    let key = world.hand.key(1);
    for isolate in 0..3 {
        assert_eq!(world.refusal(isolate, &world.hand.key(99)), "not_found");
    }
    world.kv.serve(Serves::Nothing);
    let _ = world.hand.append(vec![world.hand.change(&key, Mark::Created)]);
    for isolate in 0..3 {
        assert!(world.is_valid(isolate, &key));
    }
}

#[test]
fn a_revoked_key_is_refused_within_the_lease_although_kv_never_hears_of_it() {
    let Some(world) = world(4) else { return };
    let mut key = world.hand.key(1);
    world.hand.create(&key);
    world.kv.serve(Serves::Oldest);
    for isolate in 0..4 {
        assert!(world.is_valid(isolate, &key));
    }
    world.hand.revoke(&mut key);
    let acknowledged = moment();
    for isolate in (0..4).cycle() {
        // What was asked before the bound may be answered either way.
        let may_be_valid = acknowledged.elapsed() <= LEASE;
        let is_valid = world.is_valid(isolate, &key);
        assert!(may_be_valid || !is_valid, "accepted {:?} after the acknowledgement", acknowledged.elapsed());
        if acknowledged.elapsed() > LEASE + Duration::from_secs(1) {
            break;
        }
    }
    for isolate in 0..4 {
        assert_eq!(world.refusal(isolate, &key), "revoked");
    }
}

#[test]
fn a_hot_key_costs_no_look_up() {
    let Some(world) = world(1) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    assert!(world.is_valid(0, &key));
    let (before, reads) = (world.status(0), world.kv.reads());
    for _ in 0..100 {
        assert!(world.is_valid(0, &key));
    }
    let after = world.status(0);
    assert_eq!(world.kv.reads(), reads);
    assert_eq!((&after["kv_reads"], &after["feed_reads"]), (&before["kv_reads"], &before["feed_reads"]));
}

#[test]
fn a_change_is_taken_from_the_feed_when_kv_has_the_state_before_it() {
    let Some(world) = world(2) else { return };
    let mut key = world.hand.key(1);
    world.hand.create(&key);
    assert!(world.is_valid(0, &key));
    world.kv.serve(Serves::Oldest);
    key.record.name = "Renamed".to_owned();
    world.hand.next_version(&mut key);
    let _ = world.hand.append(vec![world.hand.change(&key, Mark::Changed)]);
    thread::sleep(LEASE);
    for isolate in 0..2 {
        assert_eq!(world.ask(isolate, &key).expect(200)["api_key"]["name"], "Renamed");
    }
}

#[test]
fn a_scope_narrows_every_key_by_one_entry() {
    let Some(world) = world(2) else { return };
    let keys = [1, 2, 3].map(|number| world.hand.key(number));
    for key in &keys {
        world.hand.create(key);
        assert!(world.is_valid(0, key));
    }
    let environment = keys[0].record.environment.clone();
    let permission = Scope::Permission(&environment, "posts:read");
    let _ = world.hand.append(vec![world.hand.scope(&permission, Effect::Revoke)]);
    thread::sleep(LEASE);
    for isolate in 0..2 {
        assert_eq!(world.ask(isolate, &keys[0]).expect(200)["api_key"]["permissions"], json!([]));
    }
    let organization = world.hand.organization();
    let _ = world.hand.append(vec![world.hand.scope(&Scope::Organization(&organization), Effect::Revoke)]);
    thread::sleep(LEASE);
    for (isolate, key) in (0..2).flat_map(|isolate| keys.iter().map(move |key| (isolate, key))) {
        assert_eq!(world.refusal(isolate, key), "revoked");
    }
}

#[test]
fn without_the_feed_nothing_is_decided_and_with_it_everything_is_again() {
    let Some(mut world) = world(2) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    assert!(world.is_valid(1, &key));
    // The object is another one for a moment: empty, and so closed.
    world.workerd.kill();
    world.workerd.lose_the_feed();
    world.workerd.start_again();
    for isolate in 0..2 {
        let answer = world.ask(isolate, &key);
        assert_eq!(answer.error(503), "freshness_unknown");
        let pause: u8 = answer.header("retry-after").and_then(|pause| pause.parse().ok()).unwrap_or_default();
        assert!((1..=3).contains(&pause));
    }
    world.hand.open();
    for isolate in 0..2 {
        assert!(world.is_valid(isolate, &key));
    }
}

#[test]
fn while_the_feed_cannot_be_reached_nothing_is_accepted_for_longer_than_the_lease() {
    let Some(world) = world_with(3, true) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    for reach in [Reach::Fails, Reach::Hangs, Reach::Fails] {
        for isolate in 1..3 {
            eventually(Duration::from_secs(10), "isolates have recovered", || {
                let answer = world.ask(isolate, &key);
                if answer.status == 200 { Ok(()) } else { Err(answer.text) }
            });
            assert!(world.is_valid(isolate, &key));
        }
        world.workerd.reach_feed(reach);
        let gone = moment();
        while gone.elapsed() < 2 * LEASE {
            for isolate in 1..3 {
                let asked = gone.elapsed();
                let answer = world.ask(isolate, &key);
                assert!(
                    answer.status != 200 || asked <= LEASE,
                    "accepted, asked for {asked:?} after the feed was gone"
                );
            }
        }
        for isolate in 1..3 {
            assert_eq!(world.ask(isolate, &key).error(503), "freshness_unknown");
        }
        world.workerd.reach_feed(Reach::Passes);
    }
}

#[test]
fn a_kv_that_fails_or_dawdles_costs_availability_and_nothing_else() {
    let Some(world) = world(1) else { return };
    let (hot, cold) = (world.hand.key(1), world.hand.key(2));
    world.hand.create(&hot);
    assert!(world.is_valid(0, &hot));
    world.hand.store(&cold);
    world.kv.serve(Serves::Errors);
    assert_eq!(world.ask(0, &cold).error(503), "edge_store_unavailable");
    assert!(world.is_valid(0, &hot));
    world.kv.serve(Serves::Slowly(300));
    assert!(world.is_valid(0, &cold));
}

#[test]
fn a_record_that_was_sealed_too_long_ago_is_not_decided_on() {
    let Some(world) = world(1) else { return };
    let mut key = world.hand.key(1);
    let week = 7 * 24 * 60 * 60 * 1000;
    key.record.sealed_at = key.record.sealed_at.plus_millis(-week - 60_000);
    world.hand.store(&key);
    assert_eq!(world.ask(0, &key).error(503), "record_too_old");
    key.record.sealed_at = key.record.sealed_at.plus_millis(120_000);
    world.hand.store(&key);
    assert!(world.is_valid(0, &key));
}

#[test]
fn a_management_key_that_was_revoked_asks_nothing_any_more() {
    let Some(world) = world(2) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    assert!(world.is_valid(0, &key) && world.is_valid(1, &key));
    world.hand.revoke_management_key();
    thread::sleep(LEASE);
    for isolate in 0..2 {
        assert_eq!(world.ask(isolate, &key).error(401), "unauthorized");
    }
}

#[test]
fn keys_that_nobody_knows_are_refused_and_too_many_of_them_put_off() {
    let Some(world) = world(1) else { return };
    let known = world.hand.key(0);
    world.hand.create(&known);
    let put_off = AtomicU32::new(0);
    // Several at a time, so that a slow machine asks faster than it may, too.
    thread::scope(|scope| {
        for first in (1_000..1_400).step_by(50) {
            let (world, put_off) = (&world, &put_off);
            scope.spawn(move || {
                for number in first..first + 50 {
                    let answer = world.ask(0, &world.hand.key(number));
                    match answer.status {
                        200 => assert_eq!(answer.expect(200)["code"], "not_found"),
                        _ if answer.error(503) == "too_many_unknown_keys" => {
                            put_off.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    let put_off = put_off.into_inner();
    assert!(put_off > 0, "400 at once are more than a caller may ask");
    assert!(world.is_valid(0, &known), "a key that exists is never put off");
}

#[test]
fn the_feed_keeps_the_strictest_and_can_be_told_the_same_again() {
    let Some(world) = world(1) else { return };
    let (mut key, hand) = (world.hand.key(1), &world.hand);
    let created = hand.change(&key, Mark::Created);
    let first = hand.append(vec![created.clone()]);
    let again = hand.append(vec![created.clone()]);
    assert_eq!((first.status.head, first.held), (again.status.head, again.held), "a repetition is no news");
    hand.revoke(&mut key);
    let late = hand.append(vec![created]);
    assert_eq!(late.held, [Held { version: key.record.version, revoked: true }]);
    // Not even a later version revives it.
    key.record.revoked = None;
    hand.next_version(&mut key);
    let revived = hand.append(vec![hand.change(&key, Mark::Changed)]);
    assert!(revived.held[0].revoked && revived.held[0].covers(Version(i64::MAX)));
    assert_eq!(world.refusal(0, &key), "revoked");
}

#[test]
fn a_feed_that_has_lost_something_closes() {
    let Some(world) = world(1) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    assert!(world.is_valid(0, &key));
    let status = world.hand.append(vec![]).status;
    let known = Position { epoch: status.epoch, sequence: status.head + 1 };
    let after = world.hand.append_knowing(Some(known), vec![]).status;
    assert_ne!(after.epoch, status.epoch);
    thread::sleep(LEASE);
    assert_eq!(world.ask(0, &key).error(503), "freshness_unknown");
    world.hand.open();
    assert!(world.is_valid(0, &key));
}

#[test]
fn a_retired_feed_grants_nothing_and_takes_nothing() {
    let Some(world) = world(1) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    let _ = world.hand.ingress.post(wire::RETIRE, &json!({})).expect(200);
    thread::sleep(LEASE);
    assert_eq!(world.ask(0, &key).error(503), "freshness_unknown");
    let change = world.hand.change(&key, Mark::Changed);
    let append = json!({"known": null, "changes": [change]});
    assert_eq!(world.hand.ingress.post(wire::APPEND, &append).error(410), "feed_retired");
}

#[test]
fn the_ingress_is_for_the_control_plane_and_bounds_what_it_reads() {
    let Some(world) = world(2) else { return };
    let stranger = world.workerd.isolate(1);
    let tokens = ["", "x", world.hand.management_key.as_str(), world.workerd.secret.as_str()];
    let routes = [wire::APPEND, wire::OPEN, wire::RETIRE, wire::ENTRIES, wire::CHANGES];
    for (token, route) in tokens.iter().flat_map(|token| routes.map(|route| (token, route))) {
        assert_eq!(stranger.with_token(token).post(route, &json!({})).error(401), "unauthorized", "{route}");
    }
    assert_eq!(stranger.get(wire::STATUS).error(401), "unauthorized");
    let ingress = stranger.with_token(world.workerd.secrets().ingress_token());
    for bad in [json!([]), json!(null), json!({"known": 1}), json!({"changes": "x"})] {
        assert_eq!(ingress.post(wire::APPEND, &bad).error(400), "bad_request", "{bad}");
    }
    let change = world.hand.change(&world.hand.key(1), Mark::Created);
    let many = json!({"known": null, "changes": vec![change; APPEND_MAX + 1]});
    assert_eq!(ingress.post(wire::APPEND, &many).error(413), "payload_too_large");
    let long = json!({"known": null, "changes": [], "x": "x".repeat(wire::BODY_LIMIT)}).to_string();
    // workerd reads no further once it has been answered, so whoever sends so much may not come to read the answer.
    let refused = ingress.try_send("POST", wire::APPEND, Some(long.as_bytes()));
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.error(413) == "payload_too_large"));
    assert_eq!(ingress.get("/_edge/feed/page").error(404), "route_not_found");
    assert_eq!(ingress.get("/_edge/other").error(404), "route_not_found");
}

#[test]
fn requests_that_come_together_share_one_poll() {
    let Some(world) = world(1) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    assert!(world.is_valid(0, &key));
    for _ in 0..5 {
        thread::sleep(LEASE);
        let before = world.status(0)["polls"].as_u64().expect("a number");
        thread::scope(|scope| {
            let all: Vec<_> = (0..40).map(|_| scope.spawn(|| world.is_valid(0, &key))).collect();
            assert!(all.into_iter().all(|one| one.join().expect("no panic")));
        });
        let polls = world.status(0)["polls"].as_u64().expect("a number") - before;
        assert!((1..=2).contains(&polls), "40 requests polled {polls} times");
    }
}

#[test]
fn a_client_that_goes_away_while_it_polls_hinders_nobody() {
    let Some(world) = world(1) else { return };
    let key = world.hand.key(1);
    world.hand.create(&key);
    let body = json!({ "value": key.value }).to_string();
    let head = format!(
        "POST /api_keys/validations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        world.hand.management_key,
        body.len()
    );
    let address = world.workerd.urls[0].trim_start_matches("http://").to_owned();
    for _ in 0..5 {
        thread::sleep(LEASE);
        for _ in 0..10 {
            let mut gone = TcpStream::connect(&address).expect("workerd listens");
            gone.write_all(head.as_bytes()).and_then(|()| gone.write_all(body.as_bytes())).expect("workerd reads");
        }
        assert!(world.is_valid(0, &key));
    }
}

/// Reports, and asserts no time: machines differ.
#[test]
fn a_cold_isolate_reads_a_hundred_thousand_changes_before_it_answers() {
    let Some(mut world) = world(1) else { return };
    let key = world.hand.key(0);
    world.hand.create(&key);
    let pages: u64 = if env::var_os("LATCHKEY_TEST_DEEP").is_some() { 399 } else { 100 };
    let began = moment();
    for page in 0..pages {
        let changes = (0..1_000).map(|number| world.hand.bare_change(page * 1_000 + number));
        let _ = world.hand.append(changes.collect());
    }
    let appended = began.elapsed();
    world.workerd.kill();
    world.workerd.start_again();
    let empty = world.status(0)["memory"].as_u64().expect("a number");
    let began = moment();
    assert!(world.is_valid(0, &key));
    let cold = began.elapsed();
    let status = world.status(0);
    assert_eq!(status["floors"], pages * 1_000);
    let bytes = status["memory"].as_u64().expect("a number") - empty;
    let report: wire::Report =
        serde_json::from_value(world.hand.ingress.get(wire::STATUS).expect(200)).expect("it is as the wire says");
    let began = moment();
    assert!(world.is_valid(0, &key));
    let warm = began.elapsed();
    let _ = writeln!(
        std::io::stderr(),
        "{pages},000 changes: appended in {appended:.1?}; a cold isolate answers after {cold:.0?} (a warm one after {warm:.1?}) and \
         takes {} KB more; the feed takes {} KB",
        bytes / 1000,
        report.bytes / 1000,
    );
}

/// Roles with few and with many permissions: an isolate bears as many as the feed takes, and the feed says when it is full.
#[test]
fn a_cold_isolate_holds_a_feed_that_is_full_of_roles() {
    for (permissions, length) in [(20, 12), (200, 48)] {
        let Some(mut world) = world(1) else { return };
        let key = world.hand.key(0);
        world.hand.create(&key);
        let effect: BTreeSet<String> = (0..permissions).map(|number| format!("{number:0length$}")).collect();
        let change = |number: usize| {
            let role = RoleId::try_from(format!("role_01KF0JZ4G0{number:0>16}")).expect("an id");
            world.hand.scope(&Scope::Role(&role), Effect::AllowOnly(effect.clone()))
        };
        // No longer than a body may be.
        let at_once = APPEND_MAX.min(3_000_000 / (permissions * length));
        let mut count = 0;
        let refused = loop {
            let append = json!({"known": null, "changes": (count..count + at_once).map(change).collect::<Vec<_>>()});
            let answer = world.hand.ingress.post(wire::APPEND, &append);
            if answer.status != 200 {
                break answer;
            }
            count += at_once;
        };
        assert_eq!(refused.error(507), "feed_full");
        let weight = |world: &World| world.hand.ingress.get(wire::STATUS).expect(200)["entries"].clone();
        let before = weight(&world);
        world.workerd.kill();
        world.workerd.start_again();
        assert_eq!(weight(&world), before, "added up or read from the rows, it is the same");
        let empty = world.status(0)["memory"].as_u64().expect("a number");
        assert!(world.is_valid(0, &key));
        let status = world.status(0);
        assert_eq!(status["floors"], count);
        let bytes = status["memory"].as_u64().expect("a number") - empty;
        let _ = writeln!(std::io::stderr(), "{count} roles of {permissions} permissions take {} KB", bytes / 1000);
        // Of the 128 MB that an isolate may have, and 32 MB are for records.
        assert!(bytes < 64_000_000, "{count} roles of {permissions} permissions take {bytes} bytes");
    }
}
