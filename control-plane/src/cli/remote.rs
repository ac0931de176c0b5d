//! A server that a command calls over HTTP, with a management key. It needs neither the database nor the settings of
//! the server.

use std::{
    env,
    error::Error,
    fs::File,
    io::Read,
    iter::successors,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{self, HeaderValue},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::{
    error::ErrorBody,
    id::EventId,
    key::{self, MANAGEMENT_PREFIX},
};

use crate::{
    cli::terminal::printable, clock::Clock, edge::kv::http_client_builder, webhooks::schedule::parse_retry_after,
};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8787";
const SERVER_VARIABLE: &str = "LATCHKEY_SERVER";
const KEY_VARIABLE: &str = "LATCHKEY_MANAGEMENT_KEY";
const KEY_FILE_VARIABLE: &str = "LATCHKEY_MANAGEMENT_KEY_FILE";
/// The longest file that a key is read from, in bytes.
const KEY_FILE_MAX: u64 = 4096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After the machine has slept, a connection that is gone is noticed within this time.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest page of events, in bytes. It limits what a wrong server can make us keep.
const PAGE_MAX: usize = 64 * 1024 * 1024;
/// The longest message of a server that is shown, in characters.
const MESSAGE_MAX_LENGTH: usize = 300;

/// The options that name a server and a key.
#[derive(Debug, Args)]
pub(super) struct ServerOptions {
    /// The URL of the server. Default: the environment variable LATCHKEY_SERVER, or http://127.0.0.1:8787.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Read the management key from this file. Default: the environment variable LATCHKEY_MANAGEMENT_KEY holds the key,
    /// or LATCHKEY_MANAGEMENT_KEY_FILE names the file.
    ///
    /// The key needs the scope `events:read`. No option takes the key itself, because other users of this machine can
    /// see the arguments of a process.
    #[arg(long, value_name = "FILE")]
    management_key_file: Option<PathBuf>,
}

/// A server, and the key that authenticates us to it.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    url: Url,
    authorization: HeaderValue,
    key_source: String,
    clock: Clock,
}

/// A page of events.
#[derive(Debug)]
pub(super) struct EventPage {
    /// The events, in the order that was asked for.
    pub(super) events: Vec<Event>,
    /// Whether there are more events after this page.
    pub(super) has_more: bool,
}

/// An event as the server sent it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: EventId,
    /// Its type.
    pub(super) event: String,
    /// The bytes of the response, unchanged. Signatures of webhooks are over these.
    pub(super) json: Box<RawValue>,
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum ListError {
    /// The same request can succeed later.
    Unavailable {
        /// What happened.
        reason: String,
        /// How long the server wants us to wait.
        retry_after: Option<Duration>,
    },
    /// Only a person can help. The error says how.
    Refused(anyhow::Error),
}

impl ServerOptions {
    /// The server. Nothing is sent to it yet.
    pub(super) fn open(&self) -> anyhow::Result<Server> {
        let url =
            server_url(&self.server.clone().or_else(|| variable(SERVER_VARIABLE)).unwrap_or(DEFAULT_SERVER.into()))?;
        let (key, key_source) = self.management_key()?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {key}")).context("the management key is invalid")?;
        authorization.set_sensitive(true);
        let client = http_client(&url).context("failed to set up the HTTP client")?;
        Ok(Server { client, url, authorization, key_source, clock: Clock::system() })
    }

    /// The key, and where it is from.
    fn management_key(&self) -> anyhow::Result<(String, String)> {
        let (text, source) = if let Some(file) = &self.management_key_file {
            (read_key_file(file, "--management-key-file")?, "the file of --management-key-file".to_owned())
        } else if let Some(text) = variable(KEY_VARIABLE) {
            (text, KEY_VARIABLE.to_owned())
        } else if let Some(file) = variable(KEY_FILE_VARIABLE) {
            (read_key_file(Path::new(&file), KEY_FILE_VARIABLE)?, format!("the file that {KEY_FILE_VARIABLE} names"))
        } else {
            bail!(
                "there is no management key: set {KEY_VARIABLE}, or pass --management-key-file FILE. To create a key, \
                 run `latchkey management-keys create` where the server runs"
            );
        };
        let key = text.trim().to_owned();
        ensure!(
            key::parse(&key) == Ok(MANAGEMENT_PREFIX),
            "{source} does not hold a complete management key, which begins with `{MANAGEMENT_PREFIX}_`"
        );
        Ok((key, source))
    }
}

