//! What an operator does about the edge's store: compare it, rebuild it, and ask `doctor` what is wrong.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop")]

use shared::{
    Timestamp,
    record::{Record, Version},
};
use tests::{
    calls::a_key_that_was_never_made,
    database::Database,
    latchkey::{Finished, Latchkey, Tenant},
    ports,
    stack::Stack,
};

/// The count in a row of what `latchkey edge verify` prints; 0 if there is no such row.
fn count(verified: &Finished, row: &str) -> u64 {
    let rest = verified.stdout.lines().find_map(|line| line.strip_prefix(row)).unwrap_or_default();
    rest.split_whitespace().next().map_or(0, |count| count.parse().unwrap_or_else(|_| panic!("{verified:?}")))
}

/// Changes the record of a key, and seals it as the control plane would.
fn reseal(stack: &Stack, tenant: &Tenant, value: &str, change: impl FnOnce(&mut Record)) {
    let (kv, secrets, place) = (stack.edge.kv(), stack.edge.secrets(), tenant.place_of(value));
    let sealed = kv.get(&place).expect("its record is there");
    let mut record = secrets.open(&place, &sealed).expect("it is sealed by us");
    change(&mut record);
    kv.put(&place, &secrets.seal(&place, &record));
}

#[test]
fn verify_finds_every_kind_of_difference_and_sync_mends_it() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let (good, revoked) = stack.settled_keys(&caller);
    let [missing, tampered, newer] = &good;
    let (kv, tenant) = (stack.edge.kv(), &caller.tenant);
    let verify = || stack.latchkey.run(&["edge", "verify"]);
    assert_eq!(count(&verify(), "keys in the database"), count(&verify(), "records in KV"));

    kv.delete(&[tenant.place_of(&missing.value).to_string()]);
    let sealed = kv.get(&tenant.place_of(&tampered.value)).expect("its record is there");
    kv.put(&tenant.place_of(&tampered.value), &sealed.replace("Production", "production"));
    // The tombstone gives way to what it replaced: the very thing that an intruder wants.
    reseal(&stack, tenant, &revoked.value, |record| {
        record.revoked = None;
        record.version = Version(record.version.0 - 1);
    });
    reseal(&stack, tenant, &newer.value, |record| record.version = record.version.next(Timestamp::from_millis(0)));
    let never_made = a_key_that_was_never_made(3);
    kv.put(&tenant.place_of(&never_made), "nonsense");
    // Whoever uses a key notices nothing: what is known of it is not read again.
    for key in [missing, tampered] {
        assert!(caller.edge.validate(&key.value).expect(200)["api_key"].is_object());
    }
    assert_eq!(caller.edge.validate(&revoked.value).expect(200)["code"], "revoked");

    let verified = verify();
    let found = ["missing", "stale", "unreadable", "newer than the database", "unknown to the database"];
    assert_eq!(found.map(|row| count(&verified, row)), [1; 5], "{verified:?}");
    for key in [missing, tampered, newer, &revoked] {
        assert!(verified.stdout.contains(&key.id), "{verified:?}");
    }
    // Digests are nobody's business.
    assert!(!verified.stdout.contains("k1:"), "{verified:?}");
    let advice = verified.failure();
    assert!(advice.contains("edge sync") && advice.contains("--prune"), "{advice}");

    let _ = stack.latchkey.run(&["edge", "sync"]).success();
    let verified = verify();
    assert_eq!(found.map(|row| count(&verified, row)), [0, 0, 0, 0, 1], "{verified:?}");
    assert_eq!(verified.status.code(), Some(1));
    caller.edge.until_refused(&revoked, "revoked");
    for key in &good {
        caller.edge.until_valid(key);
    }

    let _ = stack.latchkey.run(&["edge", "sync", "--prune"]).success();
    let _ = verify().success();
    assert_eq!(kv.get(&tenant.place_of(&never_made)), None);
}

#[test]
fn sync_rebuilds_a_store_that_was_wiped() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let (good, revoked) = stack.settled_keys(&caller);
    stack.edge.kv().wipe();
    let _ = stack.latchkey.run(&["edge", "verify"]).failure();

    let _ = stack.latchkey.run(&["edge", "sync"]).success();
    for key in &good {
        caller.edge.until_valid(key);
    }
    caller.edge.until_refused(&revoked, "revoked");
    let _ = stack.latchkey.run(&["edge", "verify"]).success();
}

