//! Records in KV, a store that is not trusted and may be stale.

use std::time::Duration;

use shared::{digest::KvKey, record::Record};
use worker::console_error;

use crate::{config::Edge, counters::count, wait::within};

/// How long KV's own cache keeps what it read, in seconds. No refusal relies on its being fresh. But it keeps as well that
/// there was no such key, and a new key must be seen in KV before its creation leaves the feed, which is after an hour.
const CACHE_SECONDS: u64 = 10 * 60;
/// KV answers in milliseconds, or in some hundred when a record comes from afar. Longer than this it is not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store did not answer.
#[derive(Debug)]
pub struct Unavailable;

/// The record under this key, if there is one that we sealed for this place.
pub async fn read(edge: &Edge, key: &KvKey) -> Result<Option<Record>, Unavailable> {
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
pub fn open(edge: &Edge, key: &KvKey, sealed: &str) -> Option<Record> {
    let opened = edge.secrets.open(key, sealed);
    opened
        .map_err(|why| {
            count(|counters| counters.rejected_records += 1);
            console_error!("A record was refused: {why}. `latchkey edge verify` says which.");
        })
        .ok()
}
