//! The HTTP client that makes one attempt to deliver an event.
//!
//! A customer chooses the URL, and a stranger makes the response. Both can be hostile.
//!
//! | risk | what limits it |
//! | --- | --- |
//! | a name that resolves to a private address | the client gets addresses from a resolver that drops refused ones |
//! | a private address in the URL itself | [`Sender::send`] checks it, because HTTP clients do not resolve it |
//! | a redirect to a private address | redirects are not followed; `location` is recorded |
//! | a proxy of the environment, which would resolve names itself | proxies are not used |
//! | a receiver that never ends | one deadline from DNS to the end of the body |
//! | a huge response, or a small compressed one | [`BODY_MAX`]; the client never decompresses |

use std::{
    cell::Cell,
    error::Error,
    io::{self, ErrorKind},
    iter::successors,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use reqwest::{
    Client, Method, Request, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect, retry,
};
use tokio::{net::lookup_host, task_local, time::timeout};
use tower::util::MapRequestLayer;

use super::{address::AddressPolicy, url::ip_literal};
use crate::clock::Stopwatch;

/// How long an attempt may take, from DNS to the end of the response.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// How much of it may pass before there is a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a response's body is kept, in bytes.
pub const BODY_MAX: usize = 16 * 1024;
/// How much of a recorded header is kept, in characters.
const HEADER_VALUE_MAX_LENGTH: usize = 256;
/// The response headers that are recorded.
const RECORDED_HEADERS: [HeaderName; 4] = [header::CONTENT_TYPE, header::LOCATION, header::RETRY_AFTER, header::SERVER];
/// How many idle connections are kept for one host, and for how long.
const IDLE_CONNECTIONS_MAX: usize = 16;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("Latchkey-Webhooks/", env!("CARGO_PKG_VERSION"));

task_local! {
    /// Whether the request that runs in this task has begun to open a connection.
    static OPENS_CONNECTION: Cell<bool>;
}

/// The result of an attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// From DNS to the end of the response.
    pub duration: Duration,
    /// The response, or why there is none.
    pub outcome: Outcome,
}

impl Attempt {
    /// Whether the receiver accepted the delivery: it responded with 2xx before the deadline.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Responded { status: 200..=299, .. })
    }
}

/// The response to an attempt, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver responded, with any status.
    Responded {
        /// The HTTP status.
        status: u16,
        /// When the receiver wants the next attempt. See [`schedule`](super::schedule).
        retry_after: Option<String>,
        /// `content-type`, `location`, `retry-after` and `server`, if they were sent.
        headers: Vec<(String, String)>,
        /// The beginning of the body. It has no zero byte, which Postgres could not store.
        body: String,
    },
    /// There was no complete response.
    Failed {
        /// The reason.
        code: FailureCode,
    },
}

/// Why there was no complete response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The host's name was not resolved.
    DnsFailed,
    /// The host has only addresses that the policy refuses.
    AddressRefused,
    /// No connection was opened.
    ConnectionFailed,
    /// The TLS handshake failed, for example because the certificate is not valid.
    TlsFailed,
    /// The deadline passed.
    TimedOut,
    /// The receiver closed the connection before its response was complete.
    ConnectionClosed,
    /// The response is not HTTP.
    ResponseInvalid,
}

impl FailureCode {
    /// The text that is stored and shown. It does not change.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsFailed => "dns_failed",
            Self::AddressRefused => "address_refused",
            Self::ConnectionFailed => "connection_failed",
            Self::TlsFailed => "tls_failed",
            Self::TimedOut => "timed_out",
            Self::ConnectionClosed => "connection_closed",
            Self::ResponseInvalid => "response_invalid",
        }
    }
}

/// Sends deliveries. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Sender {
    https: Clients,
    http: Clients,
    deadline: Duration,
}

impl Sender {
    /// A sender that connects to the addresses that the policy permits.
    ///
    /// # Errors
    /// If the machine's certificates cannot be read.
    pub fn new(policy: AddressPolicy) -> anyhow::Result<Self> {
        Self::with_deadline(policy, DEADLINE)
    }

