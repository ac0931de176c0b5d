//! A stand-in for the Worker and the change feed behind it: the product's own rules, on a map. It can fail, hang, and lose
//! what it holds, as the real one cannot be brought to. The real one is tried by the tests of the whole system.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State as AxumState},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use shared::{
    Timestamp,
    digest::Place,
    feed::{
        self, APPEND_MAX, Change, Epoch, Feed, PageEntry, Refusal, Rules, Sequence, State, Status,
        wire::{self, Append, Appended, Changes, Found, Lookup, Open, Report, Since, WireChange, WireEntry},
    },
};
use tokio::{net::TcpListener, sync::Notify};

/// What an entry carries along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub name: String,
    pub sealed: Option<String>,
}

type Entry = feed::Entry<Body>;

/// The entries of a feed.
#[derive(Debug, Clone, Default)]
struct Map {
    status: Option<Status>,
    entries: BTreeMap<Place, Entry>,
}

impl feed::Store for Map {
    type Body = Body;
    type Error = Refusal;

    fn status(&self) -> Result<Option<Status>, Refusal> {
        Ok(self.status)
    }

    fn set_status(&mut self, status: Status) -> Result<(), Refusal> {
        self.status = Some(status);
        Ok(())
    }

    fn entry(&self, place: Place) -> Result<Option<Entry>, Refusal> {
        Ok(self.entries.get(&place).cloned())
    }

    fn put(&mut self, entry: Entry) -> Result<(), Refusal> {
        self.entries.insert(entry.place, entry);
        Ok(())
    }

    fn after(&self, sequence: Sequence, weight: u64) -> Result<Vec<PageEntry>, Refusal> {
        let page = |entry: Entry| PageEntry {
            sequence: entry.sequence,
            place: entry.place,
            version: entry.version,
            mark: entry.mark,
        };
        feed::up_to_weight(self.in_order(sequence).cloned().map(page).map(Ok), weight)
    }

    fn weight(&self) -> Result<u64, Refusal> {
        Ok(self.entries.values().map(|entry| entry.mark.weight()).sum())
    }

    fn lowest_kept_beyond(&self, moment: Timestamp) -> Result<Option<Sequence>, Refusal> {
        Ok(self.in_order(0).find(|entry| entry.kept_until > moment).map(|entry| entry.sequence))
    }

    fn remove_below(&mut self, sequence: Sequence) -> Result<Option<Sequence>, Refusal> {
        let highest = self.entries.values().map(|entry| entry.sequence).filter(|number| *number < sequence).max();
        self.entries.retain(|_, entry| entry.sequence >= sequence);
        Ok(highest)
    }

    fn remove_creations_until(&mut self, moment: Timestamp) -> Result<(), Refusal> {
        self.entries.retain(|_, entry| entry.mark != feed::Mark::Created || entry.kept_until > moment);
        Ok(())
    }
}

impl Map {
    fn in_order(&self, after: Sequence) -> impl Iterator<Item = &Entry> {
        let mut entries: Vec<&Entry> = self.entries.values().filter(|entry| entry.sequence > after).collect();
        entries.sort_by_key(|entry| entry.sequence);
        entries.into_iter()
    }
}

/// What it does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// What it is asked.
    Well,
    /// It answers 503 and does nothing.
    Failing,
    /// It does what it is asked, and its answer is lost.
    Mute,
    /// It does nothing and never answers, until its mood changes.
    Hanging,
}

/// The stand-in.
#[derive(Debug)]
pub struct FakeWorker {
    map: Mutex<Map>,
    epochs: AtomicU64,
    mood: Mutex<Mood>,
    mood_changed: Notify,
    token: String,
    appends: Mutex<Vec<usize>>,
    calls: AtomicU64,
}

impl FakeWorker {
    /// A new one, closed as every new feed is. Its callers must have this token.
    pub fn new(ingress_token: &str) -> Arc<Self> {
        Arc::new(Self {
            map: Mutex::default(),
            epochs: AtomicU64::new(0),
            mood: Mutex::new(Mood::Well),
            mood_changed: Notify::new(),
            token: format!("Bearer {ingress_token}"),
            appends: Mutex::default(),
            calls: AtomicU64::new(0),
        })
    }

    /// Answers from now on, and returns where.
    pub async fn serve(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// From now on it does this with its calls.
    pub fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.mood_changed.notify_waiters();
    }

    /// Opens it, as a control plane does that has re-seeded it.
    pub fn open(&self) {
        let epoch = self.status().epoch;
        self.with(|feed| feed.open(epoch)).unwrap();
    }

    /// It loses everything, and does not know it.
    pub fn lose_everything(&self) {
        *self.map.lock().unwrap() = Map::default();
    }

