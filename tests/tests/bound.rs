//! The claim of docs/CONSISTENCY.md, on real parts: eight isolates in plain workerd, one change feed, the real control plane,
//! and a KV that serves whatever it ever held. Every single answer is compared with the bound, by the clock of this machine.
//!
//! What is measured: when the answer that acknowledges a change has *come*, and when a request for a validation is *sent*. A
//! decision is made after its request was sent, so an acceptance that was asked for later than L after the acknowledgement
//! breaks the claim. (One that was asked for earlier proves nothing either way.)

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop, and say why")]

use std::{
    collections::HashMap,
    io::Write,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use shared::feed::{Position, wire};
use tests::{
    calls::{Key, Member},
    database::Database,
    fleet::{Fleet, RECOVERY},
    hand::append_to,
    http::Client,
    process::Signal,
    stale_kv::Serves,
    wait::{eventually, moment},
};

const ISOLATES: usize = 8;
/// L, as `wrangler.toml` has it.
const LEASE: Duration = Duration::from_millis(2_000);
/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(20);

/// What KV does, in turn.
const SERVES: [Serves; 7] = [
    Serves::Oldest,
    Serves::AnyEver,
    Serves::Newest,
    Serves::Slowly(40),
    Serves::Oldest,
    Serves::Nothing,
    Serves::Errors,
];

/// What is known of a key by whoever changes it.
#[derive(Debug, Clone)]
struct Known {
    key: Key,
    organization: String,
    /// Whose it is, if it is a user's.
    member: Option<Member>,
    /// A permission that it was made with, and when the answer came that acknowledged that it has it no more.
    permission: String,
    permission_lost: Option<Instant>,
    /// When the answer came that acknowledged its end.
    ended: Option<Instant>,
    /// Whether its end was asked for, acknowledged or not.
    is_ending: bool,
}

/// What came of the load.
#[derive(Debug, Default)]
struct Tally {
    accepted: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    accepted_before_the_bound: AtomicU64,
    /// The latest, in milliseconds after the acknowledgement, at which an acceptance was asked for.
    latest: AtomicU64,
}

/// The keys, and what became of them.
#[derive(Debug, Default)]
struct Keys {
    known: Mutex<HashMap<String, Known>>,
    tally: Tally,
    is_over: AtomicBool,
}

impl Keys {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, key: Key, organization: &str, member: Option<Member>, permission: &str) {
        let known = Known {
            key: key.clone(),
            organization: organization.to_owned(),
            member,
            permission: permission.to_owned(),
            permission_lost: None,
            ended: None,
            is_ending: false,
        };
        self.lock().insert(key.id, known);
    }

    fn some_id(&self, seed: usize, wanted: impl Fn(&Known) -> bool) -> Option<String> {
        let known = self.lock();
        let mut ids: Vec<&String> = known.iter().filter(|(_, known)| wanted(known)).map(|(id, _)| id).collect();
        ids.sort();
        ids.get(seed % ids.len().max(1)).map(|id| (*id).clone())
    }

    fn ending(&self, wanted: impl Fn(&Known) -> bool) {
        self.lock().values_mut().filter(|known| wanted(known)).for_each(|known| known.is_ending = true);
    }

    fn lost(&self, wanted: impl Fn(&Known) -> bool) {
        let now = moment();
        for known in self.lock().values_mut().filter(|known| wanted(known)) {
            known.permission_lost.get_or_insert(now);
        }
    }

    fn ended(&self, wanted: impl Fn(&Known) -> bool) {
        let now = moment();
        for known in self.lock().values_mut().filter(|known| wanted(known)) {
            known.ended.get_or_insert(now);
        }
    }

    /// Asks an isolate about key after key until the load is over, and compares each answer with the bound.
    fn validate(&self, isolate: &Client, seed: usize) {
        let mut round = seed;
        while !self.is_over.load(Ordering::Relaxed) {
            round += 7;
            let Some(id) = self.some_id(round, |_| true) else { continue };
            let key = self.lock()[&id].key.clone();
            let sent = moment();
            let body = json!({ "value": key.value }).to_string();
            // workerd may be away.
            let Ok(answer) = isolate.try_send("POST", "/api_keys/validations", Some(body.as_bytes())) else { continue };
            let known = self.lock()[&id].clone();
            if answer.status != 200 {
                assert_eq!(answer.status, 503, "{}", answer.text);
                self.tally.unknown.fetch_add(1, Ordering::Relaxed);
            } else if let Some(permissions) = answer.expect(200)["api_key"]["permissions"].as_array() {
                let late = known.permission_lost.and_then(|lost| sent.checked_duration_since(lost));
                let has_it = permissions.contains(&json!(known.permission));
                assert!(
                    !has_it || late.is_none_or(|late| late <= LEASE),
                    "{id} had its permission {late:?} after the end of it"
                );
                self.tally.accepted.fetch_add(1, Ordering::Relaxed);
                let Some(late) = known.ended.and_then(|ended| sent.checked_duration_since(ended)) else { continue };
                assert!(late <= LEASE, "{id} was accepted, asked for {late:?} after its end was acknowledged");
                self.tally.accepted_before_the_bound.fetch_add(1, Ordering::Relaxed);
                self.tally.latest.fetch_max(u64::try_from(late.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            } else {
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
                assert!(known.is_ending, "{id} is good, but was refused: {}", answer.text);
            }
        }
    }
}

/// Makes keys and ends them, in every way there is, until the load is over. Calls that are not acknowledged are repeated
/// until they are.
fn change(world: &Fleet, keys: &Keys) {
    let mut round = 0_usize;
    while !keys.is_over.load(Ordering::Relaxed) {
        round += 1;
        let api = world.some_control_plane(round);
        world.kv.serve(SERVES[round % SERVES.len()]);
        let organization = api.create_organization();
        let permission = format!("round:{round}");
        api.create_permission(&permission);
        for _ in 0..2 {
            keys.add(api.create_key(&organization, &[&permission]), &organization, None, &permission);
        }
        api.create_role(&organization, ROLE, &[&permission]);
        for _ in 0..2 {
            let member = api.create_member(&organization, ROLE);
            let key = api.create_key_of(&member, &organization, &[&permission]);
            keys.add(key, &organization, Some(member), &permission);
        }
        end_something(&api, keys, round);
    }
}

/// A role of each organization's own.
const ROLE: &str = "org-role";

fn end_something(api: &Client, keys: &Keys, round: usize) {
    let of_a_user = round % 9 >= 5;
    let Some(id) = keys.some_id(round, |known| !known.is_ending && (known.member.is_some() || !of_a_user)) else {
        return;
    };
    let known = keys.lock()[&id].clone();
    let is_it = |known: &Known| known.key.id == id;
    let call = |method: &str, path: &str, body: Option<&[u8]>, success: u16| {
        until_acknowledged(|| api.try_send(method, path, body), success);
    };
    match (round % 9, &known.member) {
        (5, Some(_)) => {
            let roles = format!("/authorization/organizations/{}/roles", known.organization);
            call("PUT", &format!("{roles}/{ROLE}/permissions"), Some(br#"{"permissions": []}"#), 200);
            keys.lost(|other| other.organization == known.organization && other.member.is_some());
        }
        (6, Some(member)) => {
            keys.ending(is_it);
            call("DELETE", &format!("/user_management/users/{}", member.user), None, 200);
            keys.ended(is_it);
        }
        (7, Some(member)) => {
            keys.ending(is_it);
            let memberships = "/user_management/organization_memberships";
            call("PUT", &format!("{memberships}/{}/deactivate", member.membership), None, 200);
            keys.ended(is_it);
        }
        (8, Some(member)) => {
            keys.ending(is_it);
            call("DELETE", &format!("/user_management/organization_memberships/{}", member.membership), None, 200);
            keys.ended(is_it);
        }
        (4, _) => {
            if known.permission_lost.is_none() {
                call("DELETE", &format!("/authorization/permissions/{}", known.permission), None, 204);
                keys.lost(|other| other.permission == known.permission);
            }
        }
        (0, _) => {
            let is_its = |other: &Known| other.organization == known.organization;
            keys.ending(is_its);
            call("DELETE", &format!("/organizations/{}", known.organization), None, 200);
            keys.ended(is_its);
        }
        (1, _) => {
            keys.ending(is_it);
            call("POST", &format!("/api_keys/{id}/expire"), Some(b"{}"), 200);
            keys.ended(is_it);
        }
        (2, _) => {
            keys.ending(is_it);
            call("PATCH", &format!("/api_keys/{id}"), Some(br#"{"enabled": false}"#), 200);
            keys.ended(is_it);
        }
        _ => {
            keys.ending(is_it);
            call("DELETE", &format!("/api_keys/{id}"), None, 204);
            keys.ended(is_it);
        }
    }
}

/// Repeats a call as a client does: until it succeeds.
#[track_caller]
fn until_acknowledged(call: impl Fn() -> Result<tests::http::Answer, ureq::Error>, success: u16) {
    eventually(RECOVERY, "a change is acknowledged", || match call() {
        Ok(answer) if answer.status == success => Ok(()),
        Ok(answer) if answer.status == 503 => Err(answer.text),
        Ok(answer) => panic!("{} {}", answer.status, answer.text),
        Err(error) => Err(error.to_string()),
    });
}

/// Runs the load while `meanwhile` does something to the parts, and then looks at every key on every isolate.
fn under_load(world: &Fleet, meanwhile: impl FnOnce(&Fleet)) {
    let keys = Keys::default();
    thread::scope(|scope| {
        let stop_on_panic = StopOnDrop(&keys.is_over);
        let mut workers: Vec<_> = (0..ISOLATES)
            .map(|number| {
                let isolate = world.isolate(number);
                let keys = &keys;
                scope.spawn(move || keys.validate(&isolate, number * 1_000))
            })
            .collect();
        workers.push(scope.spawn(|| change(world, &keys)));
        meanwhile(world);
        drop(stop_on_panic);
        for worker in workers {
            worker.join().expect("no answer was out of bounds");
        }
    });
    settle(world, &keys);
    let tally = &keys.tally;
    let latest = tally.latest.load(Ordering::Relaxed);
    let _ = writeln!(
        std::io::stderr(),
        "{} keys: {tally:?}; the latest acceptance was asked for {latest} ms after an acknowledgement, of {} allowed",
        keys.lock().len(),
        LEASE.as_millis()
    );
    assert!(tally.accepted.load(Ordering::Relaxed) > 100 && tally.refused.load(Ordering::Relaxed) > 100, "{tally:?}");
}

/// Ends the load, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Every key that ended is refused by every isolate, and every other one is accepted, once KV is as it should be.
fn settle(world: &Fleet, keys: &Keys) {
    world.kv.serve(Serves::Newest);
    world.until_every_isolate_answers();
    let known: Vec<Known> = keys.lock().values().cloned().collect();
    for number in 0..ISOLATES {
        let isolate = world.isolate(number);
        for known in &known {
            eventually(RECOVERY, "a key is accepted or refused, as it should be", || {
                let answer = isolate.validate(&known.key.value);
                let is_accepted = answer.status == 200 && answer.expect(200)["api_key"].is_object();
                assert!(!(is_accepted && known.ended.is_some_and(|ended| ended.elapsed() > LEASE)), "{known:?}");
                let as_it_should_be = answer.status == 200 && (is_accepted || known.is_ending);
                if as_it_should_be { Ok(()) } else { Err(answer.text) }
            });
        }
    }
}

#[test]
fn revoked_keys_are_refused_within_the_bound_under_load() {
    let Some(world) = Fleet::start(ISOLATES, Database::sqlite()) else { return };
    under_load(&world, |_| thread::sleep(LOAD));
}

#[test]
fn revoked_keys_are_refused_within_the_bound_under_load_of_two_control_planes() {
    let Some(database) = Database::postgres() else { return };
    let Some(world) = Fleet::start(ISOLATES, database).map(Fleet::with_another) else { return };
    under_load(&world, |_| thread::sleep(LOAD));
}

#[test]
fn revoked_keys_are_refused_within_the_bound_while_both_sides_crash() {
    let Some(mut world) = Fleet::start(ISOLATES, Database::sqlite()) else { return };
    let url = world.server.url.clone();
    let api = world.control_plane();
    let organization = api.create_organization();
    let keys: Vec<Key> = (0..20).map(|_| api.create_key(&organization, &[])).collect();
    for (round, key) in keys.iter().enumerate() {
        let is_good = |world: &Fleet| world.isolate(round % ISOLATES).validate(&key.value);
        eventually(RECOVERY, "a new key is accepted", || match is_good(&world) {
            answer if answer.status == 200 && answer.expect(200)["api_key"].is_object() => Ok(()),
            answer => Err(answer.text),
        });
        world.kv.serve(Serves::Oldest);
        let path = format!("/api_keys/{}", key.id);
        until_acknowledged(|| api.try_send("DELETE", &path, None), 204);
        let acknowledged = moment();
        let what = EVENTS[round % EVENTS.len()];
        match round % EVENTS.len() {
            0 => {
                world.workerd.kill();
                world.workerd.start_again();
            }
            1 => {
                world.server.process.signal(Signal::SIGKILL);
                world.server = world.latchkey.serve();
                assert_eq!(world.server.url, url);
            }
            2 => {
                world.workerd.kill();
                world.workerd.lose_the_feed();
                world.workerd.start_again();
            }
            3 => roll_back_the_feed(&world),
            _ => {
                let _ = world.latchkey.run(&["edge", "retire", "--yes"]).success();
                world.workerd.kill();
                world.workerd.move_feed();
                world.workerd.start_again();
            }
        }
        let back = moment();
        let mut decides_again = [None; ISOLATES];
        while acknowledged.elapsed() < LEASE + Duration::from_secs(1) {
            for (number, decides_again) in decides_again.iter_mut().enumerate() {
                let sent = acknowledged.elapsed();
                let answer = world.isolate(number).validate(&key.value);
                let is_accepted = answer.status == 200 && answer.expect(200)["api_key"].is_object();
                assert!(!is_accepted || sent <= LEASE, "accepted, asked for {sent:?} after the acknowledgement");
                if answer.status == 200 {
                    decides_again.get_or_insert(back.elapsed());
                }
            }
        }
        world.until_every_isolate_answers();
        let _ = writeln!(
            std::io::stderr(),
            "{what}: the last isolate decides again {:.1?} after the part is back",
            decides_again.iter().map(|decided| decided.unwrap_or(back.elapsed())).max().unwrap_or_default()
        );
        for number in 0..ISOLATES {
            assert_eq!(world.isolate(number).validate(&key.value).expect(200)["code"], "revoked");
        }
    }
}

const EVENTS: [&str; 5] =
    ["workerd is killed", "latchkey is killed", "the feed is lost", "the feed goes back", "the feed is moved"];

/// Makes the feed believe that it has lost something, which closes it.
fn roll_back_the_feed(world: &Fleet) {
    let ingress = world.workerd.isolate(0).with_token(world.workerd.secrets().ingress_token());
    let report: wire::Report = serde_json::from_value(ingress.get(wire::STATUS).expect(200)).expect("as the wire says");
    let known = Position { epoch: report.status.epoch, sequence: report.status.head + 1_000 };
    let after = append_to(&ingress, Some(known), vec![]);
    assert_ne!(after.status.epoch, report.status.epoch);
}