    /// The same with another deadline.
    ///
    /// # Errors
    /// If the machine's certificates cannot be read.
    pub fn with_deadline(policy: AddressPolicy, deadline: Duration) -> anyhow::Result<Self> {
        let policy = Arc::new(policy);
        let https = Clients::new(AddressFilter { policy: policy.clone(), scheme: Scheme::Https })?;
        let http = Clients::new(AddressFilter { policy, scheme: Scheme::Http })?;
        Ok(Self { https, http, deadline })
    }

    /// Makes one attempt: a POST of the body, with these headers and those that every delivery has.
    ///
    /// A kept-alive connection can be closed by the receiver just as the request is sent on it. The request is then
    /// sent once more, on a new connection, and both are one attempt.
    pub async fn send(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Attempt {
        let stopwatch = Stopwatch::start();
        let exchanged = timeout(self.deadline, self.exchange(url, headers, body)).await;
        let outcome = exchanged.unwrap_or(Err(FailureCode::TimedOut)).unwrap_or_else(|code| Outcome::Failed { code });
        Attempt { duration: stopwatch.elapsed(), outcome }
    }

    async fn exchange(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Outcome, FailureCode> {
        let clients = match url.scheme() {
            "https" => &self.https,
            "http" => &self.http,
            _ => return Err(FailureCode::ConnectionFailed),
        };
        if ip_literal(url).is_some_and(|address| !clients.filter.permits(address)) {
            return Err(FailureCode::AddressRefused);
        }
        let response = clients.execute(&|| request(url, &headers, &body)).await?;
        read(response).await.map_err(|error| failure_code(&error))
    }
}

/// The HTTP clients of one scheme.
#[derive(Debug, Clone)]
struct Clients {
    filter: AddressFilter,
    /// Keeps connections alive.
    pooled: Client,
    /// Opens a connection for each request.
    unpooled: Client,
}

impl Clients {
    fn new(filter: AddressFilter) -> anyhow::Result<Self> {
        let build = |idle_connections_max| {
            let client = http_client(filter.clone(), idle_connections_max);
            client.context("failed to set up the HTTP client for webhooks")
        };
        Ok(Self { pooled: build(IDLE_CONNECTIONS_MAX)?, unpooled: build(0)?, filter })
    }

    async fn execute(&self, request: &impl Fn() -> Request) -> Result<Response, FailureCode> {
        let first_try = OPENS_CONNECTION.scope(Cell::new(false), async {
            let result = self.pooled.execute(request()).await;
            result.map_err(|error| (failure_code(&error), OPENS_CONNECTION.with(Cell::get)))
        });
        match first_try.await {
            Ok(response) => Ok(response),
            Err((FailureCode::ConnectionClosed, false)) => {
                self.unpooled.execute(request()).await.map_err(|error| failure_code(&error))
            }
            Err((code, _)) => Err(code),
        }
    }
}

/// TLS is rustls with ring. The process has one default provider, which this function and `edge/kv.rs` install; only
/// the first call has an effect. The trusted roots are those of the operating system (`SSL_CERT_FILE` or
/// `SSL_CERT_DIR`, if set), which reqwest's default verifier, `rustls-platform-verifier`, loads when a client is built.
fn http_client(filter: AddressFilter, idle_connections_max: usize) -> reqwest::Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder();
    let builder = match filter.scheme {
        Scheme::Https => builder.https_only(true),
        // This client never uses TLS, so it does not load the roots.
        Scheme::Http => builder.tls_certs_only([]),
    };
    builder
        .dns_resolver(filter)
        // HTTP_PROXY, HTTPS_PROXY and ALL_PROXY of the environment are ignored.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .connector_layer(MapRequestLayer::new(record_opening))
        .pool_max_idle_per_host(idle_connections_max)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(USER_AGENT)
        .build()
}

/// Runs before each connection is opened. Some are opened in the background, outside of the scope of a request.
fn record_opening<Destination>(destination: Destination) -> Destination {
    let _ = OPENS_CONNECTION.try_with(|opens| opens.set(true));
    destination
}

fn request(url: &Url, headers: &HeaderMap, body: &Bytes) -> Request {
    let mut request = Request::new(Method::POST, url.clone());
    let all = request.headers_mut();
    all.extend(headers.clone());
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    all.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *request.body_mut() = Some(body.clone().into());
    request
}

#[derive(Debug, Clone, Copy)]
enum Scheme {
    Https,
    Http,
}

/// Decides which addresses a client connects to.
#[derive(Debug, Clone)]
struct AddressFilter {
    policy: Arc<AddressPolicy>,
    scheme: Scheme,
}

impl AddressFilter {
    fn permits(&self, address: IpAddr) -> bool {
        match self.scheme {
            Scheme::Https => self.policy.permits(address),
            Scheme::Http => self.policy.permits_plain_http(address),
        }
    }
}

/// No connection can be opened, because the policy refuses all addresses of the host.
#[derive(Debug, thiserror::Error)]
#[error("all addresses of the host are refused")]
struct AddressRefused;

/// The client connects only to addresses that it gets from here, and asks again for each connection. So a name cannot
/// resolve to a public address for a check, and to a private one for the connection.
impl Resolve for AddressFilter {
    fn resolve(&self, name: Name) -> Resolving {
        let filter = self.clone();
        Box::pin(async move {
            let resolved: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
            let is_resolved = !resolved.is_empty();
            let permitted: Vec<SocketAddr> =
                resolved.into_iter().filter(|address| filter.permits(address.ip())).collect();
            if is_resolved && permitted.is_empty() {
                return Err(AddressRefused.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

async fn read(mut response: Response) -> reqwest::Result<Outcome> {
    let headers = recorded_headers(response.headers());
    let retry_after = headers.iter().find(|(name, _)| *name == header::RETRY_AFTER.as_str());
    let retry_after = retry_after.map(|(_, value)| value.clone());
    let status = response.status().as_u16();
    let body = storable(&read_body(&mut response).await?, BODY_MAX);
    Ok(Outcome::Responded { status, retry_after, headers, body })
}

/// Reads up to the limit. Then the connection is closed, so the receiver cannot make us read the rest.
async fn read_body(response: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < BODY_MAX
        && let Some(chunk) = response.chunk().await?
    {
        let kept = chunk.len().min(BODY_MAX - body.len());
        body.extend_from_slice(&chunk[..kept]);
    }
    Ok(body)
}

/// The first value of each recorded header.
fn recorded_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let value = |name: &HeaderName| {
        let text = String::from_utf8_lossy(headers.get(name)?.as_bytes());
        Some((name.to_string(), text.chars().take(HEADER_VALUE_MAX_LENGTH).collect()))
    };
    RECORDED_HEADERS.iter().filter_map(value).collect()
}

/// The bytes as text that every database can store, of this many bytes at the most. What is not UTF-8 becomes U+FFFD,
/// which is longer than what it replaces.
fn storable(bytes: &[u8], length_max: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "\u{FFFD}");
    text.truncate(text.floor_char_boundary(length_max));
    text
}

fn failure_code(error: &reqwest::Error) -> FailureCode {
    let has_cause = |is: fn(&(dyn Error + 'static)) -> bool| causes(error).any(is);
    if has_cause(|cause| cause.is::<AddressRefused>()) {
        FailureCode::AddressRefused
    } else if error.is_timeout() {
        FailureCode::TimedOut
    } else if error.is_dns() {
        FailureCode::DnsFailed
    } else if has_cause(|cause| cause.is::<rustls::Error>()) {
        FailureCode::TlsFailed
    } else if error.is_connect() {
        // TCP has no end of a stream before the handshake, so it was the handshake that the receiver broke off.
        if has_cause(is_hang_up) { FailureCode::TlsFailed } else { FailureCode::ConnectionFailed }
    } else if error.is_builder() {
        FailureCode::ConnectionFailed
    } else if has_cause(is_malformed) {
        FailureCode::ResponseInvalid
    } else {
        FailureCode::ConnectionClosed
    }
}

/// The error and all that caused it.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(Some(error as &(dyn Error + 'static)), |error| next_cause(*error))
}

/// An I/O error passes over the error that it wraps when it is asked for its source.
fn next_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn is_hang_up(error: &(dyn Error + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

/// A head that is not HTTP, or a body in bad chunks.
fn is_malformed(error: &(dyn Error + 'static)) -> bool {
    let is_bad_head = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    is_bad_head || matches!(kind, Some(ErrorKind::InvalidData | ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests;
