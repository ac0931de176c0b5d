//! What an isolate knows, and how long it may rely on it: the rules by which a revoked key is refused within a bound.
//!
//! KV may be stale for ever, so nothing here asks how stale it is. An isolate polls the change feed ([`crate::feed`]) and
//! decides only while it holds a *lease*: for L after the moment when it *sent* the last poll that was answered with all there was.
//! A change that is in the feed before such a poll is known to the isolate, and a change that is not was acknowledged to
//! nobody yet. So whoever was told that a key is revoked need wait no longer than L.
//!
//! What it knows of a key is a *floor*: the least version that a record must have to be believed. Decoded records are kept
//! in a bounded cache, and one is there only if it is above its floor. So the check of a key that is in use is one look
//! into that cache: no KV, no feed, no floor.
//!
//! Everything is a value: no clock, no randomness, no I/O. The Worker, the model checker, the simulation and the
//! benchmarks drive this same code. Each guard is a field of [`Rules`].
//!
//! ```text
//! step ──► AwaitPoll ──(begin_poll … finish_poll)──► step
//!      ──► AskStore ──(store_answered)─────────────► step
//!      ──► AskFeed ──(feed_answered)───────────────► step
//!      ──► Decide, Refuse, Unknown: decide now, without awaiting
//! ```

use std::collections::BTreeMap;

use hashlink::LinkedHashMap;

use crate::{
    Timestamp,
    digest::{Place, PlaceHash},
    feed::{Effect, Epoch, Mark, Page, PageEntry, Position, Sequence},
    reason::Reason,
    record::Version,
};

mod cache;
mod limits;
mod look_up;
mod rules;
mod stored;

pub use limits::{CLOCK_MARGIN_MILLIS, LEASE_MILLIS, Limits};
pub use look_up::{FeedAnswer, LookUp, Step, Unknown};
pub use rules::Rules;
pub use stored::Stored;

use cache::Cache;
use look_up::{FeedSays, Store};

/// How often the feed's answer may turn out to be older than what became known meanwhile.
const FEED_QUESTIONS_MAX: u8 = 3;

/// The least that a record must be to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Floor {
    version: Version,
    revoked: bool,
    sequence: Sequence,
}

/// What became of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ScopeFloor {
    generation: Version,
    effect: Effect,
    sequence: Sequence,
}

/// A poll that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Poll {
    number: u64,
    life: u64,
    /// From where on the changes are asked for; `None` for all.
    pub position: Option<Position>,
    sent: Timestamp,
}

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Polled {
    /// The isolate knows all there is, and has a lease.
    Current,
    /// There is more; poll again at once.
    More,
    /// The answer does not fit what was asked any more, or came from before a step of the clock.
    Ignored,
    /// There is more than an isolate can hold.
    Overflow,
}

/// What an isolate is able to do at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    /// It may decide; what it knows is so many milliseconds old.
    Held {
        /// How old.
        age: i64,
        /// Whether it is time to poll in the background.
        poll_is_due: bool,
    },
    /// It may not decide before a poll.
    None,
}

/// The state of an isolate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Isolate<R> {
    limits: Limits,
    rules: Rules,
    /// Goes up with every reset, and when the clock goes back.
    life: u64,
    epoch: Option<Epoch>,
    cursor: Sequence,
    trimmed: Sequence,
    lease_start: Option<Timestamp>,
    last_now: Option<Timestamp>,
    overflow_until: Option<Timestamp>,
    polls: u64,
    polling: Option<(u64, Timestamp)>,
    floors: BTreeMap<Place, Floor>,
    scopes: BTreeMap<Place, ScopeFloor>,
    records: Cache<R>,
    /// The keys that do not exist, and since when that is known.
    absent: LinkedHashMap<Place, Timestamp, PlaceHash>,
    /// For each caller, when its allowance of questions will be whole again.
    questions: LinkedHashMap<Place, Timestamp, PlaceHash>,
}

