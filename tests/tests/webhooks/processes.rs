//! The server is killed as `kill -9` does, and two servers share a database.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::Value;
use tests::{
    database::Database,
    receiver::{Gate, Receiver, Reply},
    wait::eventually,
};

use super::{System, TIMEOUT};

/// How many events there are.
const EVENTS: usize = 400;
/// Before responses are held back, so many were given.
const BEFORE: usize = 100;
/// The most requests of one process that are in progress at an endpoint.
const IN_PROGRESS_MAX: usize = 16;
/// A claim of a process that is gone is valid for a minute.
const LEASE: Duration = Duration::from_secs(60);

/// The ids of the events of revoked keys in the log.
fn revocations(system: &System) -> HashSet<String> {
    let events = system.client().events(&["api_key.revoked"]);
    let ids: HashSet<String> = events.iter().map(|event| text_of(&event["id"])).collect();
    assert_eq!((ids.len(), events.len()), (EVENTS, EVENTS));
    ids
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn killed_while_sending(database: Database, end_leases: impl FnOnce(&System)) {
    let mut system = System::start(database);
    let (gate, requests) = (Gate::default(), AtomicUsize::new(0));
    let receiver = Receiver::start({
        let gate = gate.clone();
        move |_| {
            if requests.fetch_add(1, Ordering::SeqCst) >= BEFORE {
                gate.pass();
            }
            Reply::Status(200)
        }
    });
    let _ = system.subscribe(&receiver.url, &["api_key.revoked"]);
    system.revoke_keys(EVENTS);
    eventually(TIMEOUT, "requests are in progress", || match receiver.count() {
        count if count >= BEFORE + IN_PROGRESS_MAX / 2 => Ok(()),
        count => Err(count),
    });
    system.kill();
    gate.open();
    let in_progress: HashSet<String> = system
        .database
        .session()
        .texts(
            "SELECT d.event_id FROM webhook_queue q JOIN webhook_deliveries d ON d.id = q.delivery_id
             WHERE q.claim IS NOT NULL",
        )
        .into_iter()
        .collect();
    assert!((1..=IN_PROGRESS_MAX).contains(&in_progress.len()), "{}", in_progress.len());

    system.restart();
    end_leases(&system);
    eventually(LEASE + TIMEOUT, "no delivery is left", || {
        let left = system.database.session().number("SELECT COUNT(*) FROM webhook_queue");
        let events = system.database.session().number("SELECT COUNT(*) FROM event_queue");
        if left + events == 0 { Ok(()) } else { Err(format!("{left} deliveries, {events} changes")) }
    });
    let times = receiver.times_of_events();
    assert_eq!(times.keys().cloned().collect::<HashSet<_>>(), revocations(&system));
    let repeated: HashSet<String> = times.into_iter().filter(|(_, times)| *times > 1).map(|(event, _)| event).collect();
    println!("{} were in progress, {} came twice", in_progress.len(), repeated.len());
    assert!(repeated.is_subset(&in_progress), "only requests that were in progress are repeated");
}

/// It waits for the end of the leases, which takes a minute.
#[test]
fn killed_server_delivers_every_event_after_restart_on_sqlite() {
    killed_while_sending(Database::sqlite(), |_| {});
}

/// The claims are as if they had been made a minute earlier.
#[test]
fn killed_server_delivers_every_event_after_restart_on_postgres() {
    let Some(database) = Database::postgres() else { return };
    killed_while_sending(database, |system| {
        let lease = LEASE.as_millis();
        system.database.execute(&format!(
            "UPDATE webhook_queue SET next_attempt_at = next_attempt_at - {lease} WHERE claim IS NOT NULL"
        ));
    });
}

/// Responses are held back until one process alone could not have so many requests in progress. So both take part.
#[test]
fn two_processes_deliver_each_event_once() {
    let Some(database) = Database::postgres() else { return };
    let system = System::start(database);
    let _other = system.latchkey.serve();
    let (gate, requests) = (Gate::default(), AtomicUsize::new(0));
    let receiver = Receiver::start({
        let gate = gate.clone();
        move |_| {
            let number = requests.fetch_add(1, Ordering::SeqCst);
            if number >= BEFORE + IN_PROGRESS_MAX {
                gate.open();
            } else if number >= BEFORE {
                gate.pass();
            }
            Reply::Status(200)
        }
    });
    let _ = system.subscribe(&receiver.url, &["api_key.revoked"]);
    system.revoke_keys(EVENTS);
    let ids = revocations(&system);
    eventually(TIMEOUT, "every event is delivered", || {
        let count = receiver.times_of_events().len();
        let left = system.database.session().number("SELECT COUNT(*) FROM webhook_queue");
        if count == EVENTS && left == 0 { Ok(()) } else { Err(format!("{count} events, {left} left")) }
    });
    let times = receiver.times_of_events();
    assert_eq!(times.keys().cloned().collect::<HashSet<_>>(), ids);
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
}

/// The connection of the transaction that claims the delivery is closed by the database before the transaction is
/// committed.
#[test]
fn delivery_is_sent_although_the_database_failed_while_it_was_claimed() {
    const BLOCKED: &str = "FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%webhook_replays%'";
    let Some(database) = Database::postgres() else { return };
    let system = System::start(database);
    let receiver = Receiver::with_status(200);
    let _ = system.subscribe(&receiver.url, &["permission.created"]);
    let (mut lock, mut session) = (system.database.session(), system.database.session());
    // A claim comes before the replays in the same transaction. Readers do not wait for this lock.
    lock.execute("BEGIN; LOCK TABLE webhook_replays IN EXCLUSIVE MODE");
    system.client().create_permission("posts:read");
    eventually(TIMEOUT, "the transaction waits", || match session.number(&format!("SELECT COUNT(*) {BLOCKED}")) {
        0 => Err("it does not"),
        _ => Ok(()),
    });
    session.execute(&format!("SELECT pg_terminate_backend(pid) {BLOCKED}"));
    lock.execute("ROLLBACK");
    eventually(TIMEOUT, "the event is delivered", || match receiver.count() {
        0 => Err("it is not"),
        _ => Ok(()),
    });
}
