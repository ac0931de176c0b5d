//! The Worker in `wrangler dev`: what it refuses without asking anybody, what it does not believe, what it passes on.

use std::time::Duration;

use serde_json::json;
use shared::{
    digest::{Digest, KvKey},
    entropy::Repeating,
    key::KeyText,
    seal::EdgeSecrets,
};
use tests::{
    calls::{Key, a_key_that_was_never_made},
    database::Database,
    edge::Edge,
    http::{Answer, Client},
    ports,
    stack::{Caller, Stack},
    wait::{CONVERGENCE, eventually},
};

/// How far counters go on while something happens.
fn counted<const N: usize>(edge: &Edge, names: [&str; N], happens: impl FnOnce()) -> [u64; N] {
    let before = names.map(|name| edge.counter(name));
    happens();
    let after = names.map(|name| edge.counter(name));
    std::array::from_fn(|at| after[at] - before[at])
}

/// A key that the edge has come to accept, and nothing of this environment on its way there any more.
fn settled_key(caller: &Caller) -> Key {
    let key = caller.control_plane.create_lone_key();
    caller.edge.until_valid(&key);
    key
}

#[test]
fn what_cannot_be_a_key_is_refused_without_a_look_up() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let good = settled_key(&caller).value;
    let counters = ["validations", "kv_reads", "refused_unseen"];

    let truncated = &good[..good.len() - 1];
    let typo = good.replace(|c: char| c.is_ascii_digit(), "x").replacen("lk_live_", "lk_live_x", 1);
    let other_prefix = KeyText::generate(&"acme".parse().expect("a prefix"), &mut Repeating(1));
    let management_key = caller.tenant.management_key.as_str();
    let bad = ["", "garbage", truncated, &typo, other_prefix.expose(), management_key, &good.repeat(100)];
    let refused = counted(&stack.edge, counters, || {
        for value in bad {
            assert_eq!(caller.edge.validate(value).expect(200)["code"], "malformed", "{value}");
        }
    });
    // Not even the caller's own key is read again.
    let times = bad.len() as u64;
    assert_eq!(refused, [times, 0, times]);

    let callers = ["", "garbage", "mk_garbage", &management_key[..management_key.len() - 1], &good];
    let strangers = counted(&stack.edge, counters, || {
        for token in callers {
            assert_eq!(stack.edge.client.with_token(token).validate(&good).error(401), "unauthorized");
        }
    });
    assert_eq!(strangers, [callers.len() as u64, 0, 0]);

    // So that the zeros above mean something.
    let looked_up = counted(&stack.edge, counters, || {
        assert_eq!(caller.edge.validate(&a_key_that_was_never_made(0)).expect(200)["code"], "not_found");
        assert!(caller.edge.validate(&good).expect(200)["api_key"].is_object());
    });
    assert_eq!(looked_up, [2, 1, 0]);
}

#[test]
fn a_record_that_was_tampered_with_is_worth_nothing_and_is_counted() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let key = settled_key(&caller);
    stack.until_published(CONVERGENCE);
    let (kv, place) = (stack.edge.kv(), caller.tenant.place_of(&key.value));
    let sealed = kv.get(&place).expect("its record is there");
    let record = stack.edge.secrets().open(&place, &sealed).expect("it is sealed by us");

    // Each in the place of another key that was never made: what is known of a key is not read again.
    let of_an_intruder = EdgeSecrets::parse(&"intruder".repeat(8)).expect("long enough");
    let seal = |secrets: &EdgeSecrets, seed: u8| {
        let place = caller.tenant.place_of(&a_key_that_was_never_made(seed));
        secrets.seal(&place, &record)
    };
    let genuine = |seed: u8| seal(&stack.edge.secrets(), seed);
    let unsealed = sealed.split_once('{').map(|(_, json)| format!("{{{json}")).expect("it holds JSON");
    let tampered = [
        genuine(10).replace("Production", "production"),
        genuine(11)[..sealed.len() - 1].to_owned(),
        genuine(12).replacen("v1.", "v0.", 1),
        seal(&of_an_intruder, 13),
        unsealed,
        "nonsense".to_owned(),
        String::new(),
    ];
    for (seed, value) in (10..).zip(&tampered) {
        let never_made = a_key_that_was_never_made(seed);
        kv.put(&caller.tenant.place_of(&never_made), value);
        let rejected = counted(&stack.edge, ["rejected_records"], || {
            assert_eq!(caller.edge.validate(&never_made).expect(200)["code"], "not_found", "{value}");
        });
        assert_eq!(rejected, [1], "{value}");
    }
    // So that the refusals above mean something.
    let believed = a_key_that_was_never_made(20);
    kv.put(&caller.tenant.place_of(&believed), &genuine(20));
    assert!(caller.edge.validate(&believed).expect(200)["api_key"].is_object());
    // What an intruder does to the record of a key that is in use has no effect.
    kv.put(&place, "nonsense");
    assert!(caller.edge.validate(&key.value).expect(200)["api_key"].is_object());
}

