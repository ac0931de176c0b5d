//! `kill -9` at the worst moments: what was acknowledged is what the edge comes to say.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;
use tests::{
    calls::{Key, text},
    database::Database,
    held_kv::HeldKv,
    http::Client,
    latchkey::Finished,
    stack::{Caller, Stack},
    wait::eventually,
};

/// Longer than a write to KV may be under way until nobody need fear any more that it will land.
const SETTLED: Duration = Duration::from_secs(90);

/// Kills the control plane and starts it again. From now on it reaches KV at this URL.
fn restart(stack: Stack, kv_url: &str) -> Stack {
    let Stack { edge, mut server, latchkey, database } = stack;
    server.process.kill();
    let latchkey = latchkey.set("edge_kv_url", kv_url);
    let server = latchkey.serve();
    Stack { edge, server, latchkey, database }
}

fn killed_between_commit_and_push(database: Database) {
    let Some(stack) = Stack::start(database) else { return };
    let kv_url = stack.edge.kv_url();
    let held = HeldKv::before(&kv_url);
    let stack = restart(stack, &held.url);
    let Caller { edge, control_plane, tenant } = stack.caller();
    let organization = control_plane.create_organization();
    let of_organization = control_plane.create_key(&organization, &[]);
    let (to_revoke, to_expire) = (control_plane.create_lone_key(), control_plane.create_lone_key());
    let (id, management_key) = stack.latchkey.create_management_key(&tenant.environment, &["*"]);
    let other = stack.edge.client.with_token(&management_key);
    for key in [&to_revoke, &to_expire, &of_organization] {
        edge.until_valid(key);
        other.until_valid(key);
    }

    held.hold();
    control_plane.revoke(&to_revoke);
    control_plane.expire(&to_expire);
    let _ = control_plane.delete(&format!("/organizations/{organization}")).expect(200);
    let created = control_plane.create_lone_key();
    let _ = stack.latchkey.run(&["management-keys", "revoke", &id]).success();
    held.until_held();
    // All of it is acknowledged, and KV has heard of nothing. The change feed has.
    let is_at_the_edge = || {
        edge.until_refused(&to_revoke, "revoked");
        edge.until_refused(&to_expire, "expired");
        edge.until_refused(&of_organization, "revoked");
        edge.until_valid(&created);
        eventually(SETTLED, "the management key is refused", || match other.validate(&created.value).status {
            401 => Ok(()),
            status => Err(status),
        });
    };
    is_at_the_edge();

    let stack = restart(stack, &kv_url);
    is_at_the_edge();
    stack.until_published(SETTLED);
    let _ = stack.latchkey.run(&["edge", "verify"]).success();
}

#[test]
fn killed_between_commit_and_push_on_sqlite() {
    killed_between_commit_and_push(Database::sqlite());
}

#[test]
fn killed_between_commit_and_push_on_postgres() {
    if let Some(database) = Database::postgres() {
        killed_between_commit_and_push(database);
    }
}

#[test]
fn a_sync_that_was_killed_goes_on_where_it_was() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let (good, revoked) = stack.settled_keys(&caller);
    let Stack { edge, mut server, latchkey, database } = stack;
    server.stop();
    edge.kv().wipe();

    // Management keys are queued first. It is killed while they are on their way.
    let held = HeldKv::before(&edge.kv_url());
    held.hold();
    let latchkey = latchkey.set("edge_kv_url", &held.url);
    let mut sync = latchkey.start(&["edge", "sync"]);
    held.until_held();
    sync.kill();
    assert!(edge.kv().names().is_empty());

    let latchkey = latchkey.set("edge_kv_url", &edge.kv_url());
    // It waits for what the killed one may still write.
    let resumed = Finished::of(latchkey.start(&["edge", "sync"]), Duration::from_secs(150));
    assert!(resumed.stderr.contains("Resuming"), "{resumed:?}");
    // The keys of customers: the three good ones and the revoked one.
    assert!(resumed.stdout.contains("Queued 4 keys"), "{resumed:?}");
    let _ = resumed.success();

    let _ = latchkey.run(&["edge", "verify"]).success();
    for key in &good {
        caller.edge.until_valid(key);
    }
    caller.edge.until_refused(&revoked, "revoked");
    // A run that reached its end is not resumed.
    assert!(!latchkey.run(&["edge", "sync"]).stderr.contains("Resuming"));
    drop((database, held));
}

