//! Events before a key expires, and when it has expired.

use std::{collections::HashMap, str::FromStr};

use shared::{Timestamp, id::ApiKeyId};

use crate::{
    events::{Actor, EventType, NewEvent, changes},
    service::{Change, Database, commit_without_waiting},
    storage::{
        self, Priority,
        api_keys::{self, ApiKey},
        expiry_events as rows,
    },
};

/// How many keys one transaction takes.
const BATCH: i64 = 200;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// The most days before the expiry.
const DAYS_MAX: i64 = 365;
/// The most reminders.
const REMINDERS_MAX: usize = 10;

/// How many days before its expiry a key is reported, each of them once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryReminders(Vec<i64>);

impl Default for ExpiryReminders {
    fn default() -> Self {
        Self(vec![7, 1])
    }
}

impl FromStr for ExpiryReminders {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| part.trim().parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
        let days: Option<Vec<i64>> = text.split(',').map(parse).collect();
        let error =
            || format!("must be up to {REMINDERS_MAX} numbers from 1 to {DAYS_MAX}, separated by commas, or `none`");
        if text.trim() == "none" {
            return Ok(Self(vec![]));
        }
        days.filter(|days| days.len() <= REMINDERS_MAX).map(Self).ok_or_else(error)
    }
}

impl ExpiryReminders {
    /// When the first event after this time is due, of a key that expires then.
    fn next(&self, expires_at: Timestamp, after: Timestamp) -> Timestamp {
        let reminders = self.0.iter().map(|days| expires_at.plus_millis(-days * DAY_MILLIS));
        reminders.filter(|at| *at > after).min().unwrap_or(expires_at)
    }
}

/// Writes the events that are due: a bounded number in one transaction. Returns whether there may be more.
///
/// # Errors
/// If the database fails.
pub async fn report_expiries(
    database: &Database,
    reminders: &ExpiryReminders,
    now: Timestamp,
) -> storage::Result<bool> {
    if !rows::any_due(database.read().await?.conn(), now).await? {
        return Ok(false);
    }
    let mut transaction = database.begin(Actor::Server, Priority::Normal).await?;
    let began_at = rows::began_at(transaction.conn()).await?;
    for (id, expires_at) in rows::without_time(transaction.conn(), BATCH).await? {
        let next = if expires_at < began_at { rows::NEVER } else { reminders.next(expires_at, now) };
        rows::set(transaction.conn(), &id, next).await?;
    }
    let ids = rows::due(transaction.conn(), now, BATCH).await?;
    let id_texts: Vec<&str> = ids.iter().map(ApiKeyId::as_str).collect();
    let keys = api_keys::of_ids(transaction.conn(), &id_texts).await?;
    let keys: HashMap<&ApiKeyId, &ApiKey> = keys.iter().map(|key| (&key.id, key)).collect();
    let mut change = Change::nothing();
    for key in ids.iter().filter_map(|id| keys.get(id)) {
        let (event, next) = event_of(key, reminders, now)?;
        if let Some(event) = event {
            change = change.and(Change::local(event));
        }
        rows::set(transaction.conn(), &key.id, next).await?;
    }
    commit_without_waiting(transaction, change, now).await?;
    Ok(true)
}

/// The event of a key that is due, and when its next one is.
fn event_of(
    key: &ApiKey,
    reminders: &ExpiryReminders,
    now: Timestamp,
) -> storage::Result<(Option<NewEvent>, Timestamp)> {
    let Some(expires_at) = key.expires_at else { return Ok((None, rows::NEVER)) };
    if expires_at <= now {
        return Ok((Some(changes::api_key(EventType::ApiKeyExpired, key)?), rows::NEVER));
    }
    let next = reminders.next(expires_at, now);
    // An older server may have put the expiry off without computing the time of this event anew.
    let earliest = reminders.0.iter().max().map_or(expires_at, |days| expires_at.plus_millis(-days * DAY_MILLIS));
    if now < earliest {
        return Ok((None, next));
    }
    Ok((Some(changes::api_key_expiring(key, expires_at, now)?), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn in_days(days: i64) -> Timestamp {
        NOW.plus_millis(days * DAY_MILLIS)
    }

    #[test]
    fn next_event_is_the_next_reminder_or_the_expiry() {
        let reminders = ExpiryReminders::default();
        for (expires_in, expected) in [(30, 23), (8, 1), (7, 6), (3, 2), (1, 1), (0, 0)] {
            assert_eq!(reminders.next(in_days(expires_in), NOW), in_days(expected), "{expires_in}");
        }
    }

    #[test]
    fn setting_lists_days() {
        assert_eq!("7, 1".parse(), Ok(ExpiryReminders::default()));
        assert_eq!("none".parse(), Ok(ExpiryReminders(vec![])));
        for wrong in ["", "0", "366", "1,", "-1", "1;2", "1,1,1,1,1,1,1,1,1,1,1"] {
            assert!(wrong.parse::<ExpiryReminders>().is_err(), "{wrong}");
        }
    }
}
