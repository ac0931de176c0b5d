//! The one place of the Worker that reads the clock.

use shared::Timestamp;
use worker::js_sys::Date;

/// The moment of the last I/O: in production the clock stands still between two of them.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Timestamp {
    Timestamp::from_millis(Date::now() as i64)
}
