//! How keys are used comes back from the edge: every validation counts once, none waits for it, and what can be lost is
//! measured.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop, and say why")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    calls::{Key, a_key_that_was_never_made},
    database::Database,
    fleet::Fleet,
    process::Signal,
    wait::{Stopwatch, eventually},
};

const ISOLATES: usize = 3;
/// Within this time the last use of a key is seen. It is so in a third of it on a machine with nothing else to do.
const SEEN: Duration = Duration::from_secs(15);

/// Asks all isolates in turn about this text, so many times in all, and sees that each answers with this outcome.
#[track_caller]
fn validate(fleet: &Fleet, value: &str, outcome: &str, times: usize) {
    for time in 0..times {
        let answer = fleet.isolate(time % ISOLATES).validate(value).expect(200);
        assert_eq!(answer["code"].as_str().unwrap_or("valid"), outcome);
    }
}

/// Waits until these are the counts of a key.
#[track_caller]
fn until_counted(fleet: &Fleet, key: &Key, wanted: &Value) {
    eventually(SEEN, "the counts are complete", || {
        let counts = counts(fleet, &format!("/api_keys/{}/usage", key.id));
        if counts == *wanted { Ok(()) } else { Err(counts) }
    });
}

/// How often there was each outcome, all hours together.
#[track_caller]
fn counts(fleet: &Fleet, path: &str) -> Value {
    let usage = fleet.control_plane().get(path).expect(200);
    let hours = usage["data"].as_array().expect("a list");
    let outcomes = hours.iter().flat_map(|hour| hour["outcomes"].as_object().expect("an object"));
    let mut sum = serde_json::Map::new();
    for (outcome, count) in outcomes {
        let before = sum.get(outcome).and_then(Value::as_u64).unwrap_or_default();
        sum.insert(outcome.clone(), json!(before + count.as_u64().expect("a number")));
    }
    Value::Object(sum)
}

fn every_validation_counts_once(database: Database) {
    let Some(mut fleet) = Fleet::start(ISOLATES, database) else { return };
    let key = fleet.control_plane().create_lone_key();
    fleet.isolate(0).until_valid(&key);
    let used = Stopwatch::start();
    eventually(SEEN, "the last use is seen, although nobody asks again", || {
        let shown = fleet.control_plane().get(&format!("/api_keys/{}", key.id)).expect(200);
        if shown["last_used_at"].is_string() { Ok(()) } else { Err(shown) }
    });
    println!("the last use of a key was seen after {:?}", used.elapsed());

    let before = counts(&fleet, &format!("/api_keys/{}/usage", key.id));
    let before = before["valid"].as_u64().expect("it was used");
    validate(&fleet, &key.value, "valid", 300);
    validate(&fleet, &a_key_that_was_never_made(7), "not_found", 30);
    validate(&fleet, "lk_live_garbage", "malformed", 60);
    // The edge goes on without the control plane, and keeps what it counts meanwhile.
    fleet.server.process.signal(Signal::SIGKILL);
    let _ = fleet.server.process.wait(SEEN);
    validate(&fleet, &key.value, "valid", 300);
    fleet.server = fleet.latchkey.serve();
    validate(&fleet, &key.value, "valid", 3);
    until_counted(&fleet, &key, &json!({"valid": before + 603}));
    let of_all = counts(&fleet, "/usage");
    // At its start each isolate is asked about a key of nobody.
    assert_eq!(of_all["not_found"], 30 + ISOLATES as u64, "{of_all}");
    assert_eq!(of_all["malformed"], 60, "{of_all}");
    assert_eq!(of_all["valid"], before + 603, "{of_all}");

    fleet.control_plane().revoke(&key);
    (0..ISOLATES).for_each(|isolate| fleet.isolate(isolate).until_refused(&key, "revoked"));
    eventually(SEEN, "whoever still tries a revoked key is seen", || {
        let counts = counts(&fleet, &format!("/api_keys/{}/usage", key.id));
        if counts["revoked"].as_u64() >= Some(ISOLATES as u64) { Ok(()) } else { Err(counts) }
    });
}

#[test]
fn every_validation_counts_once_on_sqlite() {
    every_validation_counts_once(Database::sqlite());
}

#[test]
fn every_validation_counts_once_on_postgres() {
    if let Some(database) = Database::postgres() {
        every_validation_counts_once(database);
    }
}

#[test]
fn an_evicted_isolate_loses_its_last_seconds_and_no_more() {
    let Some(mut fleet) = Fleet::start(ISOLATES, Database::sqlite()) else { return };
    let key = fleet.control_plane().create_lone_key();
    (0..ISOLATES).for_each(|isolate| drop(fleet.isolate(isolate).until_valid(&key)));
    let load = Stopwatch::start();
    let mut asked = ISOLATES as u64;
    let mut told_before_the_last_seconds = 0;
    while load.elapsed() < Duration::from_secs(12) {
        validate(&fleet, &key.value, "valid", ISOLATES);
        asked += ISOLATES as u64;
        // It tells after 5 s, and a busy machine may need a second for it.
        if load.elapsed() < Duration::from_secs(6) {
            told_before_the_last_seconds = asked;
        }
    }
    fleet.workerd.kill();
    let path = format!("/api_keys/{}/usage", key.id);
    let counted = counts(&fleet, &path)["valid"].as_u64().unwrap_or_default();
    println!("killed after 12 s: of {asked} validations {counted} were counted, {} lost", asked - counted);
    assert!((told_before_the_last_seconds..=asked).contains(&counted), "{counted} of {asked}");
    fleet.workerd.start_again();
    validate(&fleet, &key.value, "valid", ISOLATES);
    let asked_since = ISOLATES as u64;
    until_counted(&fleet, &key, &json!({"valid": counted + asked_since}));
}
