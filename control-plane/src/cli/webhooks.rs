use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Subcommand;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::{
    StatusCode, Url,
    header::{self, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    cli::{
        events::{paint_type, type_width},
        follow::FollowOptions,
        remote::{Event, parse_http_url, variable},
        terminal::{Colour, LocalTime, Palette, print_message, printable, run_until_interrupted},
    },
    clock::Clock,
    entropy::OsEntropy,
    webhooks::{
        address::AddressPolicy,
        secret::WebhookSecret,
        sender::{Attempt, FailureCode, Outcome, Sender},
        signature::{SigningSecrets, sign},
    },
};

const SECRET_VARIABLE: &str = "LATCHKEY_WEBHOOK_SECRET";
/// Longer than that of real deliveries, so that a debugger can stop the receiver for a while.
const DEADLINE: Duration = Duration::from_secs(30);
/// How much of the response to a failed delivery is shown, in characters.
const EXCERPT_MAX_LENGTH: usize = 80;

const LISTEN_EXAMPLES: &str = "\
Examples:
  export LATCHKEY_SERVER=https://keys.example.com LATCHKEY_MANAGEMENT_KEY=mk_…
  latchkey webhooks listen --forward-to http://localhost:3000/webhooks
  latchkey webhooks listen --forward-to localhost:3000/webhooks --since 1h --events api_key.revoked";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Forward the events of a server to a URL, such as one on this machine, as webhooks, until Ctrl-C.
    ///
    /// Use it to develop a webhook receiver. The command reads the events from the API and sends each to the URL
    /// exactly as a webhook endpoint receives it: the same body, headers and signatures. So this machine needs no
    /// public address, and no endpoint has to be created. Events are sent one after the other, in order, and each only
    /// once: a delivery that fails is shown and not repeated.
    #[command(after_help = LISTEN_EXAMPLES)]
    Listen(Listen),
}

/// The options of `webhooks listen`.
#[derive(Debug, clap::Args)]
pub(super) struct Listen {
    /// The URL of the receiver. It can be on any machine; without a scheme, it is an http URL.
    #[arg(long, value_name = "URL")]
    forward_to: String,
    #[command(flatten)]
    follow: FollowOptions,
    /// Sign with this secret. Default: the environment variable LATCHKEY_WEBHOOK_SECRET, or a new secret, which is
    /// printed.
    ///
    /// Other users of this machine can see the arguments of a process, so for the secret of a real endpoint use the
    /// variable.
    #[arg(long, value_name = "SECRET", value_parser = parse_secret_argument)]
    secret: Option<SecretString>,
}

/// Whether it is a secret is checked later, because the errors of arguments quote them.
fn parse_secret_argument(text: &str) -> Result<SecretString, &'static str> {
    Ok(text.into())
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Listen(options) = command;
    run_until_interrupted(listen(options)).await
}

async fn listen(options: Listen) -> anyhow::Result<()> {
    let targets = Targets::parse(&options.forward_to)?;
    let secret = Secret::choose(options.secret, variable(SECRET_VARIABLE))?;
    let mut follower = options.follow.start(None).await?;
    print_message(&format!(
        "Forwarding {} of {} to {}. Press Ctrl-C to stop.",
        follower.shown_types(),
        follower.server(),
        options.forward_to
    ));
    print_message(&secret.message);
    let lines = Lines::new(type_width(follower.types()));
    let mut forwarder = Forwarder::new(targets, secret.secret)?;
    loop {
        for event in follower.next_page().await? {
            let attempt = forwarder.forward(&event).await?;
            print_line!("{}", lines.render(&event, &attempt));
        }
    }
}

/// The secret that signs, and what is said of it.
struct Secret {
    secret: WebhookSecret,
    message: String,
}

