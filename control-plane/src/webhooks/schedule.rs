//! When a failed delivery is tried again: ten attempts within three days, further and further apart.
//!
//! The schedule alone takes 71 h 35 min. Every wait is made up to a fifth longer, so that the deliveries that failed
//! together do not return together. A receiver can ask for a longer wait with `Retry-After`, never for a shorter one.

use std::time::UNIX_EPOCH;

use shared::{Timestamp, entropy::Entropy};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// How long to wait before each attempt, from the end of the one before it, in milliseconds.
const WAITS: [i64; 10] =
    [0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 20 * HOUR];

/// How many times a delivery is attempted.
pub const ATTEMPTS_MAX: usize = WAITS.len();

/// The longest wait that a receiver can ask for.
const RETRY_AFTER_MAX: i64 = 24 * HOUR;

/// When the next attempt is due, after so many attempts that failed. `None` if there is none left.
///
/// `retry_after` is the header of the last response. If it cannot be read, it is ignored.
pub fn next_attempt_at(
    failed_attempts: usize,
    now: Timestamp,
    retry_after: Option<&str>,
    entropy: &mut impl Entropy,
) -> Option<Timestamp> {
    let scheduled = *WAITS.get(failed_attempts)?;
    let requested = retry_after.and_then(|text| parse_retry_after(text, now)).unwrap_or_default();
    let wait = scheduled.max(requested);
    Some(now.plus_millis(wait + jitter(wait, entropy)))
}

/// Reads `Retry-After`, which is a number of seconds or a date, as milliseconds from now, 24 hours at the most. `None`
/// if it is neither. A date in the past is zero.
#[must_use]
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<i64> {
    let text = text.trim();
    let millis = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number that does not fit is a long wait all the same.
        text.parse().unwrap_or(i64::MAX).saturating_mul(SECOND)
    } else {
        let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX).saturating_sub(now.as_millis())
    };
    Some(millis.clamp(0, RETRY_AFTER_MAX))
}

/// A random part of a fifth of the wait.
fn jitter(wait: i64, entropy: &mut impl Entropy) -> i64 {
    let mut random = [0; 4];
    entropy.fill(&mut random);
    (wait / 5) * i64::from(u32::from_le_bytes(random)) / i64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use shared::entropy::Repeating;

    use super::*;

    /// 1994-11-06T08:49:37Z, the date of RFC 9110.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);
    const LEAST: Repeating = Repeating(0);
    const MOST: Repeating = Repeating(0xFF);

    fn wait(failed_attempts: usize, retry_after: Option<&str>, mut jitter: Repeating) -> Option<i64> {
        let next = next_attempt_at(failed_attempts, NOW, retry_after, &mut jitter)?;
        Some(next.as_millis() - NOW.as_millis())
    }

    #[test]
    fn schedule_ends_just_before_three_days() {
        let total: i64 = WAITS.iter().sum();
        assert!((71 * HOUR..72 * HOUR).contains(&total), "{total}");
        assert!(WAITS.is_sorted());
    }

    #[test]
    fn attempts_follow_the_schedule_until_it_is_exhausted() {
        let waits: Vec<i64> = (0..2 * ATTEMPTS_MAX).map_while(|failed| wait(failed, None, LEAST)).collect();
        assert_eq!(waits, WAITS);
        assert_eq!(wait(usize::MAX, Some("60"), LEAST), None);
    }

    #[test]
    fn jitter_adds_at_most_a_fifth() {
        assert_eq!(wait(0, None, MOST), Some(0));
        assert_eq!(wait(1, None, MOST), Some(6 * SECOND));
        assert_eq!(wait(9, None, MOST), Some(24 * HOUR));
        let some = wait(4, None, Repeating(0x80)).unwrap();
        assert!((2 * HOUR + 11 * MINUTE..2 * HOUR + 13 * MINUTE).contains(&some), "{some}");
    }

    #[test]
    fn retry_after_makes_a_wait_longer_and_never_shorter() {
        assert_eq!(wait(1, Some("60"), LEAST), Some(MINUTE));
        assert_eq!(wait(1, Some("60"), MOST), Some(72 * SECOND));
        assert_eq!(wait(1, Some("Sun, 06 Nov 1994 09:49:37 GMT"), LEAST), Some(HOUR));
        assert_eq!(wait(3, Some("60"), LEAST), Some(30 * MINUTE));
        assert_eq!(wait(3, Some("soon"), LEAST), Some(30 * MINUTE));
        assert_eq!(wait(1, Some("99999999999999999999"), LEAST), Some(24 * HOUR));
    }

    #[test]
    fn retry_after_is_read_in_all_forms() {
        for (text, millis) in [
            ("0", Some(0)),
            ("120", Some(2 * MINUTE)),
            (" 120 ", Some(2 * MINUTE)),
            ("0120", Some(2 * MINUTE)),
            ("86400", Some(24 * HOUR)),
            ("86401", Some(24 * HOUR)),
            ("9223372036854775807", Some(24 * HOUR)),
            ("9223372036854775808", Some(24 * HOUR)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(MINUTE)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(MINUTE)),
            ("Sun Nov  6 08:50:37 1994", Some(MINUTE)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(24 * HOUR)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("٣", None),
            ("Sun, 06 Nov 1994 08:50:37 CET", None),
            ("Sun, 31 Feb 1994 08:50:37 GMT", None),
            ("1994-11-06T08:50:37Z", None),
        ] {
            assert_eq!(parse_retry_after(text, NOW), millis, "{text}");
        }
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", Timestamp::from_millis(i64::MIN)),
            Some(24 * HOUR)
        );
    }
}
