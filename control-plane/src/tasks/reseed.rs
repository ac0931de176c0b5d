//! Reseeds a closed change feed, and opens it.
//!
//! A feed that is new, or that lost data, is closed: no isolate gets a lease, so no key is accepted. It may be opened
//! only once it has every change of the last R and a margin ([`KEPT_MILLIS`]). A change that was acknowledged in an
//! earlier epoch of the feed was committed before, so it is in the database when this epoch begins, and this module
//! reads the database after that. Later changes are appended by the pump as always, and are acknowledged only in this
//! epoch.
//!
//! | what is appended | why |
//! | --- | --- |
//! | cache tags that were changed in that time | one entry covers many keys |
//! | keys that were changed in that time | KV may still have their earlier state |
//! | keys that wait to be written to KV | a caller may use a key as soon as its creation has succeeded |
//!
//! If the feed begins another epoch meanwhile, this starts over. Appending the same twice changes nothing, so several
//! processes may do this at the same time, and the first one opens the feed for all.

use std::collections::HashSet;

use anyhow::bail;
use reqwest::StatusCode;
use shared::{
    Timestamp,
    feed::{APPEND_MAX, Epoch, KEPT_MILLIS, State, Status},
};

use crate::{
    edge::{
        changes::Subject,
        feed::FeedError,
        feeder::{Feeder, NotFed},
    },
    storage::{self, Db, Priority, feed, outbox::Kind, reseed},
};

/// How often it begins anew before it gives up.
const ATTEMPTS: usize = 5;

/// What is told, page by page.
#[derive(Debug)]
struct Walk<'a> {
    db: &'a Db,
    since: Timestamp,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Scopes { after: String },
    Changed { kinds: Vec<Kind>, moment: Timestamp, id: String },
    Unwritten { kinds: Vec<Kind>, id: String },
}

impl<'a> Walk<'a> {
    fn new(db: &'a Db, now: Timestamp) -> Self {
        Self { db, since: now.plus_millis(-KEPT_MILLIS), stage: Stage::Scopes { after: String::new() } }
    }

    fn changed(&self, kinds: Vec<Kind>) -> Stage {
        Stage::Changed { kinds, moment: self.since, id: String::new() }
    }

    /// The next page. `None` when it is over; a page may be empty.
    async fn next(&mut self) -> storage::Result<Option<Vec<Subject>>> {
        let limit = i64::try_from(APPEND_MAX).unwrap_or(i64::MAX);
        let mut reader = self.db.read_as(Priority::Publisher).await?;
        let (page, next) = match &self.stage {
            Stage::Scopes { after } => {
                let scopes = feed::scopes_since(reader.conn(), self.since, after, limit).await?;
                let next = match scopes.last() {
                    Some(last) => Stage::Scopes { after: last.name.clone() },
                    None => self.changed(Kind::EVERY.to_vec()),
                };
                (scopes.into_iter().map(|scope| Subject::Scope(scope.name)).collect(), next)
            }
            Stage::Changed { kinds, moment, id } => match kinds.split_first() {
                None => (vec![], Stage::Unwritten { kinds: Kind::EVERY.to_vec(), id: String::new() }),
                Some((kind, rest)) => {
                    let keys = reseed::changed_after(reader.conn(), *kind, *moment, id, limit).await?;
                    let next = match keys.last() {
                        Some(last) => {
                            Stage::Changed { kinds: kinds.clone(), moment: last.changed_at, id: last.id.clone() }
                        }
                        None => self.changed(rest.to_vec()),
                    };
                    (keys.into_iter().map(|key| Subject::Key(*kind, key.id)).collect(), next)
                }
            },
            Stage::Unwritten { kinds, id } => match kinds.split_first() {
                None => return Ok(None),
                Some((kind, rest)) => {
                    let ids = reseed::unwritten_after(reader.conn(), *kind, id, limit).await?;
                    let next = match ids.last() {
                        Some(last) => Stage::Unwritten { kinds: kinds.clone(), id: last.clone() },
                        None => Stage::Unwritten { kinds: rest.to_vec(), id: String::new() },
                    };
                    (ids.into_iter().map(|id| Subject::Key(*kind, id)).collect(), next)
                }
            },
        };
        self.stage = next;
        Ok(Some(page))
    }
}

/// Tells the feed everything, without opening it, and returns how it is then and how much it was told. After a change of the edge's
/// secret, this seals anew what the feed holds.
///
/// # Errors
/// If the feed or the database fails. It can be repeated.
pub async fn tell_all(db: &Db, feeder: &mut Feeder, now: Timestamp) -> Result<(Status, u64), NotFed> {
    let mut walk = Walk::new(db, now);
    let mut status = feeder.feed(&[]).await?.status;
    let mut told = 0;
    while let Some(page) = walk.next().await? {
        if let Some(now_at) = tell(feeder, page, &mut told).await? {
            status = now_at;
        }
    }
    Ok((status, told))
}

/// Tells the feed everything that it must know in this life, and opens it. Returns how much it was told.
///
/// # Errors
/// If the feed or the database fails. It can be repeated.
pub async fn reseed(db: &Db, feeder: &mut Feeder, now: Timestamp) -> anyhow::Result<u64> {
    for _ in 0..ATTEMPTS {
        let status = feeder.feed(&[]).await?.status;
        if status.state != State::Closed {
            return Ok(0);
        }
        match seed(db, feeder, now, status.epoch).await? {
            Seeded::Whole(told) => {
                // It refuses if it has begun another life since.
                match feeder.client().open(status.epoch).await {
                    Ok(_) => return Ok(told),
                    Err(FeedError::Refused { status: StatusCode::CONFLICT, .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Seeded::ByAnother => return Ok(0),
            Seeded::InVain => {}
        }
    }
    bail!("the change feed keeps beginning new epochs");
}

enum Seeded {
    /// All of it, so much.
    Whole(u64),
    /// Another process has opened it meanwhile, and so was through with all of it.
    ByAnother,
    /// The feed has begun another life, and may not have all of it.
    InVain,
}

async fn seed(db: &Db, feeder: &mut Feeder, now: Timestamp, epoch: Epoch) -> Result<Seeded, NotFed> {
    let mut walk = Walk::new(db, now);
    let mut told = 0;
    while let Some(page) = walk.next().await? {
        let Some(status) = tell(feeder, page, &mut told).await? else { continue };
        if status.epoch != epoch {
            return Ok(Seeded::InVain);
        }
        if status.state == State::Open {
            return Ok(Seeded::ByAnother);
        }
        tracing::info!(entries = told, "reseeding the change feed");
    }
    Ok(Seeded::Whole(told))
}

/// Tells one page, in as many appends as it takes, and returns how the feed is then, if there was anything to tell.
async fn tell(feeder: &mut Feeder, mut page: Vec<Subject>, told: &mut u64) -> Result<Option<Status>, NotFed> {
    let mut status = None;
    while !page.is_empty() {
        let fed = feeder.feed(&page).await?;
        *told += fed.held.len() as u64;
        status = Some(fed.status);
        if fed.is_all {
            break;
        }
        // Each append takes one at least, so this ends.
        let done: HashSet<&Subject> = fed.held.keys().collect();
        page.retain(|subject| !done.contains(subject));
    }
    Ok(status)
}

#[cfg(test)]
mod tests;
