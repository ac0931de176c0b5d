//! Records in KV, a store that is not trusted and may lag behind.

use std::time::Duration;

use shared::{digest::KvKey, error::ApiError, record::Record};
use worker::console_error;

use crate::{config::Edge, counters::count, failure::Failure, wait::within};

/// Until there is a lease that says how fresh a cached record is, KV's own cache is the only one, and it is told to
/// forget as early as it can: 30 is the least that KV takes (60 is its default).
const CACHE_SECONDS: u64 = 30;
/// KV answers in milliseconds, or in some hundred when a record comes from afar. Longer than this it is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store did not answer, so nothing is known of the key.
#[derive(Debug)]
pub struct Unavailable;

impl From<Unavailable> for Failure {
    fn from(_: Unavailable) -> Self {
        let message = "The key could not be looked up, so it is neither accepted nor refused. Try again in a second.";
        Self::passing(ApiError::new(503, "edge_store_unavailable", message))
    }
}

/// The record under this key, if there is one that we sealed for this place.
pub async fn look_up(edge: &Edge, key: &KvKey) -> Result<Option<Record>, Unavailable> {
    count(|counters| counters.kv_reads += 1);
    let read = edge.store.get(key.as_str()).cache_ttl(CACHE_SECONDS).text();
    let sealed = match within(PATIENCE, read).await {
        Some(Ok(sealed)) => sealed,
        Some(Err(cause)) => {
            console_error!("KV failed: {cause}");
            return Err(Unavailable);
        }
        None => {
            console_error!("KV did not answer within {} s.", PATIENCE.as_secs());
            return Err(Unavailable);
        }
    };
    Ok(sealed.and_then(|sealed| open(edge, key, &sealed)))
}

/// A record that does not verify is worth no more than none at all.
fn open(edge: &Edge, key: &KvKey, sealed: &str) -> Option<Record> {
    let opened = edge.secrets.open(key, sealed);
    opened
        .map_err(|why| {
            count(|counters| counters.rejected_records += 1);
            console_error!("A record in KV was refused: {why}. `latchkey edge verify` says which.");
        })
        .ok()
}
