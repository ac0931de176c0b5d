//! The change feed: one Durable Object, which every isolate polls. Its rules are [`shared::feed`]; here are its routes, and
//! in `change_feed/rows.rs` its SQLite.
//!
//! | route | for | what it is |
//! | --- | --- | --- |
//! | `GET /page`, `GET /record` | isolates | the next changes, in binary; the record of one key |
//! | [`wire::APPEND`] and the others of [`wire`] | the control plane, let in by `ingress.rs` | JSON |
//!
//! Only this Worker can reach it. The writes of one request become durable together, before its response leaves the
//! object: there is no `await` between reading and writing, and unconfirmed writes are not allowed.

use std::cell::Cell;

use serde::{Serialize, de::DeserializeOwned};
use shared::{
    Timestamp,
    digest::Place,
    error::ApiError,
    feed::{
        APPEND_MAX, Change, Epoch, Feed, Mark, PAGE_MAX, Position, Refusal, Rules, Store,
        wire::{self, Append, Appended, Changes, Found, Lookup, OneRecord, Open, Report, Since, WireChange},
    },
};
use worker::{DurableObject, Env, Method, Request, Response, State, console_error, durable_object, wasm_bindgen};

use crate::{body, clock, failure::Failure, random, response};

mod rows;

use rows::{Body, Rows};

/// What an isolate asks for the next changes.
pub const PAGE: &str = "/page";
/// What an isolate asks for the record of one key.
pub const RECORD: &str = "/record";
/// The header of an answer to an append that changed something that was there before.
pub const NEWS: &str = "latchkey-news";
/// How often what need not stay is removed.
const TRIM_EACH_MILLIS: i64 = 60_000;

/// The Durable Object.
#[durable_object(fetch)]
pub struct ChangeFeed {
    state: State,
    trimmed_at: Cell<Option<Timestamp>>,
    weight: Cell<Option<u64>>,
}

impl DurableObject for ChangeFeed {
    fn new(state: State, _env: Env) -> Self {
        // Without its tables every request fails, and says so.
        if let Err(cause) = Rows::create(&state) {
            console_error!("Failed to create the tables of the change feed: {cause}");
        }
        Self { state, trimmed_at: Cell::new(None), weight: Cell::new(None) }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        self.answer(request).await.or_else(|failure| failure.into_response(None))
    }
}

impl ChangeFeed {
    async fn answer(&self, mut request: Request) -> Result<Response, Failure> {
        let body = body::read(&mut request, wire::BODY_LIMIT).await?;
        let mut rows = Rows::open(&self.state, &self.weight);
        let mut feed = Feed::new(&mut rows, fresh_epoch()?, Rules::ALL);
        match (request.method(), request.path().as_str()) {
            (Method::Get, PAGE) => {
                let page = feed.page(position(&request)?, PAGE_MAX)?;
                Ok(Response::from_bytes(page.encode())?)
            }
            (Method::Get, RECORD) => {
                let (position, entry) = feed.entry(place(&request)?)?;
                json(&OneRecord { position, sealed: entry.and_then(|entry| entry.body.sealed) })
            }
            (Method::Post, wire::APPEND) => {
                let Append { known, changes } = parse(&body)?;
                at_most(changes.len(), APPEND_MAX)?;
                self.trim(&mut feed)?;
                let is_news = changes.iter().any(|change| change.mark != Mark::Created);
                let (status, held) = feed.append(known, changes.into_iter().map(change).collect())?;
                let response = json(&Appended { status, held })?;
                if is_news {
                    response.headers().set(NEWS, "1")?;
                }
                Ok(response)
            }
            (Method::Get, wire::STATUS) => report(&mut feed),
            (Method::Post, wire::OPEN) => {
                let Open { epoch } = parse(&body)?;
                feed.open(epoch)?;
                report(&mut feed)
            }
            (Method::Post, wire::RETIRE) => {
                feed.retire()?;
                report(&mut feed)
            }
            (Method::Post, wire::ENTRIES) => {
                let Lookup { names } = parse(&body)?;
                at_most(names.len(), wire::LOOKUP_MAX)?;
                let status = feed.status()?;
                let entries = names.iter().map(|name| rows.wire_entry(Place::of(name))).collect::<Result<_, _>>()?;
                json(&Found { status, entries })
            }
            (Method::Post, wire::CHANGES) => {
                let Since { after } = parse(&body)?;
                let status = feed.status()?;
                json(&Changes { status, entries: rows.wire_entries_after(after, wire::LOOKUP_MAX)? })
            }
            _ => Err(ApiError::new(404, "route_not_found", "The change feed has no such route.").into()),
        }
    }

    fn trim(&self, feed: &mut Feed<'_, Rows<'_>>) -> Result<(), Failure> {
        let now = clock::now();
        if self.trimmed_at.get().is_none_or(|at| now >= at.plus_millis(TRIM_EACH_MILLIS)) {
            feed.trim(now)?;
            self.trimmed_at.set(Some(now));
            self.weight.set(None);
        }
        Ok(())
    }
}

fn report(feed: &mut Feed<'_, Rows<'_>>) -> Result<Response, Failure> {
    let status = feed.status()?;
    json(&Report { status, entries: feed.store().weight()?, bytes: feed.store().bytes() })
}

fn change(change: WireChange) -> Change<Body> {
    let WireChange { name, version, mark, changed_at, sealed } = change;
    Change { place: Place::of(&name), version, mark, changed_at, body: Body { name, sealed } }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| ApiError::new(400, "bad_request", "The request body is invalid.").into())
}

fn json(answer: &impl Serialize) -> Result<Response, Failure> {
    Ok(response::json(200, serde_json::to_string(answer).map_err(worker::Error::from)?)?)
}

fn at_most(count: usize, limit: usize) -> Result<(), ApiError> {
    let message = || format!("A request can have at most {limit} items, not {count}.");
    if count <= limit { Ok(()) } else { Err(ApiError::new(413, "payload_too_large", message())) }
}

fn bad_query() -> ApiError {
    ApiError::new(400, "bad_request", "The query string is invalid.")
}

/// `?epoch=…&after=…`, or nothing.
fn position(request: &Request) -> Result<Option<Position>, ApiError> {
    let url = request.inner().url();
    let Some((_, query)) = url.split_once('?') else { return Ok(None) };
    let (epoch, after) =
        query.strip_prefix("epoch=").and_then(|rest| rest.split_once("&after=")).ok_or_else(bad_query)?;
    let (epoch, sequence) = (epoch.parse().map_err(|_| bad_query())?, after.parse().map_err(|_| bad_query())?);
    Ok(Some(Position { epoch: Epoch(epoch), sequence }))
}

/// `?place=…`.
fn place(request: &Request) -> Result<Place, ApiError> {
    let url = request.inner().url();
    let place = url.split_once("?place=").and_then(|(_, place)| Place::parse(place));
    place.ok_or_else(bad_query)
}

/// A feed that lost everything must not be taken for the one that it was.
fn fresh_epoch() -> Result<Epoch, worker::Error> {
    Ok(Epoch(u32::from_le_bytes(random::bytes()?)))
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => Self::passing(refusal.to_error()),
            _ => refusal.to_error().into(),
        }
    }
}
