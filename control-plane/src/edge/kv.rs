//! Client of Cloudflare's REST API for Workers KV, the four calls of it that we make. `wrangler dev` serves the same
//! ones, so this code runs unchanged against both.
//! <https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/>

use std::{
    collections::HashMap,
    error::Error,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use reqwest::{Client, ClientBuilder, Method, Request, Response, StatusCode, Url, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use shared::digest::KvKey;

use crate::{clock::Clock, config::EdgeConfig};

/// How long a call may take, all in all.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of it may pass before there is a connection. A call that had none by then was not sent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most names that one bulk read takes.
pub const GET_LIMIT: usize = 100;
/// The most names that one page of a list has.
pub const LIST_LIMIT: usize = 1_000;
/// The most names that one bulk deletion takes.
pub const DELETE_LIMIT: usize = 10_000;
/// The longest body of a bulk write. KV would take 100 MB, which a slow line does not carry within [`TIMEOUT`].
pub const BODY_LIMIT: usize = 20_000_000;
/// The longest answer that is read. The longest one expected is a bulk read: 100 records.
const ANSWER_LIMIT: usize = 50_000_000;

/// A KV namespace.
#[derive(Debug)]
pub struct Kv {
    http: Client,
    namespace: Url,
    /// Absent for the KV of `wrangler dev`, which wants none.
    authorization: Option<header::HeaderValue>,
    budget: Budget,
}

/// Why a call failed. It never holds a token, a name or a value.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// No connection came about.
    #[error("KV cannot be reached: {0}")]
    Unreachable(String),
    /// It answered with an error.
    #[error("KV returned {status}{}", .codes.iter().map(|code| format!(", error {code}")).collect::<String>())]
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// Cloudflare's own codes. Its messages can quote names, so they are not kept.
        codes: Vec<i64>,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The call took too long, or the connection broke.
    #[error("the request to KV was interrupted: {0}")]
    BrokenOff(String),
    /// Its answer is not what it should be.
    #[error("KV returned a response that cannot be read")]
    Unreadable,
}

impl KvError {
    /// Whether what was asked may have been done, or may be done yet.
    #[must_use]
    pub fn may_take_effect(&self) -> bool {
        match self {
            Self::Unreachable(_) => false,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff(_) | Self::Unreadable => true,
        }
    }

    /// How long it asks us to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn of_transport(error: reqwest::Error) -> Self {
        let before_it_was_sent = error.is_connect() || error.is_builder();
        let cause = cause_of(error);
        if before_it_was_sent { Self::Unreachable(cause) } else { Self::BrokenOff(cause) }
    }
}

/// What really went wrong, without the URL, which can hold a name.
pub(super) fn cause_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The body of a bulk write, as long as one may be.
#[derive(Debug)]
pub struct Pairs {
    json: Vec<u8>,
    limit: usize,
}

#[derive(Serialize)]
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
}

impl Pairs {
    /// None yet.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { json: vec![b'['], limit }
    }

    /// Adds a pair. `false` if it did not fit any more.
    pub fn push(&mut self, key: &KvKey, value: &str) -> bool {
        let before = self.json.len();
        if before > 1 {
            self.json.push(b',');
        }
        let written = serde_json::to_writer(&mut self.json, &Pair { key: key.as_str(), value });
        // A single pair always fits, or it would never be sent.
        let fits = written.is_ok() && (before == 1 || self.json.len() < self.limit);
        if !fits {
            self.json.truncate(before);
        }
        fits
    }

    fn into_body(mut self) -> Vec<u8> {
        self.json.push(b']');
        self.json
    }
}

/// A page of names.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing {
    /// The names.
    pub names: Vec<String>,
    /// Where the next page begins, if there is one.
    pub cursor: Option<String>,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    result: Option<T>,
    #[serde(default)]
    result_info: Option<ResultInfo>,
}

#[derive(Deserialize)]
struct ResultInfo {
    #[serde(default)]
    cursor: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    errors: Vec<FailureCode>,
}

#[derive(Deserialize)]
struct FailureCode {
    code: i64,
}

