//! Records in KV, a store that is not trusted and may be stale.

use shared::{digest::KvKey, record::Record};
use worker::{
    console_error,
    js_sys::{Promise, futures::JsFuture},
    wasm_bindgen::{self, JsValue, prelude::wasm_bindgen},
};

use crate::{config::Edge, counters::count};

/// How long KV's own cache keeps what it read, in seconds. No refusal relies on its being fresh. But it keeps as well that
/// there was no such key, and a new key must be seen in KV before its creation leaves the feed, which is after an hour.
const CACHE_SECONDS: u32 = 10 * 60;
/// KV answers in milliseconds, or in some hundred when a record comes from afar. Longer than this it is not there.
const PATIENCE_MILLIS: u32 = 2_000;

#[wasm_bindgen(module = "/src/store.js")]
extern "C" {
    /// Resolves to the text under this name, or null, and rejects with the reason if that is not known in time.
    #[wasm_bindgen(js_name = read)]
    fn read_text(namespace: &JsValue, name: &str, cache_seconds: u32, patience_millis: u32) -> Promise;
}

/// The store did not answer.
#[derive(Debug)]
pub struct Unavailable;

/// The record under this key, if there is one that we sealed for this place.
pub async fn read(edge: &Edge, key: &KvKey) -> Result<Option<Record>, Unavailable> {
    count(|counters| counters.kv_reads += 1);
    let text = read_text(&edge.store, key.as_str(), CACHE_SECONDS, PATIENCE_MILLIS);
    match JsFuture::from(text).await {
        Ok(sealed) => Ok(sealed.as_string().and_then(|sealed| open(edge, key, &sealed))),
        Err(cause) => {
            console_error!("Failed to read KV: {}", cause.as_string().unwrap_or_default());
            Err(Unavailable)
        }
    }
}

/// A record that does not verify is worth no more than none at all.
pub fn open(edge: &Edge, key: &KvKey, sealed: &str) -> Option<Record> {
    let opened = edge.secrets.open(key, sealed);
    opened
        .map_err(|why| {
            count(|counters| counters.rejected_records += 1);
            console_error!("Refused a record: {why}. `latchkey edge verify` shows which.");
        })
        .ok()
}