impl Secret {
    /// A secret that was given is not printed: it may be that of a real endpoint.
    fn choose(argument: Option<SecretString>, variable: Option<String>) -> anyhow::Result<Self> {
        let argument = argument.map(|text| (text, "--secret"));
        let given = argument.or_else(|| variable.map(|text| (text.into(), SECRET_VARIABLE)));
        let Some((text, source)) = given else {
            let secret = WebhookSecret::generate(&mut OsEntropy);
            let message = format!(
                "Signing secret: {} (new; to keep it for the next time, set {SECRET_VARIABLE})",
                secret.expose()
            );
            return Ok(Self { secret, message });
        };
        let secret = WebhookSecret::parse(text.expose_secret().trim());
        let secret = secret.with_context(|| {
            format!("{source} is not a webhook secret: it must be `whsec_` and base64 of 24 to 64 bytes")
        })?;
        let message = format!("Signing secret: {} ({source})", secret.masked());
        Ok(Self { secret, message })
    }
}

/// The URL of the receiver, and the other addresses at which it may be found.
#[derive(Debug)]
struct Targets {
    urls: Vec<Url>,
    /// What the receiver was called, for requests to its address.
    host: Option<HeaderValue>,
    /// The one that was connected last.
    current: usize,
}

impl Targets {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = parse_http_url(&with_scheme)
            .map_err(|problem| anyhow!("--forward-to {problem}, such as http://localhost:3000/webhooks"))?;
        Ok(Self::new(url))
    }

    /// `localhost` can be both loopback addresses, or on some machines only one of them, and servers listen on either.
    /// With https, the name has to stay in the URL, because the certificate is for it.
    fn new(url: Url) -> Self {
        let is_localhost = url.scheme() == "http" && url.host_str() == Some("localhost");
        if !is_localhost {
            return Self { urls: vec![url], host: None, current: 0 };
        }
        let host = url.port().map_or_else(|| "localhost".to_owned(), |port| format!("localhost:{port}"));
        let with_host = |host| {
            let mut url = url.clone();
            url.set_host(Some(host)).ok().map(|()| url)
        };
        let addresses = ["127.0.0.1", "[::1]"].into_iter().filter_map(with_host);
        Self { urls: addresses.collect(), host: HeaderValue::from_str(&host).ok(), current: 0 }
    }

    /// The URLs, beginning with the one that was connected last.
    fn in_order(&self) -> impl Iterator<Item = (usize, &Url)> {
        let count = self.urls.len();
        (0..count).map(move |step| (self.current + step) % count).map(|index| (index, &self.urls[index]))
    }
}

/// Sends events as webhooks.
struct Forwarder {
    sender: Sender,
    targets: Targets,
    secrets: SigningSecrets,
    clock: Clock,
}

impl Forwarder {
    fn new(targets: Targets, secret: WebhookSecret) -> anyhow::Result<Self> {
        let sender = Sender::with_deadline(every_address(), DEADLINE)?;
        let secrets = SigningSecrets { current: secret, previous: None };
        Ok(Self { sender, targets, secrets, clock: Clock::system() })
    }

    async fn forward(&mut self, event: &Event) -> anyhow::Result<Attempt> {
        let body = Bytes::copy_from_slice(event.json.get().as_bytes());
        let mut headers = sign(event.id.as_str(), self.clock.now(), &body, &self.secrets)?;
        headers.extend(self.targets.host.clone().map(|host| (header::HOST, host)));
        let (connected, attempt) = self.send(&headers, &body).await;
        self.targets.current = connected;
        Ok(attempt)
    }

    /// Tries the next address only if nothing listens on one, so that no event is sent twice.
    async fn send(&self, headers: &HeaderMap, body: &Bytes) -> (usize, Attempt) {
        let mut last = None;
        for (index, url) in self.targets.in_order() {
            let attempt = self.sender.send(url, headers.clone(), body.clone()).await;
            let is_connected = !matches!(attempt.outcome, Outcome::Failed { code: FailureCode::ConnectionFailed });
            last = Some((index, attempt));
            if is_connected {
                break;
            }
        }
        let nowhere =
            Attempt { duration: Duration::ZERO, outcome: Outcome::Failed { code: FailureCode::ConnectionFailed } };
        last.unwrap_or((0, nowhere))
    }
}

