//! The control plane behind a load balancer: connections that are kept for later, and processes that are replaced.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use tests::{
    database::Database,
    half_request::HalfRequest,
    latchkey::{Latchkey, Server},
    process::Signal,
    wait::eventually,
};

/// Less than the 30 s after which a request that makes no progress is answered 408.
const SOON: Duration = Duration::from_secs(20);

/// A connection to the server that is kept after a response.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Reads the head of a response, whose body has a length.
    fn response(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "the connection was closed after {head:?}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        self.0.read_exact(&mut vec![0; length]).unwrap();
        head
    }

    fn get(&mut self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
        self.response()
    }

    /// Waits until the server closes the connection without another word.
    fn wait_for_end(&mut self) {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[track_caller]
fn assert_ok(head: &str) {
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn idle_connection_outlives_an_unfinished_head_by_default() {
    let database = Database::sqlite();
    let server = Latchkey::on(&database).serve();
    let [mut used, mut begun, mut unused] = [(); 3].map(|()| Connection::open(&server));
    assert_ok(&used.get("/health"));
    assert_ok(&begun.get("/health"));
    begun.send("GET /health HTTP/1.1\r\n");
    begun.wait_for_end();
    assert_ok(&used.get("/health"));
    // Some load balancers open connections before they need them.
    assert_ok(&unused.get("/health"));
}

#[test]
fn idle_connection_is_closed_after_keep_alive_seconds_and_a_begun_head_is_not() {
    let database = Database::sqlite();
    let server = Latchkey::on(&database).set("keep_alive_seconds", "1").serve();
    let [mut used, mut begun, mut unused] = [(); 3].map(|()| Connection::open(&server));
    assert_ok(&begun.get("/health"));
    begun.send("GET /health HT");
    assert_ok(&used.get("/health"));
    used.wait_for_end();
    unused.wait_for_end();
    begun.send("TP/1.1\r\nhost: x\r\n\r\n");
    assert_ok(&begun.response());
    begun.wait_for_end();
}

#[test]
fn request_that_takes_longer_than_keep_alive_seconds_is_answered() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("keep_alive_seconds", "1");
    let server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let in_progress = HalfRequest::send(&server, &tenant.management_key);
    let mut later = Connection::open(&server);
    assert_ok(&later.get("/health"));
    later.wait_for_end();
    let response = in_progress.finish();
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
}

#[test]
fn sigterm_makes_ready_fail_while_requests_are_answered_until_the_drain_ends() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("drain_seconds", "600").set("shutdown_seconds", "3600");
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let caller = server.client.with_token(&tenant.management_key);
    let mut kept = Connection::open(&server);
    assert!(!kept.get("/ready").contains("connection: close"));

    server.process.signal(Signal::SIGTERM);
    let ready = eventually(SOON, "/ready fails", || match server.client.get("/ready") {
        answer if answer.status == 503 => Ok(answer),
        answer => Err(answer.status),
    });
    assert_eq!((ready.error(503).as_str(), ready.header("retry-after")), ("shutting_down", Some("1")));
    // Some supervisors send the signal twice.
    server.process.signal(Signal::SIGTERM);
    let _ = caller.create_organization();
    assert_eq!(server.client.get("/health").status, 200);
    // The load balancer is to open its next connection to another process.
    let head = kept.get("/health");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
    kept.wait_for_end();
    let in_progress = HalfRequest::send(&server, &tenant.management_key);

    // Ends the drain, as time would.
    server.process.signal(Signal::SIGINT);
    eventually(SOON, "new connections are refused", || match server.client.try_send("GET", "/health", None) {
        Err(_) => Ok(()),
        Ok(answer) => Err(answer.status),
    });
    let response = in_progress.finish();
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    let status = server.process.wait(SOON);
    assert!(status.success(), "{status}");
}

#[test]
fn drain_ends_by_itself() {
    let database = Database::sqlite();
    let mut server = Latchkey::on(&database).set("drain_seconds", "1").serve();
    let _idle = Connection::open(&server);
    server.stop();
    assert!(server.process.stderr().contains("/ready returns 503"), "{:?}", server.process);
}

#[test]
fn sigint_skips_the_drain() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("drain_seconds", "600").set("shutdown_seconds", "3600");
    let mut server = latchkey.serve();
    server.process.signal(Signal::SIGINT);
    let status = server.process.wait(SOON);
    assert!(status.success(), "{status}");
    assert!(!server.process.stderr().contains("/ready returns 503"), "{:?}", server.process);
}

#[test]
fn second_sigint_ends_the_process_at_once() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("shutdown_seconds", "3600");
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let _never_finished = HalfRequest::send(&server, &tenant.management_key);
    server.process.signal(Signal::SIGINT);
    server
        .process
        .until(SOON, "it stops listening", |process| process.stderr().contains("stopped listening").then_some(()));
    server.process.signal(Signal::SIGINT);
    let status = server.process.wait(SOON);
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(server.process.stderr().contains("error: received SIGINT again"), "{:?}", server.process);
}