#[derive(Deserialize)]
struct Bulk {
    #[serde(default)]
    unsuccessful_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Values {
    values: HashMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

impl Kv {
    /// The namespace that is configured.
    ///
    /// # Errors
    /// If its URL is none.
    pub fn new(edge: &EdgeConfig, clock: Clock) -> anyhow::Result<Self> {
        Self::with_timeout(edge, clock, TIMEOUT)
    }

    /// The same with another time limit.
    ///
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn with_timeout(edge: &EdgeConfig, clock: Clock, timeout: Duration) -> anyhow::Result<Self> {
        let mut namespace = Url::parse(&edge.kv_url).context("edge_kv_url is not a valid URL")?;
        ensure!(matches!(namespace.scheme(), "http" | "https"), "edge_kv_url must begin with `https://` or `http://`");
        if let Ok(mut segments) = namespace.path_segments_mut() {
            segments.extend(["storage", "kv", "namespaces", &edge.kv_namespace]);
        }
        let authorization = authorization(&edge.kv_token)?;
        Ok(Self { http: http_client(timeout)?, namespace, authorization, budget: Budget::new(clock) })
    }

    /// Writes pairs, and returns the names of those that KV could not write everywhere.
    ///
    /// # Errors
    /// If the call failed as a whole.
    pub async fn put(&self, pairs: Pairs) -> Result<Vec<String>, KvError> {
        let request = self.request(Method::PUT, &["bulk"], Some(pairs.into_body()));
        self.call::<Bulk>(request)
            .await
            .map(|answer| answer.result.map_or_else(Vec::new, |bulk| bulk.unsuccessful_keys))
    }

    /// Reads the values of [`GET_LIMIT`] names at the most. A name without a value is left out.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn get(&self, names: &[&str]) -> Result<HashMap<String, String>, KvError> {
        let request = self.request(Method::POST, &["bulk", "get"], Some(json!({ "keys": names }).to_string()));
        let answer = self.call::<Values>(request).await?;
        let values = answer.result.ok_or(KvError::Unreadable)?.values;
        Ok(values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    /// Lists names that begin with this, [`LIST_LIMIT`] at the most.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, KvError> {
        let mut request = self.request(Method::GET, &["keys"], None::<&str>);
        {
            let mut query = request.url_mut().query_pairs_mut();
            query.append_pair("prefix", prefix).append_pair("limit", &LIST_LIMIT.to_string());
            if let Some(cursor) = cursor {
                query.append_pair("cursor", cursor);
            }
        }
        let answer = self.call::<Vec<Name>>(request).await?;
        let names = answer.result.ok_or(KvError::Unreadable)?.into_iter().map(|name| name.name).collect();
        let cursor = answer.result_info.map(|info| info.cursor).filter(|cursor| !cursor.is_empty());
        Ok(Listing { names, cursor })
    }

    /// Deletes [`DELETE_LIMIT`] names at the most, and returns those that KV could not delete everywhere.
    ///
    /// # Errors
    /// If the call failed as a whole.
    pub async fn delete(&self, names: &[&str]) -> Result<Vec<String>, KvError> {
        let request = self.request(Method::POST, &["bulk", "delete"], Some(json!(names).to_string()));
        self.call::<Bulk>(request)
            .await
            .map(|answer| answer.result.map_or_else(Vec::new, |bulk| bulk.unsuccessful_keys))
    }

    fn request(&self, method: Method, path: &[&str], body: Option<impl Into<reqwest::Body>>) -> Request {
        let mut url = self.namespace.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        let mut request = Request::new(method, url);
        request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        *request.body_mut() = body.map(Into::into);
        request
    }

    async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<Envelope<T>, KvError> {
        self.budget.spend().await;
        let response = self.http.execute(request).await.map_err(KvError::of_transport)?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = read(response).await;
        if !status.is_success() {
            let failure = body.ok().and_then(|body| serde_json::from_slice::<Failure>(&body).ok());
            let codes =
                failure.map_or_else(Vec::new, |failure| failure.errors.iter().map(|error| error.code).collect());
            return Err(KvError::Status { status, codes, retry_after });
        }
        let envelope: Envelope<T> = serde_json::from_slice(&body?).map_err(|_| KvError::Unreadable)?;
        if envelope.success { Ok(envelope) } else { Err(KvError::Unreadable) }
    }
}

fn authorization(token: &SecretString) -> anyhow::Result<Option<header::HeaderValue>> {
    if token.expose_secret().is_empty() {
        return Ok(None);
    }
    let mut bearer = header::HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .context("edge_kv_token contains a character that an HTTP header cannot hold")?;
    bearer.set_sensitive(true);
    Ok(Some(bearer))
}

/// A client that gives up after this time and follows no redirects: what it shows a host is for that host alone.
///
/// # Errors
/// If the machine's certificates cannot be read.
pub fn http_client(timeout: Duration) -> reqwest::Result<Client> {
    http_client_builder(timeout).build()
}

/// The same for callers that have something to add.
pub fn http_client_builder(timeout: Duration) -> ClientBuilder {
    // The TLS library wants to be told its cryptography, once in a process. Later times change nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("latchkey/", env!("CARGO_PKG_VERSION")))
}

async fn read(mut response: Response) -> Result<Vec<u8>, KvError> {
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await.map_err(KvError::of_transport)? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(KvError::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Cloudflare says it in seconds. The other form, a date, is read as nothing said.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Cloudflare allows 1,200 calls in five minutes, to all that act for one account together. This lets 50 pass at once
/// and then one each 400 ms: 800 in five minutes, so that a command and the 300 of `serve` fit in side by side.
#[derive(Debug)]
struct Budget {
    clock: Clock,
    /// When everything allowed so far will have been paid for, one call each [`Budget::PRICE`] milliseconds.
    paid_up_at: AtomicI64,
}

impl Budget {
    const PRICE: i64 = 400;
    const CREDIT: i64 = 50 * Self::PRICE;
    /// One that calls after the other never waits longer than the price. However the clock is turned, no call waits
    /// longer than this, so that a write does not come late.
    const LONGEST_WAIT: i64 = 1_000;

    const fn new(clock: Clock) -> Self {
        Self { clock, paid_up_at: AtomicI64::new(0) }
    }

    async fn spend(&self) {
        let wait = self.buy(self.clock.now().as_millis());
        if let Ok(wait @ 1..) = u64::try_from(wait) {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Buys one call, and returns for how many milliseconds it must wait.
    fn buy(&self, now: i64) -> i64 {
        let price = |paid_up_at: i64| paid_up_at.clamp(now, now + Self::CREDIT + Self::LONGEST_WAIT) + Self::PRICE;
        let paid_up_at = self.paid_up_at.update(Ordering::Relaxed, Ordering::Relaxed, price);
        price(paid_up_at) - Self::CREDIT - now
    }
}

#[cfg(test)]
mod tests {
    use shared::Timestamp;

    use super::*;

    fn budget() -> Budget {
        Budget::new(Clock::from_fn(|| Timestamp::from_millis(0)))
    }

    #[test]
    fn five_minutes_of_calls_stay_below_what_cloudflare_allows() {
        let budget = budget();
        let mut now = 1_000_000;
        let end = now + 300_000;
        let mut calls = 0;
        while now < end {
            calls += 1;
            now += budget.buy(now).max(0);
        }
        assert_eq!(calls, 800, "as the documentation of Budget says");
    }

    #[test]
    fn a_clock_that_is_turned_back_holds_no_call_up_for_long() {
        let budget = budget();
        budget.buy(1_000_000_000);
        assert!(budget.buy(0) <= Budget::LONGEST_WAIT + Budget::PRICE);
    }

    #[test]
    fn what_refused_a_write_and_what_leaves_it_open_are_told_apart() {
        let of = |status: u16| KvError::Status {
            status: StatusCode::from_u16(status).unwrap(),
            codes: vec![],
            retry_after: None,
        };
        for refused in [of(400), of(401), of(403), of(404), of(413), of(429), KvError::Unreachable(String::new())] {
            assert!(!refused.may_take_effect(), "{refused}");
        }
        for open in
            [of(408), of(500), of(502), of(503), of(524), KvError::BrokenOff(String::new()), KvError::Unreadable]
        {
            assert!(open.may_take_effect(), "{open}");
        }
    }

    #[test]
    fn a_body_ends_where_its_limit_is_and_is_json_up_to_there() {
        let key = KvKey::management_key(&shared::digest::Digest::of("key"));
        let mut pairs = Pairs::new(100);
        assert!(pairs.push(&key, &"x".repeat(200)), "a single pair always fits");
        assert!(!pairs.push(&key, "y"));
        let body: serde_json::Value = serde_json::from_slice(&pairs.into_body()).unwrap();
        assert_eq!(body.as_array().unwrap().len(), 1);
        assert_eq!(Pairs::new(100).into_body(), b"[]");
    }
}