impl<R: Stored> Isolate<R> {
    /// An isolate that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits, rules: Rules) -> Self {
        Self {
            limits,
            rules,
            life: 0,
            epoch: None,
            cursor: 0,
            trimmed: 0,
            lease_start: None,
            last_now: None,
            overflow_until: None,
            polls: 0,
            polling: None,
            floors: BTreeMap::new(),
            scopes: BTreeMap::new(),
            records: Cache::new(),
            absent: LinkedHashMap::default(),
            questions: LinkedHashMap::default(),
        }
    }

    /// What it is able to do now.
    pub fn lease(&mut self, now: Timestamp) -> Lease {
        self.watch_clock(now);
        let Some(age) = self.lease_age(now) else { return Lease::None };
        Lease::Held { age, poll_is_due: age >= self.limits.lease / 2 && !self.is_polling(now) }
    }

    /// How old the lease is, if it has not ended.
    fn lease_age(&self, now: Timestamp) -> Option<i64> {
        let age = now.as_millis() - self.lease_start?.as_millis();
        (age <= self.limits.lease - self.limits.margin).then_some(age)
    }

    /// The clock of a Worker can be set back, and there is no other. What was measured with it then means nothing; nor
    /// does the moment when a poll was sent that is still under way, even when the clock has come that far again.
    fn watch_clock(&mut self, now: Timestamp) {
        if self.rules.clock_step_ends_lease && self.last_now.is_some_and(|last| now < last) {
            self.doubt();
        }
        self.last_now = Some(now);
    }

    /// Ends the lease, and lets nothing count that is under way: whoever decides next has polled after this moment. For
    /// whoever knows that there was a change just now, and wants to see it at once.
    pub fn doubt(&mut self) {
        self.lease_start = None;
        self.polling = None;
        self.life += 1;
    }

    fn is_polling(&self, now: Timestamp) -> bool {
        self.polling.is_some_and(|(_, deadline)| now < deadline)
    }

    /// Begins a poll, unless one is under way. One that was not answered in time is given up: the request that sent it may
    /// be gone, and then nobody says so.
    pub fn begin_poll(&mut self, now: Timestamp) -> Option<Poll> {
        self.watch_clock(now);
        if self.is_polling(now) || self.overflow_until.is_some_and(|until| now < until) {
            return None;
        }
        self.polls += 1;
        self.polling = Some((self.polls, now.plus_millis(self.limits.poll)));
        Some(Poll { number: self.polls, life: self.life, position: self.position(), sent: now })
    }

    /// Notes that a poll was not answered.
    pub fn abandon_poll(&mut self, poll: &Poll) {
        if self.polling.is_some_and(|(number, _)| number == poll.number) {
            self.polling = None;
        }
    }

    /// Takes in the answer to a poll.
    pub fn finish_poll(&mut self, poll: &Poll, page: &Page, now: Timestamp) -> Polled {
        self.watch_clock(now);
        self.abandon_poll(poll);
        let fits = poll.life == self.life && poll.position == self.position();
        if !fits && self.rules.answer_fits_question {
            return Polled::Ignored;
        }
        // What was trimmed beyond the cursor may be something that was never seen.
        let misses_nothing = page.after == self.cursor && page.trimmed <= self.cursor;
        let goes_on = self.epoch == Some(page.epoch) && misses_nothing;
        if !goes_on && self.rules.reset_on_discontinuity {
            self.reset();
        }
        self.epoch = Some(page.epoch);
        for entry in &page.entries {
            self.take_in(entry);
        }
        self.cursor = page.up_to;
        // What superseded a floor may be on a page that is still to come.
        if page.complete || !self.rules.forgets_when_complete {
            self.forget_trimmed(page.trimmed);
        }
        if self.floors.len() + self.scopes.len() > self.limits.floors {
            self.reset();
            self.overflow_until = Some(now.plus_millis(self.limits.overflow_pause));
            return Polled::Overflow;
        }
        if !page.complete && self.rules.complete_page_renews {
            return Polled::More;
        }
        if self.lease_age(now).is_none() && self.rules.lapse_voids_absences {
            self.absent.clear();
        }
        let measured_from = if self.rules.lease_from_sending { poll.sent } else { now };
        let age = if self.rules.age_is_subtracted { page.age_millis.max(0) } else { 0 };
        self.lease_start = self.lease_start.max(Some(measured_from.plus_millis(-age)));
        Polled::Current
    }

    /// Forgets everything.
    fn reset(&mut self) {
        self.life += 1;
        self.epoch = None;
        self.cursor = 0;
        self.trimmed = 0;
        self.lease_start = None;
        self.floors.clear();
        self.scopes.clear();
        self.records.clear();
        self.absent.clear();
    }

    fn take_in(&mut self, entry: &PageEntry) {
        let PageEntry { sequence, place, version, ref mark } = *entry;
        self.absent.remove(&place);
        match mark {
            // There is nothing older that could be believed instead.
            Mark::Created => {}
            Mark::Changed | Mark::Revoked => {
                let revoked = *mark == Mark::Revoked;
                self.floors.insert(place, Floor { version, revoked, sequence });
                if self.rules.floor_removes_older {
                    self.records.remove_if(place, |record| revoked || record.version() < version);
                }
            }
            Mark::Scope(effect) => {
                self.scopes.insert(place, ScopeFloor { generation: version, effect: effect.clone(), sequence });
                if self.rules.scope_removes_lower {
                    self.records.remove_below(place, version);
                }
            }
        }
    }

    /// What left the feed is so old that every record from before it is too old as well.
    fn forget_trimmed(&mut self, trimmed: Sequence) {
        if trimmed > self.trimmed {
            self.trimmed = trimmed;
            self.floors.retain(|_, floor| floor.sequence > trimmed);
            self.scopes.retain(|_, scope| scope.sequence > trimmed);
        }
    }

    /// A question about a key, on the account of a caller.
    #[must_use]
    pub const fn look_up(&self, place: Place, caller: Place) -> LookUp<R> {
        LookUp {
            place,
            caller,
            life: self.life,
            best: None,
            store: Store::NotAsked,
            feed: FeedSays::NotAsked,
            feed_questions: 0,
            waited: false,
        }
    }

    /// What to do next for this question, by all that is known now.
    pub fn step(&mut self, look_up: &mut LookUp<R>, now: Timestamp) -> Step<R> {
        if look_up.life != self.life && self.rules.straddling_is_discarded {
            *look_up = self.look_up(look_up.place, look_up.caller);
        }
        let must_check = !look_up.waited || self.rules.recheck_after_wait;
        if must_check && self.rules.lease_is_needed && self.lease(now) == Lease::None {
            return Step::AwaitPoll;
        }
        if let Some(record) = self.cached(look_up.place, now) {
            return Step::Decide(record);
        }
        let must_be_above = must_check && self.rules.floor_is_needed;
        let floor = self.floors.get(&look_up.place).copied().filter(|_| must_be_above);
        if floor.is_some_and(|floor| floor.revoked) {
            return Step::Refuse(Reason::Revoked);
        }
        if look_up.best.is_none() && self.is_absent(look_up.place, now) {
            return Step::Refuse(Reason::NotFound);
        }
        let is_current = |record: &R| floor.is_none_or(|floor| record.version() >= floor.version);
        let best = look_up.best.as_ref();
        match best.filter(|record| is_current(record)) {
            Some(record) if self.is_believable(record, now) => Step::Decide(self.insert(look_up.place, record.clone())),
            _ => self.ask(look_up, floor, now),
        }
    }

    fn cached(&mut self, place: Place, now: Timestamp) -> Option<R> {
        let cached = self.records.used(place)?.clone();
        self.is_believable(&cached, now).then_some(cached)
    }

    fn is_absent(&self, place: Place, now: Timestamp) -> bool {
        self.absent.get(&place).is_some_and(|since| now.as_millis() - since.as_millis() <= self.limits.absence_age)
    }

    fn is_believable(&self, record: &R, now: Timestamp) -> bool {
        let age = now.as_millis() - record.sealed_at().as_millis();
        record.is_final() || age <= self.limits.record_age || !self.rules.record_age_is_checked
    }

    /// Keeps a record that is not below its floor, subjected to what became of its scopes since it was sealed.
    fn insert(&mut self, place: Place, mut record: R) -> R {
        let scopes = self.subject(&mut record);
        self.absent.remove(&place);
        self.records.insert(place, record.clone(), scopes, &self.limits);
        record
    }

    /// Subjects a record to what became of its scopes, and returns those. What became of one can make it depend on another:
    /// that of a membership, on the role that the user has now.
    fn subject(&self, record: &mut R) -> Vec<(Place, Version)> {
        let mut done = vec![];
        loop {
            let scopes = record.scopes();
            let is_below = |(place, generation): &(Place, Version)| {
                let floor = self.scopes.get(place).filter(|floor| *generation < floor.generation)?;
                (!done.contains(place)).then_some((*place, floor))
            };
            match scopes.iter().find_map(is_below).filter(|_| self.rules.scopes_apply) {
                Some((place, floor)) => {
                    record.subject_to(place, &floor.effect);
                    done.push(place);
                }
                None => return scopes,
            }
        }
    }

    /// Nothing that is known can be decided on.
    fn ask(&mut self, look_up: &mut LookUp<R>, floor: Option<Floor>, now: Timestamp) -> Step<R> {
        if look_up.store == Store::NotAsked {
            return Step::AskStore;
        }
        let is_known = floor.is_some() || look_up.best.is_some();
        match look_up.feed {
            FeedSays::NotAsked if is_known || look_up.feed_questions > 0 || self.may_ask(look_up.caller, now) => {
                look_up.feed_questions += 1;
                Step::AskFeed
            }
            FeedSays::NotAsked => Step::Unknown(Unknown::TooManyQuestions),
            FeedSays::Failed => Step::Unknown(Unknown::FeedFailed),
            // What the feed had when it was asked is older than what became known meanwhile.
            _ if floor.is_some() && look_up.feed_questions < FEED_QUESTIONS_MAX && !self.is_too_old(look_up, now) => {
                look_up.feed_questions += 1;
                look_up.feed = FeedSays::NotAsked;
                Step::AskFeed
            }
            _ if self.is_too_old(look_up, now) => Step::Unknown(Unknown::RecordTooOld),
            _ if floor.is_some() => Step::Unknown(Unknown::Behind),
            FeedSays::Nothing(_) if look_up.store == Store::Failed => Step::Unknown(Unknown::StoreFailed),
            FeedSays::Nothing(head) => {
                if head >= self.cursor || !self.rules.absence_is_current {
                    self.absent.insert(look_up.place, now);
                    bound(&mut self.absent, self.limits.absences);
                }
                Step::Refuse(Reason::NotFound)
            }
            FeedSays::Record => Step::Unknown(Unknown::Behind),
        }
    }

    fn is_too_old(&self, look_up: &LookUp<R>, now: Timestamp) -> bool {
        look_up.best.as_ref().is_some_and(|record| !self.is_believable(record, now))
    }

    /// Whether this caller has a question left. Each question costs it an interval; what it saves up is bounded.
    fn may_ask(&mut self, caller: Place, now: Timestamp) -> bool {
        let savings = self.limits.question_interval * self.limits.question_burst;
        // However the clock is turned, it is whole again when all that can be saved up has been saved up.
        let latest = now.plus_millis(savings);
        let whole_at = self.questions.remove(&caller).map_or(now, |whole_at| whole_at.clamp(now, latest));
        let after = whole_at.plus_millis(self.limits.question_interval);
        let may = after <= latest;
        self.questions.insert(caller, if may { after } else { whole_at });
        bound(&mut self.questions, self.limits.absences);
        may
    }

    /// Takes in what KV answered.
    pub fn store_answered(&self, look_up: &mut LookUp<R>, answer: Result<Option<R>, ()>) {
        look_up.waited = true;
        look_up.store = if answer.is_ok() { Store::Answered } else { Store::Failed };
        look_up.better(answer.ok().flatten());
    }

    /// Takes in what the feed answered. An answer from another life of the feed is none.
    pub fn feed_answered(&self, look_up: &mut LookUp<R>, answer: FeedAnswer<R>) {
        look_up.waited = true;
        let fits = |position: Position| self.epoch == Some(position.epoch);
        look_up.feed = match answer {
            FeedAnswer::Record(position, record) if fits(position) => {
                look_up.better(Some(record));
                FeedSays::Record
            }
            FeedAnswer::Nothing(position) if fits(position) => FeedSays::Nothing(position.sequence),
            _ => FeedSays::Failed,
        };
    }

    /// How many floors and scopes, records and absences it holds.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.floors.len() + self.scopes.len(), self.records.len(), self.absent.len())
    }

    /// How far it has come in the feed.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.epoch.map(|epoch| Position { epoch, sequence: self.cursor })
    }

    /// How often it forgot everything, or had reason to doubt what it knew.
    #[must_use]
    pub const fn resets(&self) -> u64 {
        self.life
    }
}

/// Removes what was used least recently.
fn bound<V>(map: &mut LinkedHashMap<Place, V, PlaceHash>, limit: usize) {
    while map.len() > limit {
        map.pop_front();
    }
}