    /// What [`Self::roll_back`] can bring it back to.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.map.lock().unwrap().clone())
    }

    /// It becomes what it once was, and does not know it.
    pub fn roll_back(&self, to: Snapshot) {
        *self.map.lock().unwrap() = to.0;
    }

    /// What it knows of itself.
    pub fn status(&self) -> Status {
        self.with(|feed| feed.status()).unwrap()
    }

    /// Whether it may be trusted.
    pub fn is_open(&self) -> bool {
        self.status().state == State::Open
    }

    /// Removes what need not stay any longer.
    pub fn trim(&self, now: Timestamp) {
        self.with(|feed| feed.trim(now)).unwrap();
    }

    /// Its entries, by number.
    pub fn entries(&self) -> Vec<Entry> {
        self.map.lock().unwrap().in_order(0).cloned().collect()
    }

    /// The entry of this name.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        self.map.lock().unwrap().entries.get(&Place::of(name)).cloned()
    }

    /// Adds changes, as another process would.
    pub fn append(&self, changes: Vec<WireChange>) {
        self.with(|feed| feed.append(None, changes.into_iter().map(change).collect())).unwrap();
    }

    /// How many changes each append brought, those without any left out.
    pub fn appends(&self) -> Vec<usize> {
        self.appends.lock().unwrap().clone()
    }

    /// How many calls there were, answered or not.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn with<T>(&self, what: impl FnOnce(&mut Feed<'_, Map>) -> T) -> T {
        let fresh = Epoch(u32::try_from(self.epochs.fetch_add(1, Ordering::SeqCst)).unwrap() + 1);
        what(&mut Feed::new(&mut *self.map.lock().unwrap(), fresh, Rules::ALL))
    }

    fn report(&self) -> Report {
        let status = self.status();
        Report { status, entries: self.map.lock().unwrap().entries.len() as u64, bytes: 0 }
    }

    fn do_append(&self, Append { known, changes }: Append) -> Result<Appended, Refusal> {
        assert!(changes.len() <= APPEND_MAX, "the feed takes no more");
        if !changes.is_empty() {
            self.appends.lock().unwrap().push(changes.len());
        }
        let (status, held) = self.with(|feed| feed.append(known, changes.into_iter().map(change).collect()))?;
        Ok(Appended { status, held })
    }

    fn found(&self, Lookup { names }: Lookup) -> Found {
        assert!(names.len() <= wire::LOOKUP_MAX, "the feed takes no more");
        let entries = names.iter().map(|name| self.entry(name).map(wire_entry)).collect();
        Found { status: self.status(), entries }
    }

    /// Pages of two, so that there are several.
    fn changes(&self, Since { after }: Since) -> Changes {
        let entries = self.map.lock().unwrap().in_order(after).take(2).cloned().map(wire_entry).collect();
        Changes { status: self.status(), entries }
    }
}

/// What a feed once was.
pub struct Snapshot(Map);

fn change(change: WireChange) -> Change<Body> {
    Change {
        place: Place::of(&change.name),
        version: change.version,
        mark: change.mark,
        changed_at: change.changed_at,
        body: Body { name: change.name, sealed: change.sealed },
    }
}

fn wire_entry(entry: Entry) -> WireEntry {
    WireEntry {
        sequence: entry.sequence,
        name: entry.body.name,
        version: entry.version,
        mark: entry.mark,
        sealed: entry.body.sealed,
    }
}

async fn answer(AxumState(worker): AxumState<Arc<FakeWorker>>, request: Request) -> Response {
    worker.calls.fetch_add(1, Ordering::SeqCst);
    if request.headers().get("authorization").is_none_or(|given| given != worker.token.as_str()) {
        return refuse(StatusCode::UNAUTHORIZED, "unauthorized");
    }
    let mood = *worker.mood.lock().unwrap();
    match mood {
        Mood::Failing => return refuse(StatusCode::SERVICE_UNAVAILABLE, "feed_unreachable"),
        Mood::Hanging => {
            worker.mood_changed.notified().await;
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "feed_unreachable");
        }
        Mood::Well | Mood::Mute => {}
    }
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let body = to_bytes(request.into_body(), wire::BODY_LIMIT).await.unwrap();
    let answer = match (method.as_str(), path.as_str()) {
        ("POST", wire::APPEND) => respond(worker.do_append(read(&body))),
        ("GET", wire::STATUS) => respond(Ok(worker.report())),
        ("POST", wire::OPEN) => {
            let Open { epoch } = read(&body);
            respond(worker.with(|feed| feed.open(epoch)).map(|_| worker.report()))
        }
        ("POST", wire::RETIRE) => respond(worker.with(|feed| feed.retire()).map(|_| worker.report())),
        ("POST", wire::ENTRIES) => respond(Ok(worker.found(read(&body)))),
        ("POST", wire::CHANGES) => respond(Ok(worker.changes(read(&body)))),
        _ => StatusCode::NOT_FOUND.into_response(),
    };
    if mood == Mood::Mute { refuse(StatusCode::BAD_GATEWAY, "lost") } else { answer }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap()
}

fn respond<T: Serialize>(answer: Result<T, Refusal>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(Refusal::Closed) => refuse(StatusCode::SERVICE_UNAVAILABLE, "feed_closed"),
        Err(Refusal::Retired) => refuse(StatusCode::GONE, "feed_retired"),
        Err(Refusal::AnotherEpoch) => refuse(StatusCode::CONFLICT, "another_epoch"),
        Err(Refusal::Full) => refuse(StatusCode::INSUFFICIENT_STORAGE, "feed_full"),
    }
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"message": "refused by the stand-in", "code": code}))).into_response()
}
