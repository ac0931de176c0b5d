//! The change feed, as an isolate sees it: one Durable Object somewhere else.

use std::time::Duration;

use shared::{
    digest::Place,
    error::{ApiError, ErrorBody},
    feed::{Page, Position, wire::OneRecord},
};
use worker::{Request, Response, Stub, console_error};

use crate::{
    change_feed::{PAGE, RECORD},
    config::Edge,
    failure::Failure,
    wait::within,
};

/// The object is asked by its stub, so the host says nothing.
const BASE: &str = "http://feed";
/// How long a request of the control plane may take. It gives up earlier by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// The next changes after a position.
pub async fn poll(edge: &Edge, position: Option<Position>, patience: Duration) -> Option<Page> {
    let query = position
        .map_or_else(String::new, |Position { epoch, sequence }| format!("?epoch={}&after={sequence}", epoch.0));
    let body = get(edge, &format!("{BASE}{PAGE}{query}"), patience).await?;
    let page = Page::decode(&body);
    if page.is_none() {
        console_error!("The change feed returned a page that this version of the Worker cannot read.");
    }
    page
}

/// The record that the feed holds of a key.
pub async fn record(edge: &Edge, place: Place, patience: Duration) -> Option<OneRecord> {
    let body = get(edge, &format!("{BASE}{RECORD}?place={place}"), patience).await?;
    serde_json::from_slice(&body).ok()
}

/// What the object answers, or `None` with the reason in the log.
async fn get(edge: &Edge, url: &str, patience: Duration) -> Option<Vec<u8>> {
    let answered = within(patience, async {
        let mut response = stub(edge)?.fetch_with_str(url).await?;
        let body = response.bytes().await?;
        Ok::<_, worker::Error>((response.status_code(), body))
    });
    match answered.await {
        Some(Ok((200, body))) => return Some(body),
        Some(Ok((status, body))) => {
            let error: Option<ErrorBody> = serde_json::from_slice(&body).ok();
            console_error!("The change feed returned {status}: {}", error.map_or_else(String::new, |e| e.message));
        }
        Some(Err(cause)) => console_error!("The change feed failed: {cause}"),
        None => console_error!("The change feed did not respond within {} ms.", patience.as_millis()),
    }
    None
}

/// Hands the control plane's request to the object.
pub async fn pass_on(edge: &Edge, request: Request) -> Result<Response, Failure> {
    let answer = within(PATIENCE, stub(edge)?.fetch_with_request(request)).await;
    match answer {
        Some(Ok(response)) => Ok(response),
        Some(Err(cause)) => {
            console_error!("The change feed failed: {cause}");
            Err(unavailable())
        }
        None => Err(unavailable()),
    }
}

/// A stub belongs to the request that made it.
fn stub(edge: &Edge) -> Result<Stub, worker::Error> {
    edge.feed.get_by_name(&edge.feed_name)
}

fn unavailable() -> Failure {
    Failure::passing(ApiError::new(503, "feed_unavailable", "The change feed did not respond. Try again in a second."))
}
