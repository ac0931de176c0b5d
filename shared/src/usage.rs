//! How often keys were validated, with what outcome, and when last.
//!
//! Whoever validates counts in memory ([`Tally`]) and tells the control plane some seconds later, in one [`Batch`] for all that
//! happened meanwhile. So a validation costs a look into a map, and never a write or a wait. What is told is told once: a
//! [`Reporter`] repeats a batch under the same number until it is taken, and whoever takes it remembers the number.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Timestamp,
    digest::{Digest, Place, PlaceHash},
    id::EnvironmentId,
    reason::Reason,
};

/// Where the control plane takes batches: `POST`, with the usage token.
pub const PATH: &str = "/_edge/usage";
/// The longest batch, in bytes of JSON.
pub const BATCH_LIMIT: usize = 4 * 1024 * 1024;
/// The most keys of a batch.
pub const KEYS_MAX: usize = 4_000;
/// The most environments of a batch.
pub const ENVIRONMENTS_MAX: usize = 1_000;
/// How long is counted before it is told, in milliseconds, …
pub const TELL_AFTER_MILLIS: i64 = 5_000;
/// … unless there are so many keys sooner.
pub const TELL_AFTER_KEYS: usize = 1_000;
/// How much longer than that nothing may be heard of whoever is to tell. Then it is gone.
const GRACE_MILLIS: i64 = 2_000;

/// How long an hour is.
pub const HOUR_MILLIS: i64 = 3_600_000;

/// The hour of a moment, counted since 1970.
#[must_use]
pub const fn hour_of(moment: Timestamp) -> i64 {
    moment.as_millis().div_euclid(HOUR_MILLIS)
}

/// What came of a validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The key was accepted.
    Valid,
    /// It was refused, for this reason.
    Refused(Reason),
}

impl Outcome {
    /// Every outcome.
    pub fn every() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Valid).chain(Reason::EVERY.iter().copied().map(Self::Refused))
    }

    /// The stable code that programs compare.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Refused(reason) => reason.code(),
        }
    }

    /// The outcome of this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::every().find(|outcome| outcome.code() == code)
    }
}

impl From<Option<Reason>> for Outcome {
    fn from(refused: Option<Reason>) -> Self {
        refused.map_or(Self::Valid, Self::Refused)
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| de::Error::custom("must be a known outcome"))
    }
}

/// How often something had this outcome within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Hours since 1970 began.
    pub hour: i64,
    /// The outcome.
    pub outcome: Outcome,
    /// How often.
    pub count: u64,
}

/// What was counted of one key. It is named as validations find it, because a refused one may have no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUsage {
    /// Its environment.
    pub environment: EnvironmentId,
    /// The digest of its text.
    #[serde(serialize_with = "show_digest", deserialize_with = "read_digest")]
    pub digest: Digest,
    /// When it was last accepted, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// By hour and outcome.
    pub counts: Vec<Count>,
}

/// What was counted in an environment of what is no key there: unknown or malformed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentUsage {
    /// The environment.
    pub environment: EnvironmentId,
    /// By hour and outcome.
    pub counts: Vec<Count>,
}

/// What one sender counted for a while. It counts once, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Who counted: the life of one isolate, or of one process. 22 characters.
    pub sender: String,
    /// Goes up with every batch of this sender. A lower one than was taken before was taken before.
    pub number: u64,
    /// By key.
    pub keys: Vec<KeyUsage>,
    /// What is no key.
    pub environments: Vec<EnvironmentUsage>,
    /// Validations that were not counted, for want of room.
    pub lost: u64,
}

impl Batch {
    /// How many validations it tells of.
    #[must_use]
    pub fn validations(&self) -> u64 {
        let of_keys = self.keys.iter().flat_map(|key| &key.counts);
        let of_environments = self.environments.iter().flat_map(|environment| &environment.counts);
        of_keys.chain(of_environments).map(|count| count.count).sum()
    }
}

/// What was counted since the last batch.
#[derive(Debug, Default)]
pub struct Tally {
    keys: HashMap<Place, KeyUsage, PlaceHash>,
    environments: BTreeMap<EnvironmentId, Vec<Count>>,
    lost: u64,
}

