//! Follows the event log of a server: each event once, in order, whatever happens to the connection.
//!
//! ```text
//!           ┌──────────────────── page, or nothing new ───────────────────┐
//!           ▼                                                             │
//!  wait 1 s, unless there is more ──► GET /events?after=<last event> ─────┤
//!           ▲                                                             │
//!           └── wait longer and longer ◄── no connection, 408, 429, 5xx ──┘──► all other errors end it
//! ```
//!
//! The position is the id of the last event, so nothing depends on the connection, on clocks, or on how long we were
//! away.

use std::{str::FromStr, time::Duration};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use shared::{
    Timestamp,
    id::{EventId, OrganizationId},
};

use crate::{
    cli::{
        remote::{Event, EventPage, ListError, Server, ServerOptions},
        terminal::{print_message, wait},
    },
    clock::{Clock, Stopwatch},
    events::EventType,
};

/// How long to wait for the next event.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const PAGE_SIZE: usize = 100;
/// The waits between attempts to reach the server: each is twice the one before.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How often the position is moved past events that were not asked for.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The options that say what to follow.
#[derive(Debug, Args)]
pub(super) struct FollowOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// The types of events, separated by commas, such as `api_key.created,api_key.revoked`. Default: all types.
    ///
    /// An unknown type is an error that lists all types.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    #[arg(value_parser = event_type_parser(), hide_possible_values = true)]
    events: Vec<EventType>,
    /// Start in the past: this long ago (`30s`, `15m`, `2h`, `7d`), at a time (`2026-01-15T12:00:00Z`), or after the
    /// event with this id. Default: with the next event.
    #[arg(long, value_name = "START")]
    since: Option<Since>,
}

/// Its errors list all types.
fn event_type_parser() -> impl TypedValueParser<Value = EventType> {
    let names = EventType::ALL.iter().map(|event| event.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<EventType>())
}

/// Where to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Since {
    /// So long before now.
    Ago(Duration),
    /// At this time.
    Time(Timestamp),
    /// After this event.
    Event(EventId),
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Event(id));
        }
        let time = Timestamp::parse(text).map(Self::Time);
        time.or_else(|| parse_duration(text).map(Self::Ago)).ok_or(
            "must be a duration such as 30s, 15m, 2h or 7d, a date and time such as 2026-01-15T12:00:00Z, or the id \
             of an event",
        )
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    const YEAR_SECONDS: u64 = 366 * 24 * 60 * 60;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(seconds)?;
    (seconds <= YEAR_SECONDS).then(|| Duration::from_secs(seconds))
}

/// The position in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    /// Before the first event.
    Beginning,
    /// Before the first event at this time or later.
    Time(Timestamp),
    /// After this event.
    Event(EventId),
}

/// Follows the log.
#[derive(Debug)]
pub(super) struct Follower {
    connection: Connection,
    types: Vec<EventType>,
    organization: Option<OrganizationId>,
    position: Position,
    /// Whether there are events that can be read without waiting.
    is_behind: bool,
    advance_interval: Duration,
    since_advance: Stopwatch,
}

impl FollowOptions {
    /// Finds the position to start at. Without `--since`, the server is asked for it.
    pub(super) async fn start(self, organization: Option<OrganizationId>) -> anyhow::Result<Follower> {
        let server = self.server.open()?;
        if server.sends_key_unencrypted() {
            print_message("Warning: the management key is sent without encryption. Use an https URL for --server.");
        }
        let types = if self.events.is_empty() { EventType::ALL.to_vec() } else { self.events };
        Follower::start(Connection::new(server), types, organization, self.since).await
    }
}

impl Follower {
    async fn start(
        mut connection: Connection,
        types: Vec<EventType>,
        organization: Option<OrganizationId>,
        since: Option<Since>,
    ) -> anyhow::Result<Self> {
        let position = match since {
            Some(Since::Event(id)) => Position::Event(id),
            Some(Since::Time(at)) => Position::Time(at),
            Some(Since::Ago(duration)) => Position::Time(before(Clock::system().now(), duration)),
            None => connection.newest().await?.map_or(Position::Beginning, Position::Event),
        };
        let advance_interval = ADVANCE_INTERVAL;
        let since_advance = Stopwatch::start();
        Ok(Self { connection, types, organization, position, is_behind: true, advance_interval, since_advance })
    }

