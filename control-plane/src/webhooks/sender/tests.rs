use std::{
    net::TcpListener as StdListener,
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::*;

/// A self-signed certificate for `localhost` and 127.0.0.1, valid from 2020 to 2120, and its key. They protect nothing.
/// Its issuer has a name of its own, because some machines trust a root named `localhost`.
const CERTIFICATE: &str = "\
    MIIBKzCB3qADAgECAgEBMAUGAytlcDAfMR0wGwYDVQQDDBRMYXRjaGtleSBzZWxmLXNpZ25lZDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAw\
    MDAwMFowHzEdMBsGA1UEAwwUTGF0Y2hrZXkgc2VsZi1zaWduZWQwKjAFBgMrZXADIQApSH4WbqiCZhKY0T9q/b2+k4vZbGmD0HStYfbfWLbOJaM9\
    MDswGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMB0GA1UdDgQWBBQdXUgg8NKF3RDCqLSzjG3qZW0gsDAFBgMrZXADQQAFMSlU+LOjiIRPaS67\
    msKbixKs7Mj4jnv2u9oiCk9jYIxAlU4UimyknuzbWPL8jbucI/odMdtAFIJafhSrzokK";
const CERTIFICATE_KEY: &str = "MC4CAQAwBQYDK2VwBCIEILZ/9KEpv+SJ/UeRCtRxfvGcP7m74QjBgQpYIW2YTBJ0";

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BODY: &str = r#"{"event":"api_key.created"}"#;

/// What a fake receiver does with a request.
#[derive(Clone)]
enum Reaction {
    /// Sends this, and waits for the next request.
    Send(Vec<u8>),
    /// Sends this, and closes the connection.
    SendAndClose(Vec<u8>),
    /// Sends this, and then the letter `a` without an end.
    SendEndless(&'static str),
    /// Sends this, and then nothing.
    SendAndHang(&'static str),
}

/// A receiver on a port of 127.0.0.1. It reacts to its requests in order, and to all further ones as to the last.
struct Receiver {
    port: u16,
    /// The number of the connection, from zero, and the text of the request.
    requests: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Receiver {
    async fn start(reactions: Vec<Reaction>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(vec![]));
        tokio::spawn(accept(listener, reactions, requests.clone()));
        Self { port, requests }
    }

    fn url(&self) -> Url {
        local_url(self.port)
    }

    fn requests(&self) -> Vec<(usize, String)> {
        self.requests.lock().unwrap().clone()
    }

    fn connections_of_requests(&self) -> Vec<usize> {
        self.requests().into_iter().map(|(connection, _)| connection).collect()
    }
}

async fn accept(listener: TcpListener, reactions: Vec<Reaction>, requests: Arc<Mutex<Vec<(usize, String)>>>) {
    for connection in 0.. {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (reactions, requests) = (reactions.clone(), requests.clone());
        tokio::spawn(async move {
            while let Some(request) = read_request(&mut stream).await {
                let index = {
                    let mut requests = requests.lock().unwrap();
                    requests.push((connection, request));
                    requests.len() - 1
                };
                let reaction = reactions.get(index).or(reactions.last()).unwrap();
                if react(&mut stream, reaction).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// An error ends the connection.
async fn react(stream: &mut TcpStream, reaction: &Reaction) -> io::Result<()> {
    match reaction {
        Reaction::Send(response) => stream.write_all(response).await,
        Reaction::SendAndClose(response) => {
            stream.write_all(response).await?;
            Err(ErrorKind::ConnectionAborted.into())
        }
        Reaction::SendEndless(response) => {
            stream.write_all(response.as_bytes()).await?;
            loop {
                stream.write_all(&[b'a'; 1024]).await?;
            }
        }
        Reaction::SendAndHang(response) => {
            stream.write_all(response.as_bytes()).await?;
            std::future::pending().await
        }
    }
}

/// The next request of the connection, if there is one.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = vec![];
    while !is_whole(&String::from_utf8_lossy(&request)) {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(request).unwrap())
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.unwrap().parse().unwrap()
}

fn local_url(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}/hooks?a=1")).unwrap()
}

fn policy(allowed: &[&str]) -> AddressPolicy {
    AddressPolicy { allowed: allowed.iter().map(|text| text.parse().unwrap()).collect() }
}

fn local_sender() -> Sender {
    Sender::new(policy(&["127.0.0.0/8", "::1/128"])).unwrap()
}

async fn send(sender: &Sender, url: &Url) -> Attempt {
    let headers = HeaderMap::from_iter([(HeaderName::from_static("webhook-id"), HeaderValue::from_static("event_1"))]);
    sender.send(url, headers, Bytes::from_static(BODY.as_bytes())).await
}

async fn outcome_of(reaction: Reaction) -> Outcome {
    let receiver = Receiver::start(vec![reaction]).await;
    send(&local_sender(), &receiver.url()).await.outcome
}

async fn outcome_of_response(response: &str) -> Outcome {
    outcome_of(Reaction::Send(response.into())).await
}

const fn failed(code: FailureCode) -> Outcome {
    Outcome::Failed { code }
}

fn status_of(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Responded { status, .. } => *status,
        Outcome::Failed { code } => panic!("{code:?}"),
    }
}

fn body_of(outcome: Outcome) -> String {
    match outcome {
        Outcome::Responded { body, .. } => body,
        Outcome::Failed { code } => panic!("{code:?}"),
    }
}

#[tokio::test]
async fn request_has_the_headers_and_the_body_of_a_delivery() {
    let receiver = Receiver::start(vec![Reaction::Send(OK.into())]).await;
    let attempt = send(&local_sender(), &receiver.url()).await;
    assert!(attempt.is_success(), "{attempt:?}");
    assert!(attempt.duration > Duration::ZERO);

    let (_, request) = receiver.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST /hooks?a=1 HTTP/1.1");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "accept: */*",
            "content-length: 27",
            "content-type: application/json",
            &format!("host: 127.0.0.1:{}", receiver.port),
            &format!("user-agent: Latchkey-Webhooks/{}", env!("CARGO_PKG_VERSION")),
            "webhook-id: event_1",
        ]
    );
    assert_eq!(body, BODY);
}

#[tokio::test]
async fn response_is_recorded() {
    let response = "HTTP/1.1 503 Busy\r\nserver: test\r\nx-other: 1\r\nretry-after: 120\r\ncontent-type: text/plain\r\n\
                    content-length: 4\r\n\r\nbusy";
    let headers = [("content-type", "text/plain"), ("retry-after", "120"), ("server", "test")];
    assert_eq!(
        outcome_of_response(response).await,
        Outcome::Responded {
            status: 503,
            retry_after: Some("120".to_owned()),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: "busy".to_owned(),
        }
    );
}

#[tokio::test]
async fn only_2xx_is_success() {
    for (status, is_success) in
        [(200, true), (201, true), (202, true), (204, true), (299, true), (301, false), (304, false), (400, false)]
            .into_iter()
            .chain([(410, false), (429, false), (500, false), (600, false)])
    {
        let outcome = outcome_of_response(&format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(status_of(&outcome), status);
        let attempt = Attempt { duration: Duration::ZERO, outcome };
        assert_eq!(attempt.is_success(), is_success, "{status}");
    }
}

#[tokio::test]
async fn redirect_is_recorded_and_not_followed() {
    let target = Receiver::start(vec![Reaction::Send(OK.into())]).await;
    for status in [301, 302, 303, 307, 308] {
        let response = format!("HTTP/1.1 {status} X\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url());
        match outcome_of_response(&response).await {
            Outcome::Responded { status: recorded, headers, .. } => {
                assert_eq!(recorded, status);
                assert_eq!(headers, [("location".to_owned(), target.url().to_string())]);
            }
            outcome @ Outcome::Failed { .. } => panic!("{outcome:?}"),
        }
    }
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn slow_receiver_is_cut_off_at_the_deadline() {
    for response in ["", "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let receiver = Receiver::start(vec![Reaction::SendAndHang(response)]).await;
        let sender = Sender::with_deadline(policy(&["127.0.0.0/8"]), Duration::from_millis(300)).unwrap();
        let attempt = send(&sender, &receiver.url()).await;
        assert_eq!(attempt.outcome, failed(FailureCode::TimedOut), "{response}");
        assert!((300..5_000).contains(&attempt.duration.as_millis()), "{:?}", attempt.duration);
        assert_eq!(receiver.connections_of_requests(), [0]);
    }
}

#[tokio::test]
async fn endless_body_is_cut_at_the_limit() {
    for head in
        ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"]
    {
        let outcome = outcome_of(Reaction::SendEndless(head)).await;
        assert_eq!(body_of(outcome), "a".repeat(BODY_MAX), "{head}");
    }
}

#[tokio::test]
async fn compressed_body_is_not_decompressed() {
    let response = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 8\r\n\r\nnot gzip";
    assert_eq!(body_of(outcome_of_response(response).await), "not gzip");
}

#[tokio::test]
async fn body_that_is_not_storable_text_is_replaced() {
    let mut response = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec();
    response.extend(b"a\0\xFFbc");
    assert_eq!(body_of(outcome_of(Reaction::Send(response)).await), "a\u{FFFD}\u{FFFD}bc");
    assert_eq!(storable(&[0xFF; BODY_MAX], BODY_MAX).len(), BODY_MAX - 1);
    assert_eq!(storable("aä".as_bytes(), 2), "a");
}

#[tokio::test]
async fn long_header_is_recorded_in_part() {
    let long = format!("HTTP/1.1 200 OK\r\nserver: {}\r\ncontent-length: 0\r\n\r\n", "ä".repeat(1000));
    match outcome_of_response(&long).await {
        Outcome::Responded { headers, .. } => assert_eq!(headers, [("server".to_owned(), "ä".repeat(256))]),
        outcome @ Outcome::Failed { .. } => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn response_that_is_not_http_is_invalid() {
    for response in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n"] {
        assert_eq!(outcome_of_response(response).await, failed(FailureCode::ResponseInvalid), "{response}");
    }
    let bad_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(outcome_of_response(bad_chunk).await, failed(FailureCode::ResponseInvalid));
}

#[tokio::test]
async fn response_that_breaks_off_is_a_closed_connection() {
    for response in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let receiver = Receiver::start(vec![Reaction::SendAndClose(response.into())]).await;
        let attempt = send(&local_sender(), &receiver.url()).await;
        assert_eq!(attempt.outcome, failed(FailureCode::ConnectionClosed), "{response}");
        assert_eq!(receiver.connections_of_requests(), [0], "a new connection is not retried");
    }
}

/// Sends once more, after a pause in which the client returns the last connection to its pool.
async fn send_again(sender: &Sender, url: &Url) -> Attempt {
    sleep(Duration::from_millis(50)).await;
    send(sender, url).await
}

#[tokio::test]
async fn kept_alive_connection_is_reused() {
    let receiver = Receiver::start(vec![Reaction::Send(OK.into())]).await;
    let sender = local_sender();
    for _ in 0..3 {
        assert!(send_again(&sender.clone(), &receiver.url()).await.is_success());
    }
    assert_eq!(receiver.connections_of_requests(), [0, 0, 0]);
}

#[tokio::test]
async fn kept_alive_connection_that_was_closed_is_replaced() {
    let receiver = Receiver::start(vec![Reaction::SendAndClose(OK.into())]).await;
    let sender = local_sender();
    for _ in 0..3 {
        assert!(send(&sender, &receiver.url()).await.is_success());
    }
    assert_eq!(receiver.connections_of_requests(), [0, 1, 2]);
}

#[tokio::test]
async fn kept_alive_connection_that_closes_on_a_request_is_retried_once_on_a_new_one() {
    let close = || Reaction::SendAndClose(vec![]);
    let receiver = Receiver::start(vec![Reaction::Send(OK.into()), close(), Reaction::Send(OK.into())]).await;
    let sender = local_sender();
    assert!(send(&sender, &receiver.url()).await.is_success());
    assert!(send_again(&sender, &receiver.url()).await.is_success());
    assert_eq!(receiver.connections_of_requests(), [0, 0, 1]);

    let receiver = Receiver::start(vec![Reaction::Send(OK.into()), close()]).await;
    assert!(send(&sender, &receiver.url()).await.is_success());
    assert_eq!(send_again(&sender, &receiver.url()).await.outcome, failed(FailureCode::ConnectionClosed));
    assert_eq!(receiver.connections_of_requests(), [0, 0, 1]);
}

/// Asserts that an attempt is refused without a connection to the port of the URL, which the text has as `PORT`.
async fn assert_refused_before_connecting(sender: &Sender, url: &str) {
    for bind_to in ["127.0.0.1:0", "[::1]:0"] {
        // Not every machine has IPv6.
        let Ok(listener) = StdListener::bind(bind_to) else { continue };
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url::parse(&url.replace("PORT", &port.to_string())).unwrap();
        assert_eq!(send(sender, &url).await.outcome, failed(FailureCode::AddressRefused), "{url}");
        // The system completes a connection before it is accepted, so one would be waiting here.
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{url}");
    }
}

#[tokio::test]
async fn private_address_is_refused_before_connecting() {
    for policy in [AddressPolicy::default(), policy(&["10.0.0.0/8"])] {
        let sender = Sender::new(policy).unwrap();
        for host in ["127.0.0.1", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"] {
            assert_refused_before_connecting(&sender, &format!("https://{host}:PORT/")).await;
            assert_refused_before_connecting(&sender, &format!("http://{host}:PORT/")).await;
        }
    }
}

#[tokio::test]
async fn public_address_is_refused_without_tls() {
    let attempt = send(&local_sender(), &Url::parse("http://8.8.8.8/").unwrap()).await;
    assert_eq!(attempt.outcome, failed(FailureCode::AddressRefused));
}

#[tokio::test]
async fn allowed_name_is_connected_to() {
    let receiver = Receiver::start(vec![Reaction::Send(OK.into())]).await;
    let url = Url::parse(&format!("http://localhost:{}/", receiver.port)).unwrap();
    let attempt = send(&local_sender(), &url).await;
    assert!(attempt.is_success(), "{attempt:?}");
}

#[tokio::test]
async fn resolver_keeps_permitted_addresses_only() {
    let resolve = async |allowed: &[&str]| {
        let filter = AddressFilter { policy: Arc::new(policy(allowed)), scheme: Scheme::Https };
        let resolved = filter.resolve("127.0.0.1".parse().unwrap()).await;
        resolved.map(|addresses| addresses.map(|address| address.ip().to_string()).collect::<Vec<_>>())
    };
    assert_eq!(resolve(&["127.0.0.0/8"]).await.unwrap(), ["127.0.0.1"]);
    assert!(resolve(&[]).await.unwrap_err().is::<AddressRefused>());
}

#[tokio::test]
async fn name_that_does_not_exist_is_a_dns_failure() {
    let attempt = send(&local_sender(), &Url::parse("https://webhooks.invalid/").unwrap()).await;
    assert_eq!(attempt.outcome, failed(FailureCode::DnsFailed));
}

#[tokio::test]
async fn closed_port_is_a_failed_connection() {
    let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let attempt = send(&local_sender(), &local_url(port)).await;
    assert_eq!(attempt.outcome, failed(FailureCode::ConnectionFailed));
}

#[tokio::test]
async fn scheme_other_than_http_is_a_failed_connection() {
    for url in ["ftp://127.0.0.1/", "data:text/plain,a", "file:///etc/passwd"] {
        let attempt = send(&local_sender(), &Url::parse(url).unwrap()).await;
        assert_eq!(attempt.outcome, failed(FailureCode::ConnectionFailed), "{url}");
    }
}

#[tokio::test]
async fn self_signed_certificate_is_refused() {
    let sender = local_sender();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || accept_tls(&listener));
    let attempt = send(&sender, &Url::parse(&format!("https://localhost:{port}/")).unwrap()).await;
    assert_eq!(attempt.outcome, failed(FailureCode::TlsFailed));
    assert_eq!(server.join().unwrap(), "received fatal alert: UnknownCA");
}

/// Accepts one connection, and returns why its handshake failed.
fn accept_tls(listener: &StdListener) -> String {
    let certificate = CertificateDer::from(STANDARD.decode(CERTIFICATE).unwrap());
    let key = PrivatePkcs8KeyDer::from(STANDARD.decode(CERTIFICATE_KEY).unwrap());
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key.into()).unwrap();
    let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut stream) {
            return error.to_string();
        }
    }
    "the handshake succeeded".to_owned()
}

#[tokio::test]
async fn receiver_without_tls_fails_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://127.0.0.1:{}/", listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move {
        for response in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(response.as_bytes()).await;
        }
    });
    let sender = local_sender();
    for _ in 0..2 {
        assert_eq!(send(&sender, &url).await.outcome, failed(FailureCode::TlsFailed));
    }
}

#[test]
fn failure_codes_have_stable_texts() {
    use FailureCode::*;
    let all = [DnsFailed, AddressRefused, ConnectionFailed, TlsFailed, TimedOut, ConnectionClosed, ResponseInvalid];
    assert_eq!(
        all.map(FailureCode::as_str),
        [
            "dns_failed",
            "address_refused",
            "connection_failed",
            "tls_failed",
            "timed_out",
            "connection_closed",
            "response_invalid"
        ]
    );
}