#[test]
fn a_record_under_the_place_of_another_is_worth_nothing_and_is_counted() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let (caller, other) = (stack.caller(), stack.caller());
    let key = settled_key(&caller);
    other.edge.until_valid(&other.control_plane.create_lone_key());
    stack.until_published(CONVERGENCE);
    let kv = stack.edge.kv();
    let of_the_key = kv.get(&caller.tenant.place_of(&key.value)).expect("its record is there");
    let management_place = |text: &str| KvKey::management_key(&Digest::of(text));
    let of_the_caller = kv.get(&management_place(&caller.tenant.management_key)).expect("its record is there");

    // A key that was never made, in its own environment; the key itself, in another environment.
    let never_made = a_key_that_was_never_made(7);
    kv.put(&caller.tenant.place_of(&never_made), &of_the_key);
    kv.put(&other.tenant.place_of(&key.value), &of_the_key);
    let rejected = counted(&stack.edge, ["rejected_records"], || {
        assert_eq!(caller.edge.validate(&never_made).expect(200)["code"], "not_found");
        assert_eq!(other.edge.validate(&key.value).expect(200)["code"], "not_found");
    });
    assert_eq!(rejected, [2]);

    // A management key that was never made.
    let never_made = KeyText::generate_management(&mut Repeating(7));
    kv.put(&management_place(never_made.expose()), &of_the_caller);
    let rejected = counted(&stack.edge, ["rejected_records"], || {
        let stranger = stack.edge.client.with_token(never_made.expose());
        assert_eq!(stranger.validate(&key.value).error(401), "unauthorized");
    });
    assert_eq!(rejected, [1]);
}

#[test]
fn the_counters_are_for_the_control_plane_alone() {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    assert_eq!(caller.edge.post("/_edge/nothing", &json!({})).error(401), "unauthorized");
    let status = |token: &str| stack.edge.client.with_token(token).get("/_edge/status").status;
    assert_eq!(stack.edge.client.get("/_edge/status").error(401), "unauthorized");
    for token in ["", "garbage", &caller.tenant.management_key, &stack.edge.secret] {
        assert_eq!(status(token), 401);
    }
    assert_eq!(status(stack.edge.secrets().ingress_token()), 200);
}

#[test]
fn nobody_may_keep_an_answer_of_the_edge() {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    let key = settled_key(&caller);
    for answer in [caller.edge.validate(&key.value), caller.edge.validate("garbage"), stack.edge.client.validate("")] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

/// Checks that nothing of an answer was lost on its way through the Worker. It may gain a header there.
#[track_caller]
fn assert_passed_on(through: &Answer, direct: &Answer) {
    /// What each connection settles for itself, and the time of day.
    const OF_THE_CONNECTION: [&str; 5] = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];
    assert_eq!((through.status, &through.text), (direct.status, &direct.text));
    for (name, value) in direct.headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())) {
        assert_eq!(through.headers.get(name), Some(value), "{name}");
    }
}