/// A variable of the environment that is not blank.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn read_key_file(file: &Path, source: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|open| open.take(KEY_FILE_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        // If the key is passed instead of a file, it must not end up in a log.
        Err(_) if key::is_within(&file.to_string_lossy()) => {
            bail!("{source} must be the name of a file that holds the key, not the key itself")
        }
        Err(error) => Err(error).with_context(|| format!("cannot read the management key from {}", file.display())),
    }
}

fn server_url(text: &str) -> anyhow::Result<Url> {
    let url = parse_http_url(text)
        .map_err(|problem| anyhow!("--server (or {SERVER_VARIABLE}) {problem}, such as https://keys.example.com"))?;
    ensure!(url.query().is_none(), "--server (or {SERVER_VARIABLE}) must not have a query (?)");
    Ok(url)
}

/// Parses an http or https URL. Errors do not repeat it: it may hold a password.
pub(super) fn parse_http_url(text: &str) -> Result<Url, &'static str> {
    const NOT_HTTP: &str = "must be a URL that begins with http:// or https://";
    let url = Url::parse(text.trim()).map_err(|_| NOT_HTTP)?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        Err(NOT_HTTP)
    } else if !url.username().is_empty() || url.password().is_some() {
        Err("must be a URL without a user name and a password")
    } else if url.fragment().is_some() {
        Err("must be a URL without a fragment (#)")
    } else {
        Ok(url)
    }
}

/// Whether requests to the URL stay on this machine.
fn is_local(url: &Url) -> bool {
    match url.host_str().unwrap_or_default() {
        "localhost" | "[::1]" => true,
        host => host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback()),
    }
}

