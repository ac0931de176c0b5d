//! Client of the change feed, which is reached through the Worker. [`shared::feed`] has its rules and
//! [`shared::feed::wire`] its routes.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use shared::{
    error::ErrorBody,
    feed::{
        Epoch, Sequence,
        wire::{self, Append, Appended, Changes, Found, Lookup, Open, Report, Since},
    },
};

use super::kv::{cause_of, http_client};
use crate::config::EdgeConfig;

/// How long a call may take, all in all. A caller waits for its acknowledgement for 5 seconds, so one repetition fits in.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const ANSWER_LIMIT: u64 = 32 * 1024 * 1024;

/// The change feed.
#[derive(Debug, Clone)]
pub struct FeedClient {
    http: Client,
    worker: Url,
    token: header::HeaderValue,
}

/// Why a call failed. It never holds a token or a name.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// There was no answer.
    #[error("the change feed cannot be reached: {0}")]
    Unreachable(String),
    /// The Worker, or the feed behind it, refused.
    #[error("the change feed returned {status}, code {code}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The code of the error, which may be that of [`shared::feed::Refusal`].
        code: String,
    },
    /// Its answer is not what it should be.
    #[error("the change feed returned a response that cannot be read")]
    Unreadable,
}

impl FeedClient {
    /// The feed behind the configured Worker.
    ///
    /// # Errors
    /// If its URL is none.
    pub fn new(edge: &EdgeConfig) -> anyhow::Result<Self> {
        Self::with_timeout(edge, TIMEOUT)
    }

    /// The same with another time limit.
    ///
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn with_timeout(edge: &EdgeConfig, timeout: Duration) -> anyhow::Result<Self> {
        let worker = Url::parse(&edge.url).context("edge_url is not a valid URL")?;
        ensure!(matches!(worker.scheme(), "http" | "https"), "edge_url must begin with `https://` or `http://`");
        let mut token = header::HeaderValue::try_from(format!("Bearer {}", edge.secrets.ingress_token()))?;
        token.set_sensitive(true);
        Ok(Self { http: http_client(timeout)?, worker, token })
    }

    /// Appends changes; none of them to ask how the feed is.
    ///
    /// # Errors
    /// If the call failed. It may have taken effect, and can be repeated.
    pub async fn append(&self, append: &Append) -> Result<Appended, FeedError> {
        let appended: Appended = self.post(wire::APPEND, append).await?;
        if appended.held.len() == append.changes.len() { Ok(appended) } else { Err(FeedError::Unreadable) }
    }

    /// How the feed is.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn status(&self) -> Result<Report, FeedError> {
        self.call(self.request(Method::GET, wire::STATUS)).await
    }

    /// Opens the feed, after it was re-seeded in this epoch.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn open(&self, epoch: Epoch) -> Result<Report, FeedError> {
        self.post(wire::OPEN, &Open { epoch }).await
    }

    /// Ends the feed for good.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn retire(&self) -> Result<Report, FeedError> {
        self.post(wire::RETIRE, &()).await
    }

    /// The entries with these names, [`wire::LOOKUP_MAX`] at the most.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn entries(&self, names: Vec<String>) -> Result<Found, FeedError> {
        self.post(wire::ENTRIES, &Lookup { names }).await
    }

    /// The next entries after this number.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn changes(&self, after: Sequence) -> Result<Changes, FeedError> {
        self.post(wire::CHANGES, &Since { after }).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.worker.clone();
        url.set_path(&format!("{}{path}", self.worker.path().trim_end_matches('/')));
        self.http.request(method, url).header(header::AUTHORIZATION, self.token.clone())
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, FeedError> {
        self.call(self.request(Method::POST, path).json(body)).await
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, FeedError> {
        let unreachable = |error: reqwest::Error| FeedError::Unreachable(cause_of(error));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if response.content_length().is_some_and(|length| length > ANSWER_LIMIT) {
            return Err(FeedError::Unreadable);
        }
        let body = response.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            let code = serde_json::from_slice(&body).map_or_else(|_| String::new(), |body: ErrorBody| body.code);
            return Err(FeedError::Refused { status, code });
        }
        serde_json::from_slice(&body).map_err(|_| FeedError::Unreadable)
    }
}
