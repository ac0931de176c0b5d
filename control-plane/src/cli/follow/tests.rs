use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{RawQuery, State},
    http::Response,
};
use serde_json::json;
use shared::{entropy::Repeating, error::ApiError, error::FieldError, key::KeyText};
use tokio::net::TcpListener;

use super::*;
use crate::cli::remote::tests::open;

const FIRST: &str = "event_01KF0JZ4G0000000000000000A";
const SECOND: &str = "event_01KF0JZ4G0000000000000000B";
const THIRD: &str = "event_01KF0JZ4G0000000000000000C";

/// A server that returns one scripted response after the other, and records the query strings.
#[derive(Clone, Default)]
struct Script {
    responses: Arc<Mutex<VecDeque<Response<Body>>>>,
    queries: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn respond(State(script): State<Self>, RawQuery(query): RawQuery) -> Response<Body> {
        script.queries.lock().unwrap().push(query.unwrap_or_default());
        let next = script.responses.lock().unwrap().pop_front();
        next.unwrap_or_else(|| status(410))
    }

    /// What was sent for a parameter, by request. Empty if it was not sent.
    fn sent(&self, name: &str) -> Vec<String> {
        let queries = self.queries.lock().unwrap();
        let parameter = |query: &String| {
            let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
            pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
        };
        queries.iter().map(parameter).collect()
    }
}

async fn serve(responses: impl IntoIterator<Item = Response<Body>>) -> (Script, Connection) {
    let script = Script { responses: Arc::new(Mutex::new(responses.into_iter().collect())), ..Script::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(Script::respond).with_state(script.clone());
    tokio::spawn(async { axum::serve(listener, router).await });
    let key = KeyText::generate_management(&mut Repeating(7));
    (script, Connection::new(open(&url, key.expose()).unwrap()))
}

fn page(ids: &[&str], after: Option<&str>) -> Response<Body> {
    let events: Vec<_> = ids.iter().map(|id| json!({"id": id, "event": "user.created"})).collect();
    let body = json!({"object": "list", "data": events, "list_metadata": {"after": after}});
    Response::new(body.to_string().into())
}

fn status(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

async fn follow(connection: Connection, since: Option<&str>) -> anyhow::Result<Follower> {
    let since = since.map(|text| text.parse().unwrap());
    Follower::start(connection, vec![EventType::UserCreated], None, since).await
}

#[test]
fn since_is_a_duration_a_time_or_an_event() {
    for (text, expected) in [
        ("0s", Since::Ago(Duration::ZERO)),
        ("30s", Since::Ago(Duration::from_secs(30))),
        ("15m", Since::Ago(Duration::from_secs(900))),
        ("2h", Since::Ago(Duration::from_secs(7200))),
        ("366d", Since::Ago(Duration::from_secs(366 * 86_400))),
        ("1970-01-01T01:00:00+01:00", Since::Time(Timestamp::from_millis(0))),
        (FIRST, Since::Event(FIRST.parse().unwrap())),
    ] {
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "h",
        "2",
        "-2h",
        "+2h",
        "1.5h",
        "2 h",
        "2w",
        "٣h",
        "2é",
        "367d",
        "18446744073709551615d",
        "2026-01-15",
        "event_1",
    ] {
        assert!(text.parse::<Since>().is_err(), "{text}");
    }
}

#[test]
fn waits_double_up_to_ten_seconds() {
    let waits: Vec<u128> = (0..6).map(|failures| backoff(failures).as_millis()).collect();
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000]);
    assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
}

#[tokio::test]
async fn follower_without_since_starts_after_the_newest_event_of_any_type() {
    let (script, connection) = serve([page(&[FIRST], Some(FIRST)), page(&[SECOND], None)]).await;
    let mut follower = follow(connection, None).await.unwrap();
    assert_eq!(ids(&follower.next_page().await.unwrap()), [SECOND]);
    assert_eq!(script.sent("after"), ["", FIRST]);
    assert_eq!(script.sent("order"), ["desc", ""]);
    assert_eq!(script.sent("events"), [names(EventType::ALL, ","), "user.created".to_owned()]);
}

#[tokio::test]
async fn follower_of_an_empty_log_starts_with_its_first_event() {
    let (script, connection) = serve([page(&[], None), page(&[], None), page(&[FIRST], None)]).await;
    let mut follower = follow(connection, None).await.unwrap();
    assert_eq!(ids(&follower.next_page().await.unwrap()), [FIRST]);
    assert_eq!(script.sent("after"), ["", "", ""]);
}

