//! How often a caller may ask: so many requests each second, and ten seconds' worth of them at once, for each management key and
//! for each address. And how many of its requests may be in progress at the same time.
//!
//! Each process counts by itself, in memory, and remembers so many callers; whoever it has forgotten may ask as if
//! for the first time. What this is for is that one caller that runs wild leaves the others their share.
//!
//! A management key is counted by the digest of what was sent, once that has the shape and the checksum of one, and
//! before the database is asked. Only who has its text can use up its share.

mod in_progress;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hashlink::LruCache;
use shared::{Timestamp, digest::Digest};

use self::in_progress::{InProgress, InProgressGuard};
use super::{Error, access::authorization, body, client_address::AddressSource};
use crate::{
    app::App,
    config::Config,
    storage::{Caller, as_caller},
};

pub use self::in_progress::TooManyInProgress;

/// How many seconds' worth of requests may come at once.
const AT_ONCE_SECONDS: i64 = 10;
/// How many callers of each kind are remembered. Those that asked longest ago are forgotten first, and they have waited longest.
const REMEMBERED_MAX: usize = 100_000;
const SECOND_MICROS: i64 = 1_000_000;

/// What is asked without limits: by whoever watches the server, and by the Worker, for itself.
const EXEMPT: [&str; 4] = ["/health", "/ready", "/metrics", shared::usage::PATH];

/// The limits of a server.
#[derive(Debug)]
pub struct Limits {
    of_keys: Option<Buckets<Digest>>,
    of_addresses: Option<Buckets<IpAddr>>,
    in_progress_of_keys: Option<Arc<InProgress<Digest>>>,
    in_progress_of_addresses: Option<Arc<InProgress<IpAddr>>>,
    source: AddressSource,
}

/// Where the guard of a request's management key is kept until the response is made. The key is known only inside the
/// handler, by an extractor, whose values need not live as long as the handler runs.
#[derive(Debug, Clone, Default)]
struct KeyGuard(Arc<OnceLock<InProgressGuard<Digest>>>);

/// Somebody asks too often, and may ask again after so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// At least one.
    pub seconds: i64,
}

impl Limits {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            of_keys: None,
            of_addresses: None,
            in_progress_of_keys: None,
            in_progress_of_addresses: None,
            source: AddressSource::default(),
        }
    }

    /// Those of the settings.
    ///
    /// # Errors
    /// If the settings of the edge are wrong, or the header cannot be one.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            of_keys: Buckets::new(config.requests_per_second_of_key),
            of_addresses: Buckets::new(config.requests_per_second_of_address),
            in_progress_of_keys: InProgress::new(config.requests_in_progress_of_key),
            in_progress_of_addresses: InProgress::new(config.requests_in_progress_of_address),
            source: AddressSource::of(config)?,
        })
    }

    /// Counts a request of this management key, from now until the response is made.
    ///
    /// # Errors
    /// If there were too many, or too many are in progress.
    pub fn count_key(&self, parts: &Parts, digest: Digest, now: Timestamp) -> Result<(), Error> {
        if let Some(buckets) = &self.of_keys {
            buckets.take(digest, now)?;
        }
        // Only a unit test calls a handler without the layer.
        if let (Some(in_progress), Some(KeyGuard(guard))) = (&self.in_progress_of_keys, parts.extensions.get()) {
            // A handler has one caller, so nothing is there already.
            let _ = guard.set(in_progress.begin(digest)?);
        }
        Ok(())
    }

    fn count_address(&self, request: &Request, now: Timestamp) -> Result<Option<InProgressGuard<IpAddr>>, Error> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        // Only a test asks from nowhere.
        let Some(address) = self.source.address(request.headers(), peer) else { return Ok(None) };
        if is_exempt(request.uri().path()) {
            return Ok(None);
        }
        if let Some(buckets) = &self.of_addresses {
            buckets.take(address, now)?;
        }
        Ok(self.in_progress_of_addresses.as_ref().map(|in_progress| in_progress.begin(address)).transpose()?)
    }
}

/// Whether this path can be asked without limits.
pub fn is_exempt(path: &str) -> bool {
    EXEMPT.contains(&path)
}

/// Answers those addresses that ask too often, or too much at once, before anything is asked of the database for them.
/// What is counted as in progress here is so until the response is made.
pub async fn limit_callers(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match app.limits.count_address(&request, app.clock.now()) {
        Ok(_until_the_response) => {
            let of_key = KeyGuard::default();
            request.extensions_mut().insert(of_key.clone());
            let response = as_caller(caller(request.headers()), next.run(request)).await;
            drop(of_key);
            response
        }
        Err(error) => {
            body::discard_all(request).await;
            error.into_response()
        }
    }
}

/// Tells callers apart, where they share what the database can do. What nobody has authenticated yet is cheap.
fn caller(headers: &HeaderMap) -> Caller {
    let mut hasher = DefaultHasher::new();
    shared::caller::management_key(authorization(headers)).ok().hash(&mut hasher);
    hasher.finish()
}

/// A bucket of tokens for each caller, each of which remembers only when it will be full again.
#[derive(Debug)]
struct Buckets<Who> {
    price: i64,
    credit: i64,
    full_at: Mutex<LruCache<Who, i64>>,
}

impl<Who: Eq + Hash> Buckets<Who> {
    /// `None` if there is no limit.
    fn new(per_second: u32) -> Option<Self> {
        let price = SECOND_MICROS.checked_div(i64::from(per_second))?;
        let full_at = Mutex::new(LruCache::new(REMEMBERED_MAX));
        Some(Self { price, credit: SECOND_MICROS * AT_ONCE_SECONDS, full_at })
    }

    fn take(&self, who: Who, now: Timestamp) -> Result<(), TooOften> {
        let now = now.as_millis().saturating_mul(1000);
        // Nothing panics while the lock is held.
        let mut callers = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = callers.entry(who).or_insert(now);
        // However the clock is turned, nobody waits for longer than it takes to fill the bucket.
        *full_at = (*full_at).clamp(now, now + self.credit);
        let wait = *full_at + self.price - (now + self.credit);
        if wait > 0 {
            return Err(TooOften { seconds: (wait + SECOND_MICROS - 1) / SECOND_MICROS });
        }
        *full_at += self.price;
        Ok(())
    }
}

#[cfg(test)]
mod in_progress_tests;
#[cfg(test)]
mod tests;
