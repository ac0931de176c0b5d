//! A server for tests: the real routes on a real database, asked without a network between.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode, header},
};
use serde_json::{Value, json};
use shared::{Timestamp, id::EnvironmentId, record::Revoked, scope};
use tower::ServiceExt;

use crate::{
    clock::Clock,
    config::Config,
    encryption::EncryptionKey,
    entropy::OsEntropy,
    events::Actor,
    http,
    limits::Limits,
    service::{
        Database,
        api_keys::report_expiries,
        commit, environments, management_keys,
        usage::{Retention, Usage},
    },
    state::AppState,
    storage::{Db, Priority},
    tasks::{TaskContext, event_logger, sweeper, usage_writer, webhook_sender},
    webhooks::{address::AddressPolicy, sender::Sender},
};

/// The moment at which every test begins.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A server, its clock, and a caller that may do everything in one environment.
pub struct Server {
    pub state: AppState,
    pub context: TaskContext,
    pub db: Db,
    pub management_key: String,
    router: Router,
    clock: Clock,
    pub environment: EnvironmentId,
    millis: Arc<AtomicI64>,
    clock_reads: Arc<AtomicUsize>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub text: String,
}

impl Reply {
    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The body of a success with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The code of an error with this status.
    #[track_caller]
    pub fn error(&self, status: u16) -> String {
        let body = self.expect(status);
        assert!(body["message"].is_string(), "{body}");
        body["code"].as_str().unwrap().to_owned()
    }

    /// The fields that a 422 complains of.
    #[track_caller]
    pub fn fields(&self) -> Vec<String> {
        assert_eq!(self.error(422), "invalid_request_parameters");
        let body = self.json();
        body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

impl Server {
    pub async fn new(db: Db) -> Self {
        Self::configured(db, &Config::defaults()).await
    }

    /// The same with other settings.
    pub async fn configured(db: Db, config: &Config) -> Self {
        let millis = Arc::new(AtomicI64::new(START.as_millis()));
        let hands = Arc::clone(&millis);
        let clock_reads = Arc::<AtomicUsize>::default();
        let reads = Arc::clone(&clock_reads);
        let clock = Clock::from_fn(move || {
            reads.fetch_add(1, Ordering::SeqCst);
            Timestamp::from_millis(hands.load(Ordering::SeqCst))
        });
        let context = TaskContext::new(db.clone(), clock.clone(), Usage::new(Retention::default()))
            .with_encryption(EncryptionKey::for_tests());
        let state = state_of(&context);
        let router = http::router(state.clone(), config);
        let (environment, management_key) = new_environment(&db, &clock).await;
        Self { state, context, db, environment, management_key, router, clock, millis, clock_reads }
    }

    /// The same, whose callers have limits.
    pub async fn limited(db: Db, config: &Config) -> Self {
        let server = Self::configured(db, config).await;
        let state = server.state.with_limits(Limits::of(config).unwrap());
        Self { router: http::router(state.clone(), config), state, ..server }
    }

    /// The server of this process, for a caller of a new environment. Its clock is turned elsewhere.
    pub async fn of(context: TaskContext) -> Self {
        Self::with_state(state_of(&context), context).await
    }

    /// The same with this state.
    pub async fn with_state(state: AppState, context: TaskContext) -> Self {
        let (db, clock) = (context.db.clone(), context.clock.clone());
        let router = http::router(state.clone(), &Config::defaults());
        let (environment, management_key) = new_environment(&db, &clock).await;
        Self {
            state,
            context,
            db,
            environment,
            management_key,
            router,
            clock,
            millis: Arc::default(),
            clock_reads: Arc::default(),
        }
    }

    /// The same server for a caller of this environment.
    pub async fn of_environment(&self, environment: &EnvironmentId) -> Self {
        let management_key = new_management_key(&self.db, &self.clock, environment, &[scope::ALL]).await;
        Self {
            state: self.state.clone(),
            context: self.context.clone(),
            db: self.db.clone(),
            environment: environment.clone(),
            management_key,
            router: self.router.clone(),
            clock: self.clock.clone(),
            millis: Arc::clone(&self.millis),
            clock_reads: Arc::clone(&self.clock_reads),
        }
    }

    /// The same server for a caller of another, new environment.
    pub async fn of_another_environment(&self) -> Self {
        let (environment, management_key) = new_environment(&self.db, &self.clock).await;
        Self {
            state: self.state.clone(),
            context: self.context.clone(),
            db: self.db.clone(),
            environment,
            management_key,
            router: self.router.clone(),
            clock: self.clock.clone(),
            millis: Arc::clone(&self.millis),
            clock_reads: Arc::clone(&self.clock_reads),
        }
    }

    /// The same server for a caller with these scopes alone.
    pub async fn with_scopes(&self, scopes: &[&str]) -> Self {
        let management_key = new_management_key(&self.db, &self.clock, &self.environment, scopes).await;
        Self {
            state: self.state.clone(),
            context: self.context.clone(),
            db: self.db.clone(),
            environment: self.environment.clone(),
            management_key,
            router: self.router.clone(),
            clock: self.clock.clone(),
            millis: Arc::clone(&self.millis),
            clock_reads: Arc::clone(&self.clock_reads),
        }
    }

    /// How often the clock was read.
    pub fn clock_reads(&self) -> usize {
        self.clock_reads.load(Ordering::SeqCst)
    }

    /// Turns the clock on.
    pub fn advance(&self, millis: i64) {
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Body::empty()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Body::from(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, Body::from(body.to_string())).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, Body::from(body.to_string())).await
    }

    /// Sends a request as this caller.
    pub async fn send(&self, method: &str, path: &str, body: Body) -> Reply {
        let authorization = format!("Bearer {}", self.management_key);
        self.send_as(Some(&authorization), method, path, body).await
    }

    /// Sends a request with this `Authorization` header.
    pub async fn send_as(&self, authorization: Option<&str>, method: &str, path: &str, body: Body) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.ask(request.body(body).unwrap()).await.1
    }