/// A server on this machine is not reached by way of a proxy.
fn http_client(url: &Url) -> reqwest::Result<Client> {
    let builder = http_client_builder(TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
    if is_local(url) { builder.no_proxy().build() } else { builder.build() }
}

impl Server {
    /// Its URL, as people write it.
    pub(super) fn shown(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Whether the key is sent over a network without encryption.
    pub(super) fn sends_key_unencrypted(&self) -> bool {
        self.url.scheme() == "http" && !is_local(&self.url)
    }

    /// Lists events. The parameters are those of `GET /events`.
    pub(super) async fn list_events(&self, parameters: &[(&str, String)]) -> Result<EventPage, ListError> {
        let request = self.client.get(self.events_url(parameters)).header(header::AUTHORIZATION, &self.authorization);
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let body = read(&mut response).await.map_err(|error| self.unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(&response, body.as_deref(), parameters));
        }
        let unreadable = || unavailable(format!("The response of {} is not a list of events", self.shown()));
        body.and_then(|body| parse_page(&body).ok()).ok_or_else(unreadable)
    }

    fn events_url(&self, parameters: &[(&str, String)]) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/events", self.url.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(parameters);
        url
    }

    fn unreachable(&self, error: &reqwest::Error) -> ListError {
        unavailable(format!("Cannot reach {}: {}", self.shown(), root_cause(error)))
    }

    fn refusal(&self, response: &Response, body: Option<&[u8]>, parameters: &[(&str, String)]) -> ListError {
        let (shown, status) = (self.shown(), response.status());
        let body: Option<ErrorBody> = body.and_then(|body| serde_json::from_slice(body).ok());
        let is_temporary = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        if is_temporary || status.is_server_error() {
            let reason = format!("{shown} responded with {status}");
            return ListError::Unavailable { reason, retry_after: self.retry_after(response) };
        }
        ListError::Refused(self.explain(response, body.as_ref(), parameters))
    }

    /// What happened, and what to do about it.
    fn explain(&self, response: &Response, body: Option<&ErrorBody>, parameters: &[(&str, String)]) -> anyhow::Error {
        let (shown, status) = (self.shown(), response.status());
        match status {
            StatusCode::UNAUTHORIZED => anyhow!(
                "{shown} does not accept the management key in {}: the key may be revoked, or of another server. To \
                 create one, run `latchkey management-keys create` where the server runs",
                self.key_source
            ),
            StatusCode::FORBIDDEN => anyhow!(
                "{shown} refused the request ({status}): {}. To create a key that may read events, run `latchkey \
                 management-keys create` with `--scope events:read` where the server runs",
                description(body)
            ),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => anyhow!(
                "{shown} has no events ({status}): check that --server is the URL of a Latchkey server, and that the \
                 server is not older than this command"
            ),
            _ if status.is_redirection() => anyhow!(
                "{shown} redirects to {}; redirects are not followed, so pass the URL that it leads to as --server",
                location(response)
            ),
            _ => match lost_cursor(body, parameters) {
                Some(cursor) => anyhow!(
                    "{cursor} is not in the event log of {shown}: it is older than the retention, was lost when a \
                     backup was restored, or is of another environment, so events may have been missed. Start again \
                     without it, and compare with the resources themselves"
                ),
                None => anyhow!("{shown} refused the request ({status}): {}", description(body)),
            },
        }
    }

    fn retry_after(&self, response: &Response) -> Option<Duration> {
        let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
        let millis = parse_retry_after(text, self.clock.now())?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}

fn unavailable(reason: String) -> ListError {
    ListError::Unavailable { reason, retry_after: None }
}

/// The body, or `None` if it is too long.
async fn read(response: &mut Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > PAGE_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn parse_page(body: &[u8]) -> serde_json::Result<EventPage> {
    #[derive(Deserialize)]
    struct Page {
        data: Vec<Box<RawValue>>,
        list_metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        after: Option<String>,
    }
    #[derive(Deserialize)]
    struct Head {
        id: EventId,
        event: String,
    }
    let page: Page = serde_json::from_slice(body)?;
    let events = page.data.into_iter().map(|json| {
        let Head { id, event } = serde_json::from_str(json.get())?;
        Ok(Event { id, event, json })
    });
    Ok(EventPage { events: events.collect::<serde_json::Result<_>>()?, has_more: page.list_metadata.after.is_some() })
}

/// The first cause, which says what happened. The errors around it only say what was tried.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no response within {} s", TIMEOUT.as_secs());
    }
    let causes = successors(error.source(), |cause| Error::source(*cause));
    let cause = causes.last().map_or_else(|| "the request failed".to_owned(), ToString::to_string);
    printable(cause.split(" (os error").next().unwrap_or(&cause))
}

/// The cursor of the request, if the error is that it is not in the log.
fn lost_cursor<'a>(body: Option<&ErrorBody>, parameters: &'a [(&str, String)]) -> Option<&'a str> {
    let is_cursor = body?.errors.iter().any(|error| error.field == "after");
    let cursor = parameters.iter().find(|(name, _)| *name == "after").map(|(_, id)| id.as_str());
    cursor.filter(|_| is_cursor)
}

/// What the server says of an error.
fn description(body: Option<&ErrorBody>) -> String {
    let Some(body) = body else { return "the response does not say why".to_owned() };
    let fields = body.errors.iter().map(|error| format!("`{}` {}", error.field, error.message));
    let fields: Vec<String> = fields.collect();
    let text = if fields.is_empty() { body.message.clone() } else { fields.join("; ") };
    let text: String = text.trim_end_matches('.').chars().take(MESSAGE_MAX_LENGTH).collect();
    printable(&text)
}

fn location(response: &Response) -> String {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location: Option<String> = location.map(|text| text.chars().take(MESSAGE_MAX_LENGTH).collect());
    location.map_or_else(|| "another URL".to_owned(), |text| printable(&text))
}