    /// The URL of the server.
    pub(super) fn server(&self) -> &str {
        self.connection.server.shown()
    }

    /// The types that are followed.
    pub(super) fn types(&self) -> &[EventType] {
        &self.types
    }

    /// What is followed, as people say it: `events`, or `api_key.created, api_key.revoked events`.
    pub(super) fn shown_types(&self) -> String {
        let is_all = self.types.len() == EventType::ALL.len();
        if is_all { "events".to_owned() } else { format!("{} events", names(&self.types, ", ")) }
    }

    /// Waits for the next events, at most a page of them.
    pub(super) async fn next_page(&mut self) -> anyhow::Result<Vec<Event>> {
        loop {
            if !self.is_behind {
                wait(POLL_INTERVAL).await?;
            }
            let events = self.poll().await?;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Returns the events after the position, and moves it.
    async fn poll(&mut self) -> anyhow::Result<Vec<Event>> {
        let newest = self.newest_if_due().await?;
        let EventPage { events, has_more } = self.connection.request(&self.parameters()).await?;
        self.is_behind = has_more;
        // After an empty page, everything up to the event that was the newest before it has been looked at.
        if let Some(id) = events.last().map(|event| event.id.clone()).or(newest) {
            self.position = Position::Event(id);
        }
        Ok(events)
    }

    /// The newest event of all types, from time to time. If no event of those that we follow happens for weeks, the
    /// last one leaves the log, and could not be a cursor any more.
    async fn newest_if_due(&mut self) -> anyhow::Result<Option<EventId>> {
        let is_due = self.since_advance.elapsed() >= self.advance_interval;
        if !is_due || !matches!(self.position, Position::Event(_)) {
            return Ok(None);
        }
        let newest = self.connection.newest().await?;
        self.since_advance = Stopwatch::start();
        Ok(newest)
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("limit", PAGE_SIZE.to_string()), ("events", names(&self.types, ","))];
        parameters.extend(self.organization.as_ref().map(|id| ("organization_id", id.to_string())));
        match &self.position {
            Position::Beginning => {}
            Position::Time(at) => parameters.push(("range_start", at.to_string())),
            Position::Event(id) => parameters.push(("after", id.to_string())),
        }
        parameters
    }
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    now.plus_millis(millis.saturating_neg())
}

fn names(types: &[EventType], separator: &str) -> String {
    types.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(separator)
}

/// Repeats requests until they succeed, and reports when the server is lost and when it is back, once each.
#[derive(Debug)]
struct Connection {
    server: Server,
    /// How many attempts have failed since the last one that succeeded.
    failures: u32,
}

impl Connection {
    const fn new(server: Server) -> Self {
        Self { server, failures: 0 }
    }

    /// The id of the newest event of the log, if there is one.
    async fn newest(&mut self) -> anyhow::Result<Option<EventId>> {
        let parameters =
            [("order", "desc".to_owned()), ("limit", "1".to_owned()), ("events", names(EventType::ALL, ","))];
        let page = self.request(&parameters).await?;
        Ok(page.events.into_iter().next().map(|event| event.id))
    }

    async fn request(&mut self, parameters: &[(&str, String)]) -> anyhow::Result<EventPage> {
        loop {
            match self.server.list_events(parameters).await {
                Ok(page) => {
                    self.record_success();
                    return Ok(page);
                }
                Err(ListError::Refused(error)) => return Err(error),
                Err(ListError::Unavailable { reason, retry_after }) => {
                    wait(self.record_failure(&reason, retry_after)).await?;
                }
            }
        }
    }

    /// Returns how long to wait.
    fn record_failure(&mut self, reason: &str, retry_after: Option<Duration>) -> Duration {
        let delay = backoff(self.failures).max(retry_after.unwrap_or_default());
        if self.failures == 0 {
            let when =
                if delay > BACKOFF_MAX { format!("in {} s", delay.as_secs()) } else { "until it responds".to_owned() };
            print_message(&format!("{reason}. Retrying {when}."));
        }
        self.failures = self.failures.saturating_add(1);
        delay
    }

    fn record_success(&mut self) {
        if self.failures > 0 {
            print_message(&format!("{} responds. Continuing.", self.server.shown()));
        }
        self.failures = 0;
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests;
