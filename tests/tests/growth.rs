//! A server with many keys is as large as one with few: it reads no more of them than it answers or publishes at once.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop, and say why")]

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tests::{
    cost,
    crowd::{Crowd, ORGANIZATION},
    database::Database,
    fast_edge::FastEdge,
    load::{self, CONNECTIONS, Load},
    wait::{CONVERGENCE, eventually},
};

/// Two full batches for the edge.
const FEW: usize = 20_000;
const MANY: usize = 200_000;
/// How long each kind of request is made.
const SLICE: Duration = Duration::from_millis(500);
/// What a server may be larger for ten times as many keys: much less than the records of the others, 130 MB, and than
/// their ids and versions twice. Two runs of the same differ by a tenth of it.
const MARGIN: u64 = 24_000_000;

/// The most memory that a server takes that is asked about the keys of this database, adds some, and tells an edge that has
/// never heard of any of them.
fn peak(database: Database, keys: usize) -> u64 {
    let crowd = Crowd::of(database, keys);
    let edge = FastEdge::start();
    // glibc keeps what each thread ever needed, for as many threads as there are, and what large buffers left free in
    // between. What the server itself needs is seen with one heap for all threads, and large buffers beside it.
    let latchkey = edge.of(&crowd.latchkey).in_environment("MALLOC_ARENA_MAX", "1");
    let mut server = latchkey.in_environment("MALLOC_MMAP_THRESHOLD_", "131072").serve();
    let token = &crowd.tenant.management_key;
    let address = server.url.trim_start_matches("http://").parse().expect("an address");
    let path = format!("/organizations/{ORGANIZATION}/api_keys");
    let ask = |requests, status| {
        let load = Arc::new(Load::new(requests, status));
        load::run(address, &load, CONNECTIONS, SLICE).assert_as_expected("the server");
    };
    let validation = |value: &String| load::post("/api_keys/validations", token, &json!({"value": value}).to_string());
    ask(crowd.values.iter().map(validation).collect(), 200);
    ask(vec![load::post(&path, token, &json!({"name": "Production"}).to_string())], 201);
    ask(vec![load::get(&format!("{path}?limit=100"), token)], 200);
    // The store is told of every key of the organization, a batch at a time.
    let deleted = server.client.with_token(token).delete(&format!("/organizations/{ORGANIZATION}"));
    let _ = deleted.expect(200);
    eventually(8 * CONVERGENCE, "the edge has all of it", || {
        let written = edge.written();
        if written >= keys as u64 { Ok(()) } else { Err(format!("{written} of {keys} records")) }
    });
    let peak = cost::peak_memory_of(server.process.id()).expect("it runs");
    // How much of the program itself is in memory depends on what else ran on the machine.
    let own = peak - cost::file_memory_of(server.process.id());
    server.stop();
    println!("{keys} keys: {} MB of {} MB", own / 1_000_000, peak / 1_000_000);
    own
}

fn compare(database: fn() -> Option<Database>) {
    let (Some(one), Some(other)) = (database(), database()) else { return };
    let (few, many) = (peak(one, FEW), peak(other, MANY));
    assert!(many < few + MARGIN, "{MANY} keys take {many} bytes, {FEW} keys {few}");
}

#[test]
fn a_server_on_sqlite_is_no_larger_for_many_keys() {
    compare(|| Some(Database::sqlite()));
}

#[test]
fn a_server_on_postgres_is_no_larger_for_many_keys() {
    compare(Database::postgres);
}