#[cfg(test)]
pub(super) mod tests {
    use shared::{entropy::Repeating, error::FieldError, key::KeyText};

    use super::*;

    fn options(server: &str, file: &Path) -> ServerOptions {
        ServerOptions { server: Some(server.to_owned()), management_key_file: Some(file.to_owned()) }
    }

    pub(in crate::cli) fn open(server: &str, key: &str) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, key).unwrap();
        options(server, &file).open()
    }

    fn key() -> KeyText {
        KeyText::generate_management(&mut Repeating(7))
    }

    #[test]
    fn server_url_without_scheme_or_with_credentials_is_refused_and_not_repeated() {
        for url in [
            "keys.example.com",
            "localhost:8787",
            "ftp://x",
            "http://",
            "http://me:hush@x",
            "http://hush@x",
            "http://x#hush",
            "http://x?hush",
        ] {
            let error = open(url, key().expose()).unwrap_err().to_string();
            assert!(error.contains("--server") && !error.contains("hush"), "{url}: {error}");
        }
    }

    #[test]
    fn server_with_a_path_keeps_it() {
        for url in ["https://example.com/keys", "https://example.com/keys/"] {
            let server = open(url, key().expose()).unwrap();
            assert_eq!(server.shown(), "https://example.com/keys");
            let events = server.events_url(&[("limit", "1".to_owned())]);
            assert_eq!(events.as_str(), "https://example.com/keys/events?limit=1");
        }
    }

    #[test]
    fn key_is_sent_unencrypted_only_over_plain_http_to_another_machine() {
        for (url, expected) in [
            ("http://127.0.0.1:8787", false),
            ("http://localhost:8787", false),
            ("http://[::1]", false),
            ("https://example.com", false),
            ("http://example.com", true),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(open(url, key().expose()).unwrap().sends_key_unencrypted(), expected, "{url}");
        }
    }

    #[test]
    fn key_file_may_end_with_white_space() {
        open(DEFAULT_SERVER, &format!("{}\n", key().expose())).unwrap();
    }

    #[test]
    fn text_that_is_no_complete_management_key_is_refused_and_not_repeated() {
        let customer_key = KeyText::generate(&"lk_live".parse().unwrap(), &mut Repeating(7));
        let cut = &key().expose()[..20].to_owned();
        for text in ["", "hush", cut, customer_key.expose()] {
            let error = open(DEFAULT_SERVER, text).unwrap_err().to_string();
            assert!(error.contains("complete management key"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn key_in_place_of_its_file_is_refused_and_not_repeated() {
        let error = options(DEFAULT_SERVER, Path::new(key().expose())).open().unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "--management-key-file must be the name of a file that holds the key, not the key itself"
        );
        let error = options(DEFAULT_SERVER, Path::new("/absent/key")).open().unwrap_err();
        assert!(format!("{error:#}").contains("/absent/key"), "{error:#}");
    }

    #[test]
    fn page_keeps_the_bytes_of_each_event() {
        let event = r#"{"id":"event_01KF0JZ4G0000000000000000A","event":"user.created","data":{"b":1,"a":1.0}}"#;
        let body = format!(r#"{{"object":"list", "data":[{event}, {event}],"list_metadata":{{"after":null}}}}"#);
        let page = parse_page(body.as_bytes()).unwrap();
        assert!(!page.has_more);
        assert_eq!(page.events.len(), 2);
        for received in page.events {
            assert_eq!((received.json.get(), received.event.as_str()), (event, "user.created"));
        }
    }

    #[test]
    fn error_is_described_by_its_fields_or_else_by_its_message() {
        let mut body = ErrorBody { message: "No.".to_owned(), code: "x".to_owned(), errors: vec![] };
        assert_eq!(description(Some(&body)), "No");
        body.errors.push(FieldError::new("events.0", "x", "is not a type of event"));
        assert_eq!(description(Some(&body)), "`events.0` is not a type of event");
        assert_eq!(description(None), "the response does not say why");
    }
}