/// The developer chooses the URL, and the request is made from the developer's own machine.
fn every_address() -> AddressPolicy {
    AddressPolicy { allowed: vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())] }
}

/// Renders deliveries as lines with columns.
struct Lines {
    palette: Palette,
    local_time: LocalTime,
    type_width: usize,
    clock: Clock,
}

impl Lines {
    fn new(type_width: usize) -> Self {
        let (palette, local_time) = (Palette::of_stdout(), LocalTime::of_system());
        Self { palette, local_time, type_width, clock: Clock::system() }
    }

    fn render(&self, event: &Event, attempt: &Attempt) -> String {
        let time = self.palette.dim(&self.local_time.time(self.clock.now()));
        let kind = paint_type(self.palette, &event.event, self.type_width);
        let colour = if attempt.is_success() { Colour::Green } else { Colour::Red };
        let outcome = self.palette.paint(colour, &format!("→ {}", outcome(&attempt.outcome)));
        let details = details(&attempt.outcome).map_or_else(String::new, |details| format!("  {details}"));
        let duration = self.palette.dim(&format!("{} ms", attempt.duration.as_millis()));
        format!("{time}  {kind}  {}  {outcome}  {duration}{details}", event.id)
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Responded { status, .. } => {
            let status_code = StatusCode::from_u16(*status).ok();
            let reason = status_code.and_then(|status| status.canonical_reason()).unwrap_or_default();
            format!("{status} {reason}").trim_end().to_owned()
        }
        Outcome::Failed { code } => failure(*code).to_owned(),
    }
}

const fn failure(code: FailureCode) -> &'static str {
    match code {
        FailureCode::DnsFailed => "the host name was not found",
        FailureCode::AddressRefused => "the address is not permitted",
        FailureCode::ConnectionFailed => "cannot connect",
        FailureCode::TlsFailed => "the TLS handshake failed",
        FailureCode::TimedOut => "no response in time",
        FailureCode::ConnectionClosed => "the connection was closed before the response was complete",
        FailureCode::ResponseInvalid => "the response is not HTTP",
    }
}