#[tokio::test]
async fn follower_since_a_time_continues_after_the_events_that_it_has_seen() {
    let pages = [page(&[], None), page(&[FIRST, SECOND], Some(SECOND)), page(&[THIRD], None)];
    let (script, connection) = serve(pages).await;
    let mut follower = follow(connection, Some("2026-01-15T12:00:00Z")).await.unwrap();
    assert_eq!(ids(&follower.next_page().await.unwrap()), [FIRST, SECOND]);
    assert_eq!(ids(&follower.next_page().await.unwrap()), [THIRD]);
    let start = "2026-01-15T12:00:00.000Z";
    assert_eq!(script.sent("range_start"), [start, start, ""]);
    assert_eq!(script.sent("after"), ["", "", SECOND]);
}

#[tokio::test]
async fn temporary_failures_are_retried_at_the_same_position() {
    let limited = Response::builder().status(429).header("retry-after", "1").body(Body::empty()).unwrap();
    let responses = [status(503), limited, Response::new("<html>".into()), page(&[SECOND], None)];
    let (script, connection) = serve(responses).await;
    let mut follower = follow(connection, Some(FIRST)).await.unwrap();
    assert_eq!(ids(&follower.next_page().await.unwrap()), [SECOND]);
    assert_eq!(script.sent("after"), [FIRST; 4]);
    assert_eq!(follower.connection.failures, 0);
}

#[tokio::test]
async fn retry_after_makes_a_wait_longer_and_never_shorter() {
    let (_, mut connection) = serve([]).await;
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(connection.record_failure("x", seconds(60)), Duration::from_secs(60));
    assert_eq!(connection.record_failure("x", seconds(0)), Duration::from_secs(1));
    assert_eq!(connection.record_failure("x", None), Duration::from_secs(2));
}

#[tokio::test]
async fn other_failures_end_the_command_and_say_what_to_do() {
    let lost = ApiError::unprocessable(vec![FieldError::new("after", "not_found", "is not there")]);
    let unknown = ApiError::unprocessable(vec![FieldError::new("events.0", "x", "is not a type of event")]);
    let json = |error: &ApiError| Response::builder().status(error.status).body(error.to_json().into()).unwrap();
    let moved = Response::builder().status(308).header("location", "https://elsewhere/").body(Body::empty()).unwrap();
    for (response, expected) in [
        (status(401), "does not accept the management key in the file of --management-key-file"),
        (status(403), "--scope events:read"),
        (status(404), "--server"),
        (json(&lost), "event_01KF0JZ4G0000000000000000A is not in the event log"),
        (json(&unknown), "`events.0` is not a type of event"),
        (moved, "redirects to https://elsewhere/"),
        (status(400), "400 Bad Request"),
    ] {
        let (_, connection) = serve([response]).await;
        let error = follow(connection, Some(FIRST)).await.unwrap().next_page().await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("http://127.0.0.1:"), "{error}");
    }
}

#[tokio::test]
async fn position_moves_past_events_that_are_not_followed() {
    let pages = [page(&[], None), page(&[SECOND], Some(SECOND)), page(&[], None), page(&[THIRD], None)];
    let (script, connection) = serve(pages).await;
    let mut follower = follow(connection, Some(FIRST)).await.unwrap();
    assert!(follower.poll().await.unwrap().is_empty());
    follower.advance_interval = Duration::ZERO;
    assert!(follower.poll().await.unwrap().is_empty());
    follower.advance_interval = ADVANCE_INTERVAL;
    assert_eq!(ids(&follower.poll().await.unwrap()), [THIRD]);
    assert_eq!(script.sent("after"), [FIRST, "", FIRST, SECOND]);
    assert_eq!(script.sent("order"), ["", "desc", "", ""]);
}

#[tokio::test]
async fn organization_is_part_of_every_page() {
    let (script, connection) = serve([page(&[FIRST], None)]).await;
    let organization = "org_01KF0JZ4G0000000000000000A";
    let since = Some(Since::Time(Timestamp::from_millis(0)));
    let types = vec![EventType::UserCreated];
    let follower = Follower::start(connection, types, Some(organization.parse().unwrap()), since).await;
    let _ = follower.unwrap().next_page().await.unwrap();
    assert_eq!(script.sent("organization_id"), [organization]);
    assert_eq!(script.sent("limit"), ["100"]);
}