#[test]
fn everything_else_is_passed_on_as_it_is() {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    let organizations: Vec<String> = (0..3).map(|_| caller.edge.create_organization()).collect();
    let unknown = "/api_keys/api_key_01KF0JZ4G0000000000000000A";
    let requests = [
        ("GET", "/organizations?limit=2&order=asc".to_owned(), None),
        ("GET", format!("/organizations?limit=1&order=asc&after={}", organizations[0]), None),
        ("GET", "/organizations?search=%41cme&limit=0".to_owned(), None),
        ("GET", "/organizations/external_id/a%2Fb%20c%3F".to_owned(), None),
        ("GET", "/there/is%20nothing?here=1".to_owned(), None),
        ("GET", "//".to_owned(), None),
        ("GET", "/api_keys/validations".to_owned(), None),
        ("GET", "/openapi.json".to_owned(), None),
        ("GET", "/openapi.json/".to_owned(), None),
        ("DELETE", unknown.to_owned(), None),
        ("PUT", format!("/organizations/{}", organizations[1]), Some(r#"{"name": ""}"#)),
        ("PATCH", "/authorization/permissions/none".to_owned(), Some(r#"{"name": "x"}"#)),
        ("POST", format!("{unknown}/expire"), Some("")),
        ("POST", "/organizations".to_owned(), Some("{")),
    ];
    // Each request has a name of its own otherwise.
    let [control_plane, edge] = [&caller.control_plane, &caller.edge].map(|of| of.with_header("x-request-id", "same"));
    for (method, path, body) in requests {
        let body = body.map(str::as_bytes);
        let direct = control_plane.send(method, &path, body);
        let through = edge.send(method, &path, body);
        println!("{method} {path}");
        assert_passed_on(&through, &direct);
    }
    let first = caller.edge.get("/organizations?limit=1&order=asc").expect(200);
    assert_eq!(first["data"][0]["id"], *organizations[0]);
}

/// The refusal is sent long before the upload ends. It must arrive nevertheless, whoever stands between.
#[test]
fn a_large_upload_is_refused_with_words_and_not_with_a_broken_connection() {
    const TIMES: usize = 8;
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    let large = json!({"name": "a".repeat(4_000_000)}).to_string();
    for client in [&caller.control_plane, &caller.edge] {
        let upload = |client: &Client, path: &str| client.send("POST", path, Some(large.as_bytes()));
        for _ in 0..TIMES {
            assert_eq!(upload(client, "/organizations").error(413), "payload_too_large");
            assert_eq!(upload(client, "/nowhere").error(404), "not_found");
            assert_eq!(upload(&client.with_token("garbage"), "/organizations").error(401), "unauthorized");
        }
        let _ = client.create_organization();
    }
}

#[test]
fn control_plane_url_that_leads_back_to_the_worker_is_named() {
    let port = ports::free();
    let Some(edge) = Edge::start_on(port, &format!("http://127.0.0.1:{port}")) else { return };
    // Without `identity`, the inner response is compressed.
    let answer = edge.client.with_header("accept-encoding", "identity").get("/organizations");
    assert!(answer.text.contains("leads back to the Worker"), "{answer:?}");
    assert_eq!(answer.error(502), "control_plane_unreachable");
}

#[test]
fn without_the_control_plane_the_edge_still_validates() {
    let Some(mut stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let (good, revoked) = (settled_key(&caller), settled_key(&caller));
    caller.edge.revoke(&revoked);
    caller.edge.until_refused(&revoked, "revoked");

    stack.server.process.kill();
    for (method, path) in
        [("GET", "/organizations"), ("POST", "/organizations"), ("DELETE", "/api_keys/x"), ("GET", "/")]
    {
        let body: Option<&[u8]> = (method == "POST").then_some(b"{}");
        assert_eq!(caller.edge.send(method, path, body).error(502), "control_plane_unreachable");
    }
    assert_eq!(caller.edge.validate(&good.value).expect(200)["api_key"]["id"], *good.id);
    caller.edge.until_refused(&revoked, "revoked");
    assert_eq!(stack.edge.client.validate(&good.value).error(401), "unauthorized");

    stack.server = stack.latchkey.serve();
    eventually(Duration::from_secs(10), "the edge passes on again", || {
        let answer = caller.edge.get("/organizations");
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    });
}
