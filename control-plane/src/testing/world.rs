//! A stand-in for KV, to inject faults that the real one and `wrangler dev` cannot be brought to show; and a database
//! with a clock that the test turns. [`super::fake_worker`] has another one for the Worker. The client is tried on the real `wrangler dev` by the tests of the whole system.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    Timestamp,
    id::ApiKeyId,
    record::{Grant, Record, Version},
    seal::EdgeSecrets,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use super::fake_worker::FakeWorker;
use crate::{
    clock::Clock,
    config::EdgeConfig,
    edge::{
        acknowledge::{EdgeLink, LinkEnds},
        feed::FeedClient,
        feeder::Feeder,
        flush::Flusher,
        kv::Kv,
    },
    encryption::EncryptionKey,
    service::usage::{Retention, Usage},
    storage::{
        Db, api_keys, edge_sync,
        outbox::{self, Backlog, Kind, Route},
        testing::{self, Tenant},
    },
    tasks::TaskContext,
};

/// When every test begins.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Long enough for any machine: a test that waits for so long has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);
const SECRET: &str = "a secret of the tests and of no use to anybody";
const TOKEN: &str = "a token of the tests";

/// What the stand-in holds and is told to do.
#[derive(Default)]
pub struct StandIn {
    records: Mutex<BTreeMap<String, String>>,
    /// If there is somebody who wants to answer the writes, they are sent there.
    writes: Mutex<Option<mpsc::UnboundedSender<Write>>>,
}

/// A bulk write that waits for its answer.
pub struct Write {
    /// What it brings.
    pub pairs: Vec<Pair>,
    answer: oneshot::Sender<Response>,
}

/// One record of a write.
#[derive(Debug, Clone, Deserialize)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

impl Write {
    /// Answers that this is the result.
    pub fn answer_ok(self, unsuccessful: &[&str]) -> Vec<Pair> {
        let done = self.pairs.len() - unsuccessful.len();
        let result = json!({"successful_key_count": done, "unsuccessful_keys": unsuccessful});
        let _ = self.answer.send(Json(json!({"success": true, "errors": [], "result": result})).into_response());
        self.pairs
    }

    /// Answers with an error.
    pub fn answer_error(self, status: u16, retry_after: Option<&str>) -> Vec<Pair> {
        let body = json!({"success": false, "errors": [{"code": 10_013, "message": "a secret name"}], "result": null});
        let mut response = (StatusCode::from_u16(status).unwrap(), Json(body)).into_response();
        if let Some(retry_after) = retry_after {
            response.headers_mut().insert("retry-after", retry_after.parse().unwrap());
        }
        let _ = self.answer.send(response);
        self.pairs
    }

    /// Breaks the connection in the middle of the answer.
    pub fn break_off(self) -> Vec<Pair> {
        let broken = futures::stream::iter([Err::<Vec<u8>, _>(io::Error::other("broken off by the test"))]);
        let _ = self.answer.send(Body::from_stream(broken).into_response());
        self.pairs
    }

    /// Never answers.
    pub fn forget(self) -> Vec<Pair> {
        tokio::spawn(async move {
            let mut answer = self.answer;
            answer.closed().await;
        });
        self.pairs
    }
}