/// The dead can still write: what was under way lands after newer records. It must not be the last word in KV, and the edge
/// must not believe it for a moment.
#[test]
fn a_write_of_a_killed_process_that_lands_late_is_written_over() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let kv_url = stack.edge.kv_url();
    let Caller { edge, control_plane, tenant } = stack.caller();
    edge.until_valid(&control_plane.create_lone_key());
    // So that what is held is what comes next.
    stack.until_published(SETTLED);
    let held = HeldKv::before(&kv_url);
    let stack = restart(stack, &held.url);
    held.hold();
    let key = control_plane.create_lone_key();
    held.until_held();

    let stack = restart(stack, &kv_url);
    edge.until_valid(&key);
    control_plane.revoke(&key);
    edge.until_refused(&key, "revoked");
    let (kv, place) = (stack.edge.kv(), tenant.place_of(&key.value));
    let is_tombstone = || {
        assert_eq!(edge.validate(&key.value).expect(200)["code"], "revoked");
        let sealed = kv.get(&place).ok_or("nothing")?;
        let record = stack.edge.secrets().open(&place, &sealed).map_err(|_| "nonsense")?;
        record.revoked.map(drop).ok_or("an older record")
    };
    eventually(SETTLED, "KV has the tombstone", is_tombstone);
    held.release();
    // So that the rest means something: it did land.
    eventually(SETTLED, "the late write lands", || match is_tombstone() {
        Err("an older record") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    eventually(SETTLED, "KV has the tombstone again", is_tombstone);
    stack.until_published(SETTLED);
    let _ = stack.latchkey.run(&["edge", "verify"]).success();
}

/// What a back end knows of a key that it made.
struct Known {
    key: Key,
    revocation: Revocation,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Revocation {
    NotAskedFor,
    /// Asked for, and then the server was gone. It may have happened.
    Unanswered,
    Acknowledged,
}

/// Makes keys and revokes every other one, until the server is gone.
fn make_changes(server: &Client, organization: &str, answered: &AtomicUsize) -> Vec<Known> {
    let mut known: Vec<Known> = vec![];
    let path = format!("/organizations/{organization}/api_keys");
    let body = json!({"name": "Of the stream"}).to_string();
    loop {
        let Ok(created) = server.try_send("POST", &path, Some(body.as_bytes())) else { return known };
        let created = created.expect(201);
        let key = Key { id: text(&created, "id"), value: text(&created, "value") };
        known.push(Known { key, revocation: Revocation::NotAskedFor });
        answered.fetch_add(1, Ordering::SeqCst);
        if known.len().is_multiple_of(2) {
            continue;
        }
        let middle = known.len() / 2;
        known[middle].revocation = Revocation::Unanswered;
        let path = format!("/api_keys/{}", known[middle].key.id);
        let Ok(revoked) = server.try_send("DELETE", &path, None) else { return known };
        let _ = revoked.expect(204);
        known[middle].revocation = Revocation::Acknowledged;
    }
}

fn killed_again_and_again(database: Database) {
    const TIMES: usize = 5;
    /// Changes before a kill. As the publisher flushes once a second, kills hit it at different points.
    const CHANGES: [usize; TIMES] = [3, 40, 10, 80, 25];
    let Some(mut stack) = Stack::start(database) else { return };
    let kv_url = stack.edge.kv_url();
    let caller = stack.caller();
    let organization = caller.control_plane.create_organization();
    let mut known = vec![];
    for changes in CHANGES {
        let answered = AtomicUsize::new(0);
        let more = thread::scope(|scope| {
            let stream = scope.spawn(|| make_changes(&caller.control_plane, &organization, &answered));
            eventually(Duration::from_secs(60), "the changes are made", || {
                let so_far = answered.load(Ordering::SeqCst);
                if so_far >= changes || stream.is_finished() { Ok(()) } else { Err(so_far) }
            });
            stack.server.process.kill();
            stream.join()
        });
        known.extend(more.unwrap_or_default());
        stack = restart(stack, &kv_url);
    }
    assert!(known.len() > CHANGES.iter().sum::<usize>() / 2, "{} keys were made", known.len());
    assert!(known.iter().any(|known| known.revocation == Revocation::Acknowledged));

    for Known { key, revocation } in &known {
        match revocation {
            Revocation::NotAskedFor => drop(caller.edge.until_valid(key)),
            Revocation::Acknowledged => caller.edge.until_refused(key, "revoked"),
            Revocation::Unanswered => {
                let truth = caller.control_plane.validate(&key.value).expect(200);
                let _ = caller.edge.until(key, "the edge says what the control plane says", |answer| *answer == truth);
            }
        }
    }
    let _ = stack.latchkey.run(&["edge", "verify"]).success();
}

#[test]
fn killed_again_and_again_on_sqlite() {
    killed_again_and_again(Database::sqlite());
}

#[test]
fn killed_again_and_again_on_postgres() {
    if let Some(database) = Database::postgres() {
        killed_again_and_again(database);
    }
}
