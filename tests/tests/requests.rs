//! What every request passes through, on the real parts: its name, the limits, the bounds of its head, and being repeated.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop, and say why")]

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use tests::{
    database::Database,
    http::{Answer, Client},
    latchkey::Latchkey,
    stack::Stack,
    wait::{CONVERGENCE, eventually},
};

const NAME: &str = "x-request-id";

fn is_made(answer: &Answer) -> bool {
    let id = answer.header(NAME).and_then(|name| name.strip_prefix("req_"));
    id.is_some_and(|ulid| ulid.len() == 26 && ulid.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()))
}

#[test]
fn a_request_keeps_its_name_on_the_whole_way() {
    let Some(mut stack) = Stack::start_with(Database::sqlite(), &[("log_filter", "control_plane=debug")]) else {
        return;
    };
    let caller = stack.caller();
    let key = caller.edge.create_lone_key();
    caller.edge.until_valid(&key);

    let body = json!({"value": key.value}).to_string();
    for (method, path, status) in [
        ("GET", "/organizations", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/organizations", 422),
        ("POST", "/api_keys/validations", 200),
    ] {
        let body = (method == "POST").then_some(body.as_bytes());
        for client in [&caller.edge, &caller.control_plane] {
            let named = client.with_header(NAME, "mine-1").send(method, path, body);
            assert_eq!((named.status, named.header(NAME)), (status, Some("mine-1")), "{method} {path}");
            let unnamed = client.with_header(NAME, "two words").send(method, path, body);
            assert!(status == 200 && method == "POST" || is_made(&unnamed), "{method} {path}: {:?}", unnamed.headers);
        }
    }
    let log = stack.server.process.stderr();
    let line = log.lines().find(|line| line.contains("mine-1")).expect("it stands in the log");
    assert!(line.contains("request{id=\"mine-1\"}"), "{line}");

    // The Worker's own errors.
    let stranger = caller.edge.with_token("garbage");
    assert!(is_made(&stranger.validate(&key.value)));
    assert_eq!(stranger.with_header(NAME, "mine-2").validate(&key.value).header(NAME), Some("mine-2"));
    stack.server.process.kill();
    let lost = caller.edge.get("/organizations");
    assert!(lost.error(502) == "control_plane_unreachable" && is_made(&lost));
    assert_eq!(caller.edge.with_header(NAME, "mine-3").get("/organizations").header(NAME), Some("mine-3"));
}

/// How the first answers to so many requests ended.
fn statuses(client: &Client, times: usize) -> Vec<u16> {
    (0..times).map(|_| client.get("/organizations").status).collect()
}

#[test]
fn the_worker_tells_whose_a_request_is_and_clients_cannot() {
    // The bucket of an address holds ten requests, and gets one more each second.
    let limits = [("requests_per_second_of_address", "1")];
    let Some(stack) = Stack::start_with(Database::sqlite(), &limits) else { return };
    let caller = stack.caller();
    let [one, other] = ["198.51.100.1", "2001:db8::1"].map(|ip| caller.edge.with_header("cf-connecting-ip", ip));
    for client in [&one, &other] {
        let statuses = statuses(client, 30);
        assert!(statuses[..10].iter().all(|status| *status == 200), "{statuses:?}");
        assert!(statuses.contains(&429), "{statuses:?}");
    }
    let claim = caller.control_plane.with_header("latchkey-client-address", "203.0.113.7");
    let _ = statuses(&claim, 30);
    let mut refused = claim.with_header("latchkey-client-address", "203.0.113.8").get("/organizations");
    // A second may have passed since.
    if refused.status == 200 {
        refused = claim.get("/organizations");
    }
    assert_eq!((refused.error(429).as_str(), refused.header("retry-after")), ("rate_limited", Some("1")));
    assert_eq!(caller.control_plane.get("/health").status, 200);
    // What the edge answers by itself is not counted.
    eventually(CONVERGENCE, "the edge knows the caller", || match caller.edge.validate("garbage").status {
        200 => Ok(()),
        status => Err(status),
    });
    for _ in 0..30 {
        assert_eq!(caller.edge.validate("garbage").status, 200);
    }
}

#[test]
fn a_management_key_has_a_limit_at_every_address() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("requests_per_second_of_key", "1");
    let server = latchkey.serve();
    let [one, other] = [latchkey.create_tenant(), latchkey.create_tenant()].map(|tenant| tenant.management_key);
    let statuses = statuses(&server.client.with_token(&one), 30);
    assert!(statuses[..10].iter().all(|status| *status == 200) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.client.with_token(&other).get("/organizations").status, 200);
}

/// Sends a head as it is, and returns the status of the answer.
fn head(server: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).expect("it listens");
    // It may refuse, and close, before all of it is sent.
    let _ = stream.write_all(head.as_bytes());
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    String::from_utf8_lossy(&status[9..]).into_owned()
}

#[test]
fn heads_have_bounds() {
    let database = Database::sqlite();
    let server = Latchkey::on(&database).serve();
    let ask = |url: &str, headers: &str| head(&server.url, &format!("GET {url} HTTP/1.1\r\nhost: x\r\n{headers}\r\n"));
    let many = |count: usize| (0..count).map(|number| format!("x-{number}: x\r\n")).collect::<String>();
    assert_eq!(ask("/health", &many(90)), "200");
    assert_eq!(ask("/health", &many(101)), "431");
    assert_eq!(ask("/health", &format!("x: {}\r\n", "x".repeat(50_000))), "200");
    assert_eq!(ask("/health", &format!("x: {}\r\n", "x".repeat(150_000))), "431");
    assert_eq!(ask(&format!("/health?{}", "x".repeat(8_000)), ""), "200");
    assert_eq!(ask(&format!("/health?{}", "x".repeat(8_192)), ""), "414");
    assert_eq!(ask(&format!("/health?{}", "x".repeat(60_000)), ""), "414");
}

/// The control plane takes in all of a body that it refuses, for clients that read nothing while they send. The Worker
/// refuses what is declared too long, and leaves the rest to what it runs on.
#[test]
fn a_body_that_is_too_long_is_refused() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    caller.edge.until_valid(&caller.edge.create_lone_key());
    let path = "/api_keys/validations";
    assert_eq!(caller.control_plane.send("POST", path, Some(&[b'x'; 3_000_000])).error(413), "payload_too_large");
    let authorization = format!("authorization: Bearer {}", caller.tenant.management_key);
    let declared = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{authorization}\r\ncontent-length: 3000000\r\n\r\n");
    assert_eq!(head(&stack.edge.url, &declared), "413");
}

/// What a client does that heard nothing of its first request, through the Worker, and after a restart.
#[test]
fn a_creation_is_repeated_through_the_worker() {
    let Some(mut stack) = Stack::start(Database::sqlite()) else { return };
    let caller = stack.caller();
    let path = format!("/organizations/{}/api_keys", caller.edge.create_organization());
    let client = caller.edge.with_header("idempotency-key", "0c6b1f7a");
    let body = json!({"name": "Production"});
    let first = client.post(&path, &body);
    let value = first.expect(201)["value"].clone();
    assert!(value.is_string() && first.header("idempotent-replayed").is_none());

    stack.server.process.kill();
    stack.server = stack.latchkey.serve();
    let again = client.post(&path, &body);
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(client.post(&path, &json!({"name": "Other"})).error(422), "idempotency_key_reused");
    let keys: Value = caller.edge.get(&path).expect(200);
    assert_eq!(keys["data"].as_array().map(Vec::len), Some(1));
}
