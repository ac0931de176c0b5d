//! Neither dead nor slow endpoints slow down a healthy one.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tests::{
    database::Database,
    receiver::{Receiver, Reply},
    wait::{Stopwatch, eventually},
};

use super::{System, TIMEOUT, subscribe};

/// How many endpoints of a tenant accept connections and never respond. It is the most that one environment may have.
const DEAD: usize = 50;
/// How many requests of one environment may be in progress.
const IN_PROGRESS_MAX: usize = 64;
/// How many events each of them has waiting.
const WAITING: usize = 20;
/// How long the events of one round may take.
const ROUND_TIMEOUT: Duration = Duration::from_secs(600);

/// How many events the healthy endpoint gets in one round.
fn events() -> usize {
    if env::var_os("LATCHKEY_TEST_DEEP").is_some() { 10_000 } else { 1_000 }
}

/// How long it takes to revoke so many keys and deliver an event about each.
fn time_of_round(system: &System, healthy: &Receiver, events: usize) -> Duration {
    let before = healthy.count();
    let stopwatch = Stopwatch::start();
    system.revoke_keys(events);
    eventually(ROUND_TIMEOUT, "every event is delivered", || match healthy.count() - before {
        count if count == events => Ok(()),
        count => Err(count),
    });
    stopwatch.elapsed()
}

/// Adds a tenant whose endpoints are all dead, and waits until each has a request in progress. They are not of the same
/// tenant, so that the healthy endpoint has no more events than before.
fn add_dead_endpoints(system: &System) {
    let dead = Receiver::start(|_| Reply::Silence);
    let neighbor = system.server.client.with_token(&system.latchkey.create_tenant().management_key);
    for number in 0..DEAD {
        let _ = subscribe(&neighbor, &format!("{}/{number}", dead.url), &["permission.created"]);
    }
    for number in 0..WAITING {
        neighbor.create_permission(&format!("number:{number}"));
    }
    eventually(TIMEOUT, "every dead endpoint has a request in progress", || match dead.count() {
        count if count >= DEAD => Ok(()),
        count => Err(count),
    });
}

/// Of two rounds alone the slower one counts, because other tests may run meanwhile. Beside the dead endpoints the
/// first round counts: all of them have a request in progress then, and pause later.
fn dead_endpoints_take_at_most_half_of_the_pace(database: Database) {
    let system = System::start(database);
    let healthy = Receiver::with_status(200);
    let _ = system.subscribe(&healthy.url, &["api_key.revoked"]);
    let events = events();
    // So that no round pays for what is done once.
    let _ = time_of_round(&system, &healthy, 100);
    let alone = [(); 2].map(|()| time_of_round(&system, &healthy, events));
    add_dead_endpoints(&system);
    let beside = time_of_round(&system, &healthy, events);
    let waiting = system.database.session().number("SELECT COUNT(*) FROM webhook_queue");
    println!("{events} events: alone {alone:?}, beside dead endpoints {beside:?}; {waiting} deliveries wait");
    let deliveries = i64::try_from(DEAD * WAITING).expect("a small number");
    assert!(waiting > deliveries / 2, "the dead endpoints have deliveries left: {waiting}");
    let alone = alone[0].max(alone[1]);
    assert!(beside <= alone * 2, "alone {alone:?}, beside dead endpoints {beside:?}");
}

#[test]
fn dead_endpoints_do_not_slow_down_a_healthy_one_on_sqlite() {
    dead_endpoints_take_at_most_half_of_the_pace(Database::sqlite());
}

#[test]
fn dead_endpoints_do_not_slow_down_a_healthy_one_on_postgres() {
    if let Some(database) = Database::postgres() {
        dead_endpoints_take_at_most_half_of_the_pace(database);
    }
}

/// They succeed at first, so that each may have many requests in progress, and all together want more than there are.
#[test]
fn slow_endpoints_leave_connections_to_other_environments() {
    let system = System::start(Database::sqlite());
    let healthy = Receiver::with_status(200);
    let _ = system.subscribe(&healthy.url, &["api_key.revoked"]);
    let _ = time_of_round(&system, &healthy, 20);

    let is_slow = Arc::new(AtomicBool::new(false));
    let is_slow_now = Arc::clone(&is_slow);
    let slow = Receiver::start(move |_| match is_slow_now.load(Ordering::SeqCst) {
        true => Reply::Silence,
        false => Reply::Status(200),
    });
    let neighbor = system.server.client.with_token(&system.latchkey.create_tenant().management_key);
    for number in 0..DEAD {
        let _ = subscribe(&neighbor, &format!("{}/{number}", slow.url), &["permission.created"]);
    }
    for number in 0..4 {
        neighbor.create_permission(&format!("quick:{number}"));
    }
    eventually(TIMEOUT, "every quick event is delivered", || match slow.count() {
        count if count == 4 * DEAD => Ok(()),
        count => Err(count),
    });
    is_slow.store(true, Ordering::SeqCst);
    for number in 0..WAITING {
        neighbor.create_permission(&format!("slow:{number}"));
    }
    eventually(TIMEOUT, "the slow endpoints have as many requests in progress as they may", || {
        match slow.count() - 4 * DEAD {
            count if count >= IN_PROGRESS_MAX => Ok(()),
            count => Err(count),
        }
    });
    let _ = time_of_round(&system, &healthy, 20);
    assert_eq!(slow.count() - 4 * DEAD, IN_PROGRESS_MAX, "none of their requests has ended yet");
}