    /// Posts JSON as this caller, with one header more.
    pub async fn post_with(&self, name: &str, value: &str, path: &str, body: &Value) -> (HeaderMap, Reply) {
        let authorization = format!("Bearer {}", self.management_key);
        let request = Request::post(path).header(header::AUTHORIZATION, authorization).header(name, value);
        self.ask(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Sends a request as it is, from this machine unless it says otherwise.
    pub async fn ask(&self, mut request: Request<Body>) -> (HeaderMap, Reply) {
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4711))));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        if !status.is_success() || status == StatusCode::CREATED {
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        }
        let headers = response.headers().clone();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (headers, Reply { status: status.as_u16(), text: String::from_utf8(body.to_vec()).unwrap() })
    }

    /// Writes how keys were used, as the server does every few seconds.
    pub async fn write_usage(&self) {
        usage_writer::write_once(self.context.clone()).await;
    }

    /// Adds a batch of committed events to the log, as the server does by itself, and returns whether there may be more.
    pub async fn append_events(&self) -> bool {
        event_logger::turn(&self.context).await.unwrap().is_partial
    }

    /// Creates a management key, and revokes it.
    pub async fn revoke_a_management_key(&self) {
        let now = self.clock.now();
        let database = Database::without_edge(self.db.clone());
        let mut transaction = database.begin(Actor::Operator, Priority::Normal).await.unwrap();
        let (key, created) =
            management_keys::create(&mut transaction, &self.environment, "Old", &[], now, &mut OsEntropy)
                .await
                .unwrap();
        let reason = Revoked::new(management_keys::REVOKED_BY_OPERATOR, now);
        let revoked = management_keys::revoke(&mut transaction, &key.id, &reason, now).await.unwrap().unwrap();
        commit(transaction, created.and(revoked), now).await.unwrap();
    }

    /// Reports keys that expire soon or have expired.
    pub async fn report_expiries(&self) {
        let (database, now) = (self.context.database(), self.clock.now());
        while report_expiries(&database, &self.context.expiry_reminders, now).await.unwrap() {}
    }

    /// Sends the webhooks that are due.
    pub async fn send_webhooks(&self) {
        let sender = Sender::new(loopback()).unwrap();
        webhook_sender::send_due(self.context.clone(), sender).await;
    }

    /// The same, and does something after the attempts were made and before their results are written.
    pub async fn send_webhooks_while(&self, during: impl AsyncFnOnce()) {
        let sender = Sender::new(loopback()).unwrap();
        webhook_sender::send_due_with(self.context.clone(), sender, during).await;
    }

    /// From now on, secrets are encrypted with this key.
    pub fn set_encryption(&mut self, encryption: EncryptionKey) {
        self.context.encryption = encryption.clone();
        self.state.encryption = encryption;
        self.router = http::router(self.state.clone(), &Config::defaults());
    }

    /// Deletes what is older than its retention.
    pub async fn sweep(&self) {
        while sweeper::step(&self.context, 1_000).await.unwrap() > 0 {}
    }

    /// Makes an organization, and returns its id.
    pub async fn organization(&self) -> String {
        id_of(&self.post("/organizations", json!({"name": "Acme"})).await.expect(201))
    }

    /// Makes permissions of these slugs.
    pub async fn permissions(&self, slugs: &[&str]) {
        for slug in slugs {
            self.post("/authorization/permissions", json!({"slug": slug, "name": slug})).await.expect(201);
        }
    }

    /// Makes a key of the organization, and returns the answer.
    pub async fn api_key(&self, organization: &str, body: Value) -> Value {
        self.post(&format!("/organizations/{organization}/api_keys"), body).await.expect(201)
    }

    /// Makes a user, and returns its id.
    pub async fn user(&self, body: Value) -> String {
        id_of(&self.post("/user_management/users", body).await.expect(201))
    }

    /// Makes a user belong to an organization, and returns the id of the membership.
    pub async fn membership(&self, organization: &str, user: &str, role: Option<&str>) -> String {
        let mut body = json!({"organization_id": organization, "user_id": user});
        if let Some(role) = role {
            body["role_slug"] = role.into();
        }
        id_of(&self.post("/user_management/organization_memberships", body).await.expect(201))
    }

    /// Makes a role of the environment that allows this.
    pub async fn role(&self, slug: &str, permissions: &[&str]) {
        self.post("/authorization/roles", json!({"slug": slug, "name": slug})).await.expect(201);
        let path = format!("/authorization/roles/{slug}/permissions");
        self.put(&path, json!({"permissions": permissions})).await.expect(200);
    }

    /// Makes a key of a user, and returns the answer.
    pub async fn user_api_key(&self, user: &str, body: Value) -> Value {
        self.post(&format!("/user_management/users/{user}/api_keys"), body).await.expect(201)
    }

    /// Validates a key.
    pub async fn validate(&self, value: &str) -> Value {
        self.post("/api_keys/validations", json!({"value": value})).await.expect(200)
    }
}