/// What `latchkey doctor` says of an installation with which something is wrong.
#[track_caller]
fn complaints(latchkey: &Latchkey) -> String {
    let doctor = latchkey.run(&["doctor"]);
    assert!(doctor.stdout.contains('✗') && doctor.stdout.contains('→'), "{doctor:?}");
    let said = doctor.stdout.clone();
    said + &doctor.failure()
}

#[test]
fn doctor_finds_nothing_wrong_where_all_is_well() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let _ = stack.settled_keys(&caller);
    let said = stack.latchkey.run(&["doctor"]).success();
    let findings: Vec<_> = said.lines().filter(|line| !line.starts_with("  →")).collect();
    assert!(findings.len() >= 5 && findings.iter().all(|line| line.starts_with(['✓', '·'])), "{said}");
    assert!(!said.contains(&stack.edge.secret), "{said}");
}

#[test]
fn doctor_says_what_is_wrong_with_the_edge_and_what_to_do() {
    let Some(mut stack) = Stack::start(Database::sqlite()) else { return };
    let _ = stack.caller();
    let nobody = format!("http://127.0.0.1:{}", ports::free());
    let (kv_of_another, server) = (format!("{}/client/v4/accounts/x", stack.server.url), stack.server.url.clone());
    let cases = [
        ("edge_secret", "another-secret-of-32-characters-or-more", "wrangler secret put LATCHKEY_EDGE_SECRET"),
        ("edge_secret", "short", "at least 32 characters"),
        ("edge_kv_namespace", "", "edge_kv_namespace"),
        ("edge_kv_url", nobody.as_str(), "LATCHKEY_EDGE_KV_URL"),
        ("edge_kv_url", kv_of_another.as_str(), "LATCHKEY_EDGE_KV_URL"),
        ("edge_kv_url", "ftp://example.com", "edge_kv_url"),
        ("edge_url", nobody.as_str(), "LATCHKEY_EDGE_URL"),
        ("edge_url", server.as_str(), "LATCHKEY_EDGE_URL"),
    ];
    for (setting, value, advice) in cases {
        let said = complaints(&stack.latchkey.but(setting, value));
        assert!(said.contains(advice), "{setting} = {value}: {said}");
        assert!(!said.contains(&stack.edge.secret) && !said.contains("another-secret"), "{said}");
    }

    stack.server.stop();
    let _ = stack.latchkey.create_tenant();
    stack.database.execute("UPDATE outbox SET queued_at = queued_at - 600000");
    let said = complaints(&stack.latchkey);
    assert!(said.contains("waiting to be published") && said.contains("latchkey serve"), "{said}");
}

#[test]
fn doctor_says_where_the_worker_passes_requests_on_to() {
    let Some(mut stack) = Stack::start(Database::sqlite()) else { return };
    let said = stack.latchkey.run(&["doctor"]).success();
    assert!(said.contains("✓ the Worker forwards requests to a control plane of this version"), "{said}");

    let address = stack.server.url.trim_start_matches("http://").to_owned();
    stack.server.stop();
    let said = complaints(&stack.latchkey);
    assert!(said.contains("✗ the Worker cannot reach the control plane at its CONTROL_PLANE_URL"), "{said}");

    let other = Database::sqlite();
    let _server_of_another_database = Latchkey::on(&other).set("listen", &address).serve();
    let said = complaints(&stack.latchkey);
    assert!(said.contains("✗ the Worker forwards requests to a control plane with a different database"), "{said}");
}

#[test]
fn doctor_says_what_is_wrong_with_the_database_and_what_to_do() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    assert!(complaints(&latchkey).contains("latchkey migrate"));
    let _ = latchkey.run(&["migrate"]).success();
    assert!(complaints(&latchkey).contains("latchkey environments create"));
    let _ = latchkey.run(&["environments", "create", "Empty"]).success();
    assert!(complaints(&latchkey).contains("latchkey management-keys create"));
    let _ = latchkey.create_tenant();
    let said = complaints(&latchkey);
    assert!(said.lines().filter(|line| line.starts_with('✗')).count() == 1, "{said}");

    let unreachable = format!("postgres://me:hush@127.0.0.1:{}/x", ports::free());
    let said = complaints(&latchkey.but("database_url", &unreachable));
    assert!(said.contains("LATCHKEY_DATABASE_URL") && !said.contains("hush"), "{said}");
}
