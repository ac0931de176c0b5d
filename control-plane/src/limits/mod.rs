//! Limits: how many requests a caller may make each second, with a burst of ten seconds' worth, and how many of them may be
//! in progress at the same time, for each management key and for each address.
//!
//! Each process counts by itself, in memory, and remembers a bounded number of callers. The purpose is that one caller that runs
//! wild leaves the others their share.
//!
//! A management key is counted by the digest of what was sent, once that has the shape and the checksum of one, and
//! before the database is queried. So only whoever has its text can use up its share.

mod client_address;
pub(crate) mod in_progress;

use std::{
    hash::Hash,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use axum::http::HeaderMap;
use hashlink::LruCache;
use shared::{Timestamp, digest::Digest};

use self::{
    client_address::AddressSource,
    in_progress::{InProgress, InProgressGuard, TooManyInProgress},
};
use crate::config::Config;

/// How many seconds' worth of requests may come at once.
const AT_ONCE_SECONDS: i64 = 10;
/// How many callers of each kind are remembered. Those that asked longest ago are forgotten first, and they have waited longest.
const REMEMBERED_MAX: usize = 100_000;
const SECOND_MICROS: i64 = 1_000_000;

/// The limits of a server.
#[derive(Debug)]
pub struct Limits {
    of_keys: Option<Buckets<Digest>>,
    of_addresses: Option<Buckets<IpAddr>>,
    in_progress_of_keys: Option<Arc<InProgress<Digest>>>,
    in_progress_of_addresses: Option<Arc<InProgress<IpAddr>>>,
    source: AddressSource,
}

/// Keeps a request counted as one of its management key until the response is made. The key is known only inside the handler, by
/// an extractor, whose values need not live as long as the handler runs.
#[derive(Debug, Clone, Default)]
pub struct KeyGuard(Arc<OnceLock<InProgressGuard<Digest>>>);

/// Keeps a request counted as one of its address until it is dropped.
#[derive(Debug)]
pub struct AddressGuard(#[expect(dead_code, reason = "dropping it ends the count")] Option<InProgressGuard<IpAddr>>);

/// The limit that a request exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Too many requests in a short time.
    Rate {
        /// When to try again: at least 1.
        retry_after_seconds: i64,
    },
    /// Too many requests at the same time.
    InProgress,
}

impl From<TooManyInProgress> for Exceeded {
    fn from(_: TooManyInProgress) -> Self {
        Self::InProgress
    }
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

    /// Counts a request of this management key, from now until the guard is dropped.
    ///
    /// # Errors
    /// If there were too many, or too many are in progress.
    pub fn count_key(&self, guard: Option<&KeyGuard>, digest: Digest, now: Timestamp) -> Result<(), Exceeded> {
        if let Some(buckets) = &self.of_keys {
            buckets.take(digest, now)?;
        }
        // Only a unit test calls a handler without a guard.
        if let (Some(in_progress), Some(KeyGuard(guard))) = (&self.in_progress_of_keys, guard) {
            // A handler has one caller, so the cell is empty.
            let _ = guard.set(in_progress.begin(digest)?);
        }
        Ok(())
    }

    /// Counts a request of the address that it comes from, from now until the guard is dropped.
    ///
    /// # Errors
    /// If there were too many, or too many are in progress.
    pub fn count_address(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        now: Timestamp,
    ) -> Result<AddressGuard, Exceeded> {
        // Only a test sends requests without a peer.
        let Some(address) = self.source.address(headers, peer) else { return Ok(AddressGuard(None)) };
        if let Some(buckets) = &self.of_addresses {
            buckets.take(address, now)?;
        }
        let guard = self.in_progress_of_addresses.as_ref().map(|in_progress| in_progress.begin(address));
        Ok(AddressGuard(guard.transpose()?))
    }
}

#[cfg(test)]
impl Limits {
    pub(crate) fn of_keys(&self) -> &InProgress<Digest> {
        self.in_progress_of_keys.as_ref().unwrap()
    }

    pub(crate) fn of_addresses(&self) -> &InProgress<IpAddr> {
        self.in_progress_of_addresses.as_ref().unwrap()
    }
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

    fn take(&self, who: Who, now: Timestamp) -> Result<(), Exceeded> {
        let now = now.as_millis().saturating_mul(1000);
        // Nothing panics while the lock is held.
        let mut callers = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = callers.entry(who).or_insert(now);
        // However the clock is turned, nobody waits for longer than it takes to fill the bucket.
        *full_at = (*full_at).clamp(now, now + self.credit);
        let wait = *full_at + self.price - (now + self.credit);
        if wait > 0 {
            return Err(Exceeded::Rate { retry_after_seconds: (wait + SECOND_MICROS - 1) / SECOND_MICROS });
        }
        *full_at += self.price;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