impl StandIn {
    /// From now on the test answers the writes.
    pub fn intercept(&self) -> mpsc::UnboundedReceiver<Write> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.writes.lock().unwrap() = Some(sender);
        receiver
    }

    /// From now on writes are done and answered at once.
    pub fn behave(&self) {
        *self.writes.lock().unwrap() = None;
    }

    /// Lets a write land.
    pub fn land(&self, pairs: Vec<Pair>) {
        self.records.lock().unwrap().extend(pairs.into_iter().map(|pair| (pair.key, pair.value)));
    }

    /// What it holds, by name.
    pub fn records(&self) -> BTreeMap<String, String> {
        self.records.lock().unwrap().clone()
    }

    /// Changes what it holds.
    pub fn tamper(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        change(&mut self.records.lock().unwrap());
    }

    async fn serve(self: Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

const NAMESPACE: &str = "/storage/kv/namespaces/namespace";

async fn answer(State(kv): State<Arc<StandIn>>, request: Request) -> Response {
    if !has_token(request.headers()) {
        let body = json!({"success": false, "errors": [{"code": 10_000, "message": "Authentication error"}]});
        return (StatusCode::FORBIDDEN, Json(body)).into_response();
    }
    let path = request.uri().path().strip_prefix(NAMESPACE).unwrap_or_default().to_owned();
    let query: BTreeMap<String, String> =
        serde_urlencoded::from_str(request.uri().query().unwrap_or_default()).unwrap();
    let method = request.method().to_string();
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    match (method.as_str(), path.as_str()) {
        ("PUT", "/bulk") => kv.put(serde_json::from_slice(&body).unwrap()).await,
        ("POST", "/bulk/get") => kv.get(serde_json::from_slice(&body).unwrap()),
        ("POST", "/bulk/delete") => kv.delete(serde_json::from_slice(&body).unwrap()),
        ("GET", "/keys") => kv.list(&query),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn has_token(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|given| given == format!("Bearer {TOKEN}").as_str())
}

fn success(result: Value) -> Response {
    Json(json!({"success": true, "errors": [], "messages": [], "result": result})).into_response()
}

impl StandIn {
    async fn put(&self, pairs: Vec<Pair>) -> Response {
        let intercepted = self.writes.lock().unwrap().clone();
        let Some(writes) = intercepted else {
            let written = pairs.len();
            self.land(pairs);
            return success(json!({"successful_key_count": written, "unsuccessful_keys": []}));
        };
        let (answer, answered) = oneshot::channel();
        let _ = writes.send(Write { pairs, answer });
        answered.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }

    fn get(&self, body: Value) -> Response {
        let names: Vec<String> = serde_json::from_value(body["keys"].clone()).unwrap();
        assert!(names.len() <= 100, "KV takes no more");
        let records = self.records();
        success(json!({"values": names.iter().map(|name| (name, records.get(name))).collect::<BTreeMap<_, _>>()}))
    }

    fn delete(&self, names: Vec<String>) -> Response {
        self.tamper(|records| records.retain(|name, _| !names.contains(name)));
        success(json!({"successful_key_count": names.len(), "unsuccessful_keys": []}))
    }

    /// Pages of two names, so that every list has several.
    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        let after = query.get("cursor").cloned().unwrap_or_default();
        let records = self.records();
        let mut names = records.keys().filter(|name| name.starts_with(&query["prefix"]) && **name > after);
        let page: Vec<&String> = names.by_ref().take(2).collect();
        let cursor = if names.next().is_some() { page[1].as_str() } else { "" };
        let result: Vec<Value> = page.iter().map(|name| json!({"name": name})).collect();
        Json(json!({"success": true, "result": result, "result_info": {"count": 2, "cursor": cursor}})).into_response()
    }
}

/// A database, its edge, and a clock that the test turns.
pub struct World {
    pub db: Db,
    pub kv: Arc<StandIn>,
    pub feed: Arc<FakeWorker>,
    pub clock: Clock,
    millis: Arc<AtomicI64>,
    url: String,
    feed_url: String,
    pub tenant: Tenant,
}

impl World {
    /// A world whose feed is open, and whose one management key has been published.
    pub async fn new(db: Db) -> Self {
        let millis = Arc::new(AtomicI64::new(START.as_millis()));
        let hands = Arc::clone(&millis);
        let clock = Clock::from_fn(move || Timestamp::from_millis(hands.load(Ordering::SeqCst)));
        let kv = Arc::new(StandIn::default());
        let url = Arc::clone(&kv).serve().await;
        let feed = FakeWorker::new(EdgeSecrets::parse(SECRET).unwrap().ingress_token());
        let feed_url = feed.serve().await;
        feed.open();
        let tenant = Tenant::new(&db, START).await;
        let world = Self { db, kv, feed, clock, millis, url, feed_url, tenant };
        world.feed_all().await;
        world.flusher().flush().await.unwrap();
        assert_eq!(world.backlog().await.depth, 0);
        world
    }

    /// A process without an edge.
    pub fn context(&self) -> TaskContext {
        TaskContext::new(self.db.clone(), self.clock.clone(), Usage::new(Retention::default()))
            .with_encryption(EncryptionKey::for_tests())
    }

    /// A process with an edge, whose callers wait for so long, and what its pump is made of.
    pub fn linked_context(&self, timeout: Duration) -> (TaskContext, LinkEnds) {
        let context = self.context();
        let metrics = Arc::clone(&context.metrics);
        let (link, ends) = EdgeLink::with_timeout(self.feed_client(), self.db.clone(), metrics, timeout);
        (context.with_edge(link), ends)
    }

    pub fn edge(&self) -> EdgeConfig {
        EdgeConfig {
            url: self.feed_url.clone(),
            kv_url: self.url.clone(),
            kv_namespace: "namespace".into(),
            kv_token: SecretString::from(TOKEN),
            secrets: self.secrets(),
            batch_pairs: 1_000,
        }
    }

    pub fn secrets(&self) -> EdgeSecrets {
        EdgeSecrets::parse(SECRET).unwrap()
    }

    pub fn kv_client(&self) -> Kv {
        Kv::new(&self.edge(), self.clock.clone()).unwrap()
    }

    /// Another process that flushes.
    pub fn flusher(&self) -> Flusher {
        Flusher::new(self.edge(), self.db.clone(), self.clock.clone()).unwrap()
    }

    pub fn feed_client(&self) -> FeedClient {
        FeedClient::new(&self.edge()).unwrap()
    }

    /// Another process that feeds. It gives up soon.
    pub fn feeder(&self) -> Feeder {
        let client = FeedClient::with_timeout(&self.edge(), Duration::from_millis(300)).unwrap();
        Feeder::with_client(client, self.edge(), self.db.clone(), self.clock.clone())
    }

    /// Tells the feed all that it must be told.
    pub async fn feed_all(&self) {
        let mut feeder = self.feeder();
        loop {
            let unfed = feeder.unfed(1_000).await.unwrap();
            if unfed.is_empty() {
                return;
            }
            feeder.feed(&unfed).await.unwrap();
        }
    }

    pub fn advance(&self, pause: Duration) {
        self.millis.fetch_add(i64::try_from(pause.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub async fn backlog(&self) -> Backlog {
        outbox::backlog(self.db.read().await.unwrap().conn(), self.clock.now()).await.unwrap()
    }

    /// Makes a key, and queues it for KV alone.
    pub async fn create_key(&self, text: &str) -> ApiKeyId {
        self.tenant.api_key(&self.db, text, &[], self.clock.now()).await
    }

    /// Makes a key as the management API does.
    pub async fn create_key_for_feed(&self, text: &str) -> ApiKeyId {
        self.tenant.api_key_by(Route::FeedFirst, &self.db, text, &[], self.clock.now()).await
    }

    /// Changes a key as the management API does.
    pub async fn change_key_for_feed(&self, id: &ApiKeyId) -> Version {
        let now = self.clock.now();
        let mut transaction = self.db.write().await.unwrap();
        let version = testing::set_expiry(transaction.conn(), id, Some(now), now).await.unwrap();
        let kind = Kind::ApiKey;
        edge_sync::note_change(transaction.conn(), kind, id.as_str(), false, now).await.unwrap();
        outbox::add(transaction.conn(), kind, id.as_str(), version, Route::FeedFirst, now).await.unwrap();
        transaction.commit().await.unwrap();
        version
    }

    /// Changes a key, and queues it for KV alone.
    pub async fn change_key(&self, id: &ApiKeyId) -> Version {
        let now = self.clock.now();
        let mut transaction = self.db.write().await.unwrap();
        let version = testing::set_expiry(transaction.conn(), id, Some(now), now).await.unwrap();
        outbox::add(transaction.conn(), Kind::ApiKey, id.as_str(), version, Route::StoreOnly, now).await.unwrap();
        transaction.commit().await.unwrap();
        version
    }

    /// The version of every customer's key that the database has, by id.
    pub async fn versions(&self) -> BTreeMap<String, Version> {
        let keys = api_keys::after(self.db.read().await.unwrap().conn(), "", 1_000).await.unwrap();
        keys.into_iter().map(|key| (key.id.to_string(), key.version)).collect()
    }

    /// The version of every customer's key that the edge has, by id. Every record must open.
    pub async fn versions_at_edge(&self) -> BTreeMap<String, Version> {
        let keys = api_keys::after(self.db.read().await.unwrap().conn(), "", 1_000).await.unwrap();
        let records = self.kv.records();
        let open = |key: &api_keys::ApiKey| {
            let kv_key = key.kv_key().unwrap();
            records.get(kv_key.as_str()).map(|sealed| self.secrets().open(&kv_key, sealed).unwrap())
        };
        keys.iter().filter_map(open).map(|record| (id_of(&record), record.version)).collect()
    }
}

/// The id of the customer's key whose record this is.
pub fn id_of(record: &Record) -> String {
    match &record.grant {
        Grant::ApiKey(grant) => grant.id.to_string(),
        Grant::ManagementKey(grant) => grant.id.to_string(),
    }
}
