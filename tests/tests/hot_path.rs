//! What the validation of a key that is in use costs, counted and not timed: calls between JavaScript and Wasm, what they
//! allocate, and look-ups. Whoever makes it dearer is told here; what it gave is told by `cargo xtask bench`.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop, and say why")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use tests::{
    hand::{Hand, HandKey},
    stale_kv::StaleKv,
    workerd::{Plan, Workerd},
};

/// Long enough that no poll is due while calls are counted.
const LEASE_MILLIS: u32 = 60_000;
/// How many validations are counted: few, so that all is over before the first telling of usage, which comes after 5 s.
const TIMES: u64 = 20;

struct World {
    kv: StaleKv,
    workerd: Workerd,
    hand: Hand,
}

fn world() -> Option<World> {
    let kv = StaleKv::start();
    let control_plane = "http://127.0.0.1:9";
    let plan = Plan { isolates: 1, kv_port: kv.port, control_plane, lease_ms: LEASE_MILLIS, proxied: false };
    let workerd = Workerd::start_counting(plan)?;
    let hand = Hand::of(&workerd, &kv);
    Some(World { kv, workerd, hand })
}

impl World {
    /// The calls that one validation of this text takes, by name. They must be the same for each of many.
    fn calls(&self, value: &str) -> BTreeMap<String, u64> {
        let isolate = self.workerd.isolate(0);
        let ask = || self.hand.validate(&isolate, value).expect(200);
        // Whatever has to be looked up, or be set up, is so now.
        let _ = (ask(), ask());
        let reads = self.kv.reads();
        let _ = isolate.get("/forget-calls");
        for _ in 0..TIMES {
            let _ = ask();
        }
        let counted = isolate.get("/calls").expect(200);
        assert_eq!(self.kv.reads(), reads, "KV was read");
        let counted: BTreeMap<String, u64> = serde_json::from_value(counted).expect("names and numbers");
        assert!(counted.values().all(|count| count % TIMES == 0), "not all validations cost the same: {counted:?}");
        counted.into_iter().map(|(name, count)| (name, count / TIMES)).collect()
    }

    fn hot_key(&self) -> HandKey {
        let key = self.hand.key(1);
        self.hand.create(&key);
        key
    }
}

/// Without the numbers and hashes that tools add to names.
fn plain(name: &str) -> &str {
    match name {
        // Room in the memory of Wasm for a text.
        _ if name.starts_with("__wbindgen_export") => "allocate",
        _ => name.strip_prefix("__wbg_").map_or(name, |rest| rest.split('_').next().unwrap_or(rest)),
    }
}

#[test]
fn a_validation_is_one_call_into_wasm_and_two_out_of_it() {
    let Some(world) = world() else { return };
    let key = world.hot_key();
    let mut revoked = world.hand.key(2);
    world.hand.create(&revoked);
    world.hand.revoke(&mut revoked);
    let garbage = "lk_live_garbage".to_owned();
    for value in [&key.value, &revoked.value, &garbage] {
        let calls = world.calls(value);
        let calls: Vec<_> = calls.iter().map(|(name, count)| (plain(name), *count)).collect();
        // The header and the body are copied into Wasm; the time is asked for; the response is made.
        assert_eq!(calls, [("now", 1), ("allocate", 2), ("validateNow", 1), ("validation", 1)]);
    }
}

#[test]
fn senders_that_dawdle_hinder_nobody_and_are_given_up() {
    let Some(world) = world() else { return };
    let (key, isolate) = (world.hot_key(), world.workerd.isolate(0));
    let address = world.workerd.urls[0].trim_start_matches("http://").to_owned();
    let dawdle = || {
        let mut sender = TcpStream::connect(&address).expect("the isolate listens");
        let head = "POST /api_keys/validations HTTP/1.1\r\nhost: edge\r\ncontent-length: 60\r\n\r\n";
        sender.write_all(head.as_bytes()).expect("the isolate reads");
        sender
    };
    // More than the Worker waits for without a timer.
    let mut senders: Vec<TcpStream> = (0..150).map(|_| dawdle()).collect();
    assert!(world.hand.validate(&isolate, &key.value).expect(200)["api_key"].is_object());
    let last = senders.last_mut().expect("there are 150");
    last.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let mut answer = [0; 12];
    last.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn after_a_panic_the_instance_begins_anew() {
    let Some(world) = world() else { return };
    let (key, isolate) = (world.hot_key(), world.workerd.isolate(0));
    let ask = || assert!(world.hand.validate(&isolate, &key.value).expect(200)["api_key"].is_object());
    ask();
    let reads = world.kv.reads();
    let _ = isolate.get("/panicked");
    ask();
    assert_eq!(world.kv.reads(), reads + 2, "it remembers nothing, and reads the caller's record and the key's");
    ask();
    assert_eq!(world.kv.reads(), reads + 2, "the short way works again");
}