/// What helps to find out why a delivery failed: where it was redirected to, or the first line of the response.
fn details(outcome: &Outcome) -> Option<String> {
    let Outcome::Responded { status, headers, body, .. } = outcome else { return None };
    if (200..=299).contains(status) {
        return None;
    }
    let location = headers.iter().find(|(name, _)| *name == header::LOCATION.as_str());
    if let Some((_, location)) = location {
        return Some(format!("redirects are not followed: {}", printable(location)));
    }
    let line = body.trim_start().lines().next().unwrap_or_default();
    // Pages of HTML say nothing in their first line.
    let is_text = !line.is_empty() && !line.starts_with('<');
    is_text.then(|| printable(&line.chars().take(EXCERPT_MAX_LENGTH).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::cli::terminal::tests::{COLOURED, PLAIN, UTC};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn responded(status: u16, location: Option<&str>, body: &str) -> Attempt {
        let headers = location.map(|location| ("location".to_owned(), location.to_owned())).into_iter().collect();
        let outcome = Outcome::Responded { status, retry_after: None, headers, body: body.to_owned() };
        Attempt { duration: Duration::from_millis(12), outcome }
    }

    fn failed(code: FailureCode) -> Attempt {
        Attempt { duration: Duration::from_millis(3), outcome: Outcome::Failed { code } }
    }

    fn render(palette: Palette, attempt: &Attempt) -> String {
        let clock = Clock::from_fn(|| shared::Timestamp::from_millis(1_768_478_400_000));
        let lines = Lines { palette, local_time: UTC, type_width: 17, clock };
        let id = "event_01KF0JZ4G0000000000000000A".parse().unwrap();
        let event = Event { id, event: "api_key.created".to_owned(), json: to_raw_value(&json!({})).unwrap() };
        lines.render(&event, attempt)
    }

    const START: &str = "12:00:00  api_key.created    event_01KF0JZ4G0000000000000000A  → ";

    #[test]
    fn delivery_is_a_line_with_its_status_and_duration() {
        assert_eq!(render(PLAIN, &responded(200, None, "ok")), format!("{START}200 OK  12 ms"));
        assert_eq!(render(PLAIN, &responded(299, None, "")), format!("{START}299  12 ms"));
    }

    #[test]
    fn failed_delivery_shows_why() {
        for (attempt, expected) in [
            (responded(400, None, "\nbad signature\nat x"), "400 Bad Request  12 ms  bad signature"),
            (responded(500, None, "<!doctype html>"), "500 Internal Server Error  12 ms"),
            (responded(308, Some("/new"), "moved"), "308 Permanent Redirect  12 ms  redirects are not followed: /new"),
            (responded(400, None, "\u{1b}[2J"), "400 Bad Request  12 ms  \u{FFFD}[2J"),
            (failed(FailureCode::ConnectionFailed), "cannot connect  3 ms"),
        ] {
            assert_eq!(render(PLAIN, &attempt), format!("{START}{expected}"));
        }
        let long = render(PLAIN, &responded(400, None, &"x".repeat(1000)));
        assert!(long.ends_with(&format!("  {}", "x".repeat(80))), "{long}");
    }

    #[test]
    fn failed_delivery_has_another_colour() {
        assert!(render(COLOURED, &responded(204, None, "")).contains("\x1b[32m→ 204"));
        assert!(render(COLOURED, &responded(302, None, "")).contains("\x1b[31m→ 302"));
        assert!(render(COLOURED, &failed(FailureCode::TimedOut)).contains("\x1b[31m→ no response"));
    }

    fn urls(text: &str) -> Vec<String> {
        Targets::parse(text).unwrap().urls.iter().map(Url::to_string).collect()
    }

    #[test]
    fn localhost_is_both_loopback_addresses() {
        assert_eq!(urls("http://localhost:3000/a?b"), ["http://127.0.0.1:3000/a?b", "http://[::1]:3000/a?b"]);
        assert_eq!(urls("localhost"), ["http://127.0.0.1/", "http://[::1]/"]);
        assert_eq!(Targets::parse("localhost:3000").unwrap().host.unwrap(), "localhost:3000");
        assert_eq!(Targets::parse("http://localhost:80").unwrap().host.unwrap(), "localhost");
    }

    #[test]
    fn other_hosts_are_one_url() {
        assert_eq!(urls("example.com:3000/hook"), ["http://example.com:3000/hook"]);
        assert_eq!(urls("https://localhost/hook"), ["https://localhost/hook"]);
        assert_eq!(urls("http://[::1]:3000"), ["http://[::1]:3000/"]);
    }

    #[test]
    fn address_that_was_connected_last_is_tried_first() {
        let mut targets = Targets::parse("localhost").unwrap();
        targets.current = 1;
        assert_eq!(targets.in_order().map(|(index, _)| index).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn url_that_is_not_http_is_refused_and_not_repeated() {
        for text in ["", "ftp://hush", "http://me:hush@localhost", "http://hush@localhost", "http://x#hush"] {
            let error = Targets::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("--forward-to must be a URL") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn given_secret_is_masked_and_a_new_one_is_shown() {
        let other = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH".to_owned();
        let given = Secret::choose(Some(SECRET.into()), Some(other)).unwrap();
        assert_eq!(given.message, "Signing secret: whsec_…LaSw (--secret)");
        assert_eq!(given.secret.expose(), SECRET);
        let given = Secret::choose(None, Some(SECRET.to_owned())).unwrap();
        assert_eq!(given.message, "Signing secret: whsec_…LaSw (LATCHKEY_WEBHOOK_SECRET)");
        let new = Secret::choose(None, None).unwrap();
        assert!(new.message.contains(new.secret.expose()));
    }

    #[test]
    fn text_that_is_no_secret_is_refused_and_not_repeated() {
        let error = Secret::choose(Some("whsec_hush".into()), None).err().unwrap().to_string();
        assert!(error.contains("--secret") && !error.contains("hush"), "{error}");
    }
}
