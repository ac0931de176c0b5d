//! `latchkey events tail` and `latchkey webhooks listen`, against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Command,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use shared::{entropy::Repeating, key::KeyText};
use tests::{
    calls::text,
    database::Database,
    http::Client,
    latchkey::{Finished, Latchkey, Server, Tenant},
    parts,
    process::{Process, Signal},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A server, and a machine of a developer that has only its URL and a management key.
struct World {
    latchkey: Latchkey,
    server: Server,
    tenant: Tenant,
    caller: Client,
    developer: Latchkey,
}

impl World {
    fn new() -> (Database, Self) {
        let database = Database::sqlite();
        let latchkey = Latchkey::on(&database);
        let server = latchkey.serve();
        let tenant = latchkey.create_tenant();
        let caller = server.client.with_token(&tenant.management_key);
        let developer = developer(&server.url, &tenant.management_key);
        (database, Self { latchkey, server, tenant, caller, developer })
    }

    fn create_organization(&self, name: &str) -> String {
        text(&self.caller.post("/organizations", &json!({"name": name})).expect(201), "id")
    }

    /// The JSON text of the newest event of the log.
    fn newest_event(&self) -> String {
        let list = self.caller.get("/events?limit=1&order=desc").text;
        let (_, event) = list.split_once(r#""data":["#).unwrap();
        event.rsplit_once(r#"],"list_metadata""#).unwrap().0.to_owned()
    }
}

fn developer(url: &str, key: &str) -> Latchkey {
    Latchkey::without_settings().set("server", url).set("management_key", key).in_environment("TZ", "UTC")
}

/// Starts a command, and waits until it knows its position in the log.
fn start(developer: &Latchkey, arguments: &[&str]) -> Process {
    let mut process = developer.start(arguments);
    process.until(TIMEOUT, "it follows the log", |process| {
        process.stderr().contains("Press Ctrl-C to stop.").then_some(())
    });
    process
}

fn until_lines(process: &mut Process, count: usize) -> Vec<String> {
    process.until(TIMEOUT, "it prints lines", |process| {
        let stdout = process.stdout();
        let lines: Vec<String> =
            stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

#[test]
fn tail_prints_only_events_that_happen_after_its_start() {
    let (_database, world) = World::new();
    let _ = world.create_organization("Before");
    let mut tail = start(&world.developer, &["events", "tail"]);
    let id = world.create_organization("After");
    let lines = until_lines(&mut tail, 1);
    let columns: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(columns[2..], ["organization.created", &id, "After", "by", "Test"], "{lines:?}");
    assert!(!lines[0].contains('\x1b'), "{lines:?}");
    let header = format!("Following events of {}. Press Ctrl-C to stop.\n", world.server.url);
    assert_eq!(tail.stderr(), header);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut tail = start(&world.developer, &["events", "tail"]);
        tail.signal(signal);
        assert!(tail.wait(TIMEOUT).success());
        assert_eq!((tail.stdout(), tail.stderr()), (String::new(), header.clone()), "{signal}");
    }
}

#[test]
fn tail_prints_the_json_of_the_server_and_filters() {
    let (_database, world) = World::new();
    let acme = world.create_organization("Acme");
    let expected = world.newest_event();
    let _ = world.create_organization("Globex");
    let types = "organization.created,organization.updated";
    let arguments = ["events", "tail", "--json", "--since", "1h", "--organization", &acme, "--events", types];
    let mut tail = start(&world.developer, &arguments);
    let lines = until_lines(&mut tail, 1);
    assert_eq!(lines, [format!("{expected}\n")]);
    let id = text(&serde_json::from_str(&expected).unwrap(), "id");
    let _ = world.caller.put(&format!("/organizations/{acme}"), &json!({"name": "Acme 2"})).expect(200);
    assert_eq!(until_lines(&mut tail, 2)[1], format!("{}\n", world.newest_event()));
    let mut tail = start(&world.developer, &["events", "tail", "--json", "--since", &id, "--events", types]);
    let lines = until_lines(&mut tail, 2);
    assert!(lines[0].contains("Globex") && lines[1].contains("Acme 2"), "{lines:?}");
}

#[test]
fn tail_continues_after_the_server_was_killed_and_restarted() {
    let (_database, mut world) = World::new();
    let mut tail = start(&world.developer, &["events", "tail", "--events", "organization.created"]);
    let mut expected: Vec<String> = (0..3).map(|index| world.create_organization(&index.to_string())).collect();
    until_lines(&mut tail, 1);
    world.server.process.kill();
    tail.until(TIMEOUT, "it misses the server", |tail| tail.stderr().contains("Cannot reach").then_some(()));

    // Events while the command is disconnected are made by way of another address.
    let other = world.latchkey.but("listen", "127.0.0.1:0").serve();
    let caller = other.client.with_token(&world.tenant.management_key);
    expected.extend((0..120).map(|_| caller.create_organization()));
    drop(other);
    let address = world.server.url.trim_start_matches("http://").to_owned();
    let again = world.latchkey.but("listen", &address).serve();
    let caller = again.client.with_token(&world.tenant.management_key);
    expected.extend((0..3).map(|_| caller.create_organization()));
    let lines = until_lines(&mut tail, expected.len());
    let ids: Vec<&str> = lines.iter().filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert_eq!(ids, expected);
    let stderr = tail.stderr();
    assert_eq!(stderr.lines().count(), 3, "a header, one line for the loss, and one for the return: {stderr}");
    assert!(stderr.ends_with("responds. Continuing.\n"), "{stderr}");
}

#[test]
fn commands_end_without_error_when_their_reader_is_gone() {
    let (_database, world) = World::new();
    let _ = world.create_organization("Acme");
    for command in ["events tail", "events tail --json", "webhooks listen --forward-to http://127.0.0.1:1"] {
        // There is one event, so nothing more is written after it.
        let program = parts::latchkey();
        let arguments = format!("{command} --since 1h --events organization.created");
        let script = format!("set -o pipefail; '{}' {arguments} | head -n 1", program.display());
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).env("LATCHKEY_SERVER", &world.server.url);
        bash.env("LATCHKEY_MANAGEMENT_KEY", &world.tenant.management_key);
        let finished = Finished::of(Process::start(command, &mut bash), TIMEOUT);
        assert_eq!(finished.stdout.lines().count(), 1, "{finished:?}");
        assert!(!finished.stderr.contains("error") && finished.status.success(), "{finished:?}");
    }
}

#[test]
fn wrong_keys_end_the_command_and_are_not_printed() {
    let (_database, world) = World::new();
    let (_, without_scope) = world.latchkey.create_management_key(&world.tenant.environment, &["api_keys:read"]);
    let never_issued = KeyText::generate_management(&mut Repeating(9));
    for (key, expected) in [
        (never_issued.expose(), "does not accept the management key in LATCHKEY_MANAGEMENT_KEY"),
        (without_scope.as_str(), "--scope events:read"),
        ("mk_short", "complete management key"),
        ("", "set LATCHKEY_MANAGEMENT_KEY"),
    ] {
        let developer = developer(&world.server.url, key);
        for arguments in [&["events", "tail"][..], &["webhooks", "listen", "--forward-to", "http://127.0.0.1:1"]] {
            let failure = developer.run(arguments).failure();
            assert!(failure.contains(expected), "{failure}");
            assert!(key.is_empty() || !failure.contains(key), "{failure}");
        }
    }
    let file = world.developer.folder().join("key");
    fs::write(&file, format!("{}\n", world.tenant.management_key)).unwrap();
    let developer = developer(&world.server.url, "");
    let _by_option = start(&developer, &["events", "tail", "--management-key-file", file.to_str().unwrap()]);
    let _by_variable = start(&developer.set("management_key_file", file.to_str().unwrap()), &["events", "tail"]);
}

#[test]
fn commands_that_call_a_server_read_no_settings_and_serve_ignores_theirs() {
    let (database, world) = World::new();
    let developer =
        developer(&world.server.url, &world.tenant.management_key).set("listem", "hush").set("database_url", "x");
    let _tail = start(&developer, &["events", "tail"]);
    let _listen = start(&developer, &["webhooks", "listen", "--forward-to", "localhost:1"]);
    assert_eq!(fs::read_dir(developer.folder()).unwrap().count(), 0);
    drop(world.server);
    let with_all = Latchkey::on(&database).set("server", "x").set("management_key", "x").set("webhook_secret", "x");
    let _server = with_all.set("management_key_file", "x").serve();
}

#[test]
fn cursor_that_is_not_in_the_log_ends_the_command() {
    let (_database, world) = World::new();
    let failed = world.developer.run(&["events", "tail", "--since", "event_01KF0JZ4G0000000000000000A"]).failure();
    assert!(failed.contains("event_01KF0JZ4G0000000000000000A is not in the event log"), "{failed}");
    for wrong in ["yesterday", "event_1", "2026-01-15"] {
        let failed = world.developer.run(&["events", "tail", "--since", wrong]);
        assert!(!failed.status.success() && failed.stderr.contains("such as 30s"), "{failed:?}");
    }
    let failed = world.developer.run(&["events", "tail", "--events", "api_key.create"]);
    assert!(!failed.status.success() && failed.stderr.contains("api_key.created"), "{failed:?}");
}

/// A request that a receiver got.
#[derive(Debug)]
struct Delivery {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Receives webhooks, and responds to the first with the first of these statuses, and so on; then with 200.
fn receive(address: &str, statuses: &'static [&'static str]) -> (u16, Receiver<Delivery>) {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    let mut statuses = statuses.iter();
    // It ends with the test program.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = || {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                line.trim_end().to_owned()
            };
            let path = line().split(' ').nth(1).unwrap_or_default().to_owned();
            let headers: BTreeMap<String, String> = std::iter::from_fn(|| {
                let line = line();
                let (name, value) = line.split_once(": ")?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let _ = sender.send(Delivery { path, headers, body });
            let status = statuses.next().copied().unwrap_or("200 OK");
            let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    (port, receiver)
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn signed(start: &str, body: &[u8]) -> Vec<u8> {
    [start.as_bytes(), b".", body].concat()
}

/// Verifies both signatures, as the clients of Standard Webhooks and of WorkOS do.
fn verify(delivery: &Delivery, secret: &str) {
    let header = |name: &str| delivery.headers[name].as_str();
    let start = format!("{}.{}", header("webhook-id"), header("webhook-timestamp"));
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let expected = format!("v1,{}", STANDARD.encode(hmac(&key, &signed(&start, &delivery.body))));
    assert_eq!(header("webhook-signature"), expected);
    let (time, signature) = header("workos-signature").split_once(", v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let mac = hmac(secret.as_bytes(), &signed(time, &delivery.body));
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, hex);
}

#[test]
fn listen_forwards_the_bytes_of_each_event_in_order_with_valid_signatures() {
    let (_database, world) = World::new();
    let _ = world.create_organization("Before");
    let (port, deliveries) = receive("127.0.0.1:0", &["500 Internal Server Error", "302 Found"]);
    let url = format!("http://127.0.0.1:{port}/webhooks?a=b");
    // No proxy of the environment is used.
    let developer =
        developer(&world.server.url, &world.tenant.management_key).in_environment("HTTP_PROXY", "http://x:1");
    let mut listen = start(&developer, &["webhooks", "listen", "--forward-to", &url]);
    let secret = listen.until(TIMEOUT, "it prints its secret", |listen| {
        let stderr = listen.stderr();
        stderr.split_once("Signing secret: ")?.1.split_once(' ').map(|(secret, _)| secret.to_owned())
    });
    for name in ["Acmé \"1\" \u{1F511}", "2", "3"] {
        let _ = world.create_organization(name);
        let expected = world.newest_event();
        let delivery = deliveries.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(String::from_utf8(delivery.body.clone()).unwrap(), expected);
        verify(&delivery, &secret);
        let event: Value = serde_json::from_str(&expected).unwrap();
        let header = |name: &str| delivery.headers[name].as_str();
        assert_eq!((delivery.path.as_str(), header("webhook-id")), ("/webhooks?a=b", &*text(&event, "id")));
        assert_eq!(header("content-type"), "application/json");
        assert!(header("user-agent").starts_with("Latchkey-Webhooks/"), "{delivery:?}");
    }
    let lines = until_lines(&mut listen, 3);
    for (line, expected) in lines.iter().zip(["→ 500 Internal Server Error", "→ 302 Found", "→ 200 OK"]) {
        assert!(line.contains("organization.created") && line.contains(" event_") && line.contains(expected), "{line}");
    }
    listen.signal(Signal::SIGINT);
    assert!(listen.wait(TIMEOUT).success());
}

#[test]
fn listen_signs_with_the_given_secret_and_does_not_print_it() {
    let (_database, world) = World::new();
    let _ = world.create_organization("Acme");
    let (port, deliveries) = receive("127.0.0.1:0", &[]);
    let (one, other) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH");
    let developer = developer(&world.server.url, &world.tenant.management_key).set("webhook_secret", one);
    let url = format!("127.0.0.1:{port}");
    let listen = ["webhooks", "listen", "--forward-to", &url, "--since", "1h", "--events", "organization.created"];
    for (arguments, secret) in [(&[][..], one), (&["--secret", other], other)] {
        let mut listen = start(&developer, &[&listen[..], arguments].concat());
        verify(&deliveries.recv_timeout(TIMEOUT).unwrap(), secret);
        until_lines(&mut listen, 1);
        assert!(!(listen.stdout() + &listen.stderr()).contains(secret), "{listen:?}");
    }
    let failed = developer.run(&[&listen[..], &["--secret", "whsec_hush"]].concat()).failure();
    assert!(failed.contains("--secret is not a webhook secret") && !failed.contains("hush"), "{failed}");
}

#[test]
fn listen_reaches_a_receiver_on_either_address_of_localhost_and_survives_its_absence() {
    let (_database, world) = World::new();
    let _ = world.create_organization("Acme");
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (port, deliveries) = receive(address, &[]);
        let url = format!("http://localhost:{port}");
        let mut listen = start(&world.developer, &["webhooks", "listen", "--forward-to", &url, "--since", "1h"]);
        let delivery = deliveries.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(delivery.headers["host"], format!("localhost:{port}"));
        until_lines(&mut listen, 1);
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://localhost:{free}");
    let mut listen = start(&world.developer, &["webhooks", "listen", "--forward-to", &url]);
    let _ = world.create_organization("1");
    let _ = world.create_organization("2");
    let lines = until_lines(&mut listen, 2);
    assert!(lines.iter().all(|line| line.contains("→ cannot connect")), "{lines:?}");
}
