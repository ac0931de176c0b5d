//! What this isolate has done since it began. Tests read them to see what was *not* done.

use std::cell::Cell;

use serde::Serialize;

/// The counters of this isolate.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Counters {
    /// Reads of KV, be they of keys or of management keys.
    pub kv_reads: u64,
    /// Questions to the feed for the record of one key.
    pub feed_reads: u64,
    /// Polls of the feed.
    pub polls: u64,
    /// Records that were found and refused, because we did not seal them, or not for that place.
    pub rejected_records: u64,
    /// Keys that were refused for their shape, without a look-up.
    pub refused_unseen: u64,
    /// Requests to validate a key, whatever came of them.
    pub validations: u64,
}

thread_local! {
    static COUNTERS: Cell<Counters> = const {
        Cell::new(Counters { kv_reads: 0, feed_reads: 0, polls: 0, rejected_records: 0, refused_unseen: 0, validations: 0 })
    };
}

/// Changes the counters.
pub fn count(change: impl FnOnce(&mut Counters)) {
    let mut counters = COUNTERS.get();
    change(&mut counters);
    COUNTERS.set(counters);
}

/// How they stand.
pub fn current() -> Counters {
    COUNTERS.get()
}

#[cfg(test)]
mod tests {
    use super::{count, current};

    #[test]
    fn they_count() {
        count(|counters| counters.kv_reads += 1);
        count(|counters| counters.kv_reads += 1);
        count(|counters| counters.refused_unseen += 1);
        let json = serde_json::to_string(&current()).unwrap();
        assert_eq!(
            json,
            r#"{"kv_reads":2,"feed_reads":0,"polls":0,"rejected_records":0,"refused_unseen":1,"validations":0}"#
        );
    }
}