/// The id of an answer.
pub fn id_of(body: &Value) -> String {
    body["id"].as_str().unwrap().to_owned()
}

/// The ids of a list.
pub fn ids_of(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(id_of).collect()
}

/// The state of a server whose tasks have this context.
pub fn state_of(context: &TaskContext) -> AppState {
    let TaskContext { clock, encryption, usage, metrics, .. } = context.clone();
    AppState::new(context.database(), clock, usage, metrics)
        .with_encryption(encryption)
        .with_webhook_addresses(loopback())
}

/// Webhooks may be sent to this machine.
fn loopback() -> AddressPolicy {
    AddressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] }
}

async fn new_environment(db: &Db, clock: &Clock) -> (EnvironmentId, String) {
    let (now, prefix) = (clock.now(), "lk_test".parse().unwrap());
    let mut transaction = Database::without_edge(db.clone()).begin(Actor::Operator, Priority::Normal).await.unwrap();
    let (environment, change) =
        environments::create(&mut transaction, "Test", prefix, now, &mut OsEntropy).await.unwrap();
    commit(transaction, change, now).await.unwrap();
    let key = new_management_key(db, clock, &environment.id, &[scope::ALL]).await;
    (environment.id, key)
}

async fn new_management_key(db: &Db, clock: &Clock, environment: &EnvironmentId, scopes: &[&str]) -> String {
    let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let now = clock.now();
    let mut transaction = Database::without_edge(db.clone()).begin(Actor::Operator, Priority::Normal).await.unwrap();
    let (key, change) =
        management_keys::create(&mut transaction, environment, "Test", &scopes, now, &mut OsEntropy).await.unwrap();
    commit(transaction, change, now).await.unwrap();
    key.text.expose().to_owned()
}