impl Tally {
    /// Counts a validation of the key at this place. Who it is, is asked only if it is new here.
    pub fn count_key(
        &mut self,
        place: Place,
        outcome: Outcome,
        now: Timestamp,
        who: impl FnOnce() -> (EnvironmentId, Digest),
    ) {
        let is_full = self.keys.len() >= KEYS_MAX;
        let key = match self.keys.get_mut(&place) {
            Some(key) => key,
            None if is_full => return self.lost += 1,
            None => {
                let (environment, digest) = who();
                let new = KeyUsage { environment, digest, last_used_at: None, counts: Vec::with_capacity(1) };
                self.keys.entry(place).or_insert(new)
            }
        };
        if outcome == Outcome::Valid {
            key.last_used_at = key.last_used_at.max(Some(now));
        }
        count(&mut key.counts, outcome, now);
    }

    /// Counts a validation of what is no key of this environment.
    pub fn count_unknown(&mut self, environment: &EnvironmentId, reason: Reason, now: Timestamp) {
        let outcome = Outcome::Refused(reason);
        let is_full = self.environments.len() >= ENVIRONMENTS_MAX;
        match self.environments.get_mut(environment) {
            Some(counts) => count(counts, outcome, now),
            None if is_full => self.lost += 1,
            None => count(self.environments.entry(environment.clone()).or_default(), outcome, now),
        }
    }

    /// How many keys were counted.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.environments.is_empty() && self.lost == 0
    }

    /// All of it, as the batch of this sender and number. Then it is empty again.
    pub fn close(&mut self, sender: &str, number: u64) -> Batch {
        let Self { keys, environments, lost } = std::mem::take(self);
        let environments = environments.into_iter();
        Batch {
            sender: sender.to_owned(),
            number,
            keys: keys.into_values().collect(),
            environments: environments.map(|(environment, counts)| EnvironmentUsage { environment, counts }).collect(),
            lost,
        }
    }
}

/// Hours and outcomes are few, and mostly the same one.
fn count(counts: &mut Vec<Count>, outcome: Outcome, now: Timestamp) {
    let hour = hour_of(now);
    match counts.iter_mut().find(|count| count.hour == hour && count.outcome == outcome) {
        Some(same) => same.count += 1,
        None => counts.push(Count { hour, outcome, count: 1 }),
    }
}

/// Tells what was counted, batch after batch. There is one batch at a time, and it stays until it is settled; meanwhile
/// the next one is counted, within its bounds.
#[derive(Debug)]
pub struct Reporter {
    sender: String,
    number: u64,
    tally: Tally,
    pending: Option<Rc<Batch>>,
    /// Until when somebody waits to tell.
    waiting: Option<Timestamp>,
    hurried: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was taken, now or before.
    Taken,
    /// It will never be taken.
    Refused,
    /// Nobody knows. It must be sent again.
    Unknown,
}

impl Reporter {
    /// A reporter of this name, which nobody else has.
    #[must_use]
    pub fn new(sender: String) -> Self {
        Self { sender, number: 0, tally: Tally::default(), pending: None, waiting: None, hurried: false }
    }

    /// Where to count.
    pub const fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Whether the one who asks should wait for so many milliseconds, and then [`Self::wake`] and tell. `None` if there is
    /// nothing to tell, or somebody waits already. Who waits may be gone, and then nobody says so; hence the deadline.
    pub fn begin(&mut self, now: Timestamp) -> Option<i64> {
        if self.tally.is_empty() && self.pending.is_none() {
            return None;
        }
        if self.tally.keys() >= TELL_AFTER_KEYS && !self.hurried {
            self.hurried = true;
            return Some(0);
        }
        let latest = now.plus_millis(TELL_AFTER_MILLIS);
        let is_awaited = self.waiting.is_some_and(|until| now <= until.plus_millis(GRACE_MILLIS) && until <= latest);
        if is_awaited {
            return None;
        }
        self.waiting = Some(latest);
        Some(TELL_AFTER_MILLIS)
    }

    /// Whoever waited will now tell. Who counts from now on must wait anew.
    pub const fn wake(&mut self) {
        self.waiting = None;
        self.hurried = false;
    }

    /// The batch to send, if there is any: the one that is not settled yet, else what was counted since.
    pub fn batch(&mut self) -> Option<Rc<Batch>> {
        if self.pending.is_none() && !self.tally.is_empty() {
            self.number += 1;
            self.pending = Some(Rc::new(self.tally.close(&self.sender, self.number)));
        }
        self.pending.clone()
    }

    /// Notes what became of a batch.
    pub fn settle(&mut self, number: u64, told: Told) {
        let Some(batch) = self.pending.take_if(|batch| batch.number == number && told != Told::Unknown) else { return };
        if told == Told::Refused {
            self.tally.lost += batch.validations() + batch.lost;
        }
    }
}

fn show_digest<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

fn read_digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    Digest::parse(&text).ok_or_else(|| de::Error::custom("must be a digest of 43 characters"))
}
