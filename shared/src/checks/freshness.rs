use super::{Outcome, equal};
use crate::{
    Timestamp,
    digest::Place,
    feed::{Effect, Epoch, Mark, Page, PageEntry, Position},
    freshness::{FeedAnswer, Isolate, Limits, Polled, Rules, Step, Stored, Unknown},
    reason::Reason,
    record::Version,
};

/// A record, as far as freshness goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    version: i64,
    sealed_at: i64,
    narrowed: bool,
}

const SCOPE: Place = Place([0xFF; 16]);
const CALLER: Place = Place([0xEE; 16]);
const OTHER_CALLER: Place = Place([0xDD; 16]);
const EPOCH: Epoch = Epoch(1);

impl Stored for Sample {
    fn version(&self) -> Version {
        Version(self.version)
    }

    fn sealed_at(&self) -> Timestamp {
        at(self.sealed_at)
    }

    /// Version 99 is a revocation.
    fn is_final(&self) -> bool {
        self.version == 99
    }

    /// Version 50 is a heavy record.
    fn weight(&self) -> usize {
        if self.version == 50 { 1_000 } else { 10 }
    }

    /// All depend on one scope, which was in generation 1 when they were sealed.
    fn scopes(&self) -> Vec<(Place, Version)> {
        vec![(SCOPE, Version(1))]
    }

    fn subject_to(&mut self, _: Place, _: &Effect) {
        self.narrowed = true;
    }
}

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

const fn place(key: u8) -> Place {
    Place([key; 16])
}

const fn sample(version: i64) -> Sample {
    Sample { version, sealed_at: 0, narrowed: false }
}

const fn limits() -> Limits {
    Limits {
        record_age: 5_000,
        records: 2,
        record_bytes: 200,
        absences: 2,
        absence_age: 1_000,
        floors: 2,
        question_interval: 100,
        question_burst: 3,
        ..Limits::with_lease(2_000)
    }
}

const fn entry(sequence: u64, place: Place, version: i64, mark: Mark) -> PageEntry {
    PageEntry { sequence, place, version: Version(version), mark }
}

/// An isolate, and how far it has come.
struct Driven {
    isolate: Isolate<Sample>,
    head: u64,
}

impl Driven {
    /// One that has a lease from moment 0 on.
    fn new() -> Self {
        let mut driven = Self { isolate: Isolate::new(limits(), Rules::ALL), head: 0 };
        driven.poll(0, 0, vec![]);
        driven
    }

    /// A poll that is answered at once with these changes.
    fn poll(&mut self, now: i64, trimmed: u64, entries: Vec<PageEntry>) -> Option<Polled> {
        let poll = self.isolate.begin_poll(at(now))?;
        let after = poll.position.map_or(0, |position| position.sequence);
        self.head = entries.last().map_or(self.head, |last| last.sequence);
        let page = Page { epoch: EPOCH, after, up_to: self.head, trimmed, complete: true, age_millis: 0, entries };
        Some(self.isolate.finish_poll(&poll, &page, at(now)))
    }

    /// A look-up that KV and the feed answer at once.
    fn ask(&mut self, now: i64, key: u8, caller: Place, kv: Option<Sample>, feed: Option<Sample>) -> Step<Sample> {
        let mut look_up = self.isolate.look_up(place(key), caller);
        loop {
            let position = Position { epoch: EPOCH, sequence: self.head };
            match self.isolate.step(&mut look_up, at(now)) {
                Step::AskStore => self.isolate.store_answered(&mut look_up, Ok(kv)),
                Step::AskFeed => {
                    let answer =
                        feed.map_or(FeedAnswer::Nothing(position), |record| FeedAnswer::Record(position, record));
                    self.isolate.feed_answered(&mut look_up, answer);
                }
                step => return step,
            }
        }
    }

    /// The first thing that a look-up asks for.
    fn first_step(&mut self, now: i64, key: u8) -> Step<Sample> {
        let mut look_up = self.isolate.look_up(place(key), CALLER);
        self.isolate.step(&mut look_up, at(now))
    }
}

const NOT_FOUND: Step<Sample> = Step::Refuse(Reason::NotFound);

pub fn records_are_bounded() -> Outcome {
    let mut driven = Driven::new();
    for key in 1..=3 {
        equal("the decision", driven.ask(0, key, CALLER, Some(sample(1)), None), Step::Decide(sample(1)))?;
    }
    equal("how many", driven.isolate.sizes().1, 2)?;
    equal("what was used least recently", driven.first_step(0, 1), Step::AskStore)?;
    equal("what was used last", driven.first_step(0, 3), Step::Decide(sample(1)))
}

pub fn heavy_records_leave_room() -> Outcome {
    let mut driven = Driven::new();
    driven.ask(0, 1, CALLER, Some(sample(1)), None);
    equal("a heavy one", driven.ask(0, 2, CALLER, Some(sample(50)), None), Step::Decide(sample(50)))?;
    equal("is decided on and not kept", driven.isolate.sizes().1, 0)?;
    driven.ask(0, 3, CALLER, Some(sample(1)), None);
    equal("a light one is", driven.isolate.sizes().1, 1)
}

pub fn absences_are_bounded() -> Outcome {
    let mut driven = Driven::new();
    for key in 1..=3 {
        equal("the decision", driven.ask(0, key, CALLER, None, None), NOT_FOUND)?;
    }
    equal("how many", driven.isolate.sizes().2, 2)?;
    equal("what was asked for first", driven.first_step(0, 1), Step::AskStore)?;
    equal("what was asked for last", driven.first_step(0, 3), NOT_FOUND)
}

pub fn absences_are_believed_for_a_while() -> Outcome {
    let mut driven = Driven::new();
    driven.ask(0, 1, CALLER, None, None);
    for now in (0..=1_000).step_by(100) {
        driven.poll(now, 0, vec![]);
    }
    equal("at its end", driven.first_step(1_000, 1), NOT_FOUND)?;
    equal("after it", driven.first_step(1_001, 1), Step::AskStore)
}

pub fn questions_are_budgeted_by_caller() -> Outcome {
    let mut driven = Driven::new();
    for key in 1..=3 {
        equal("within the budget", driven.ask(0, key, CALLER, None, None), NOT_FOUND)?;
    }
    let too_many = Step::Unknown(Unknown::TooManyQuestions);
    equal("beyond it", driven.ask(0, 4, CALLER, None, None), too_many.clone())?;
    equal("a key that KV knows", driven.ask(0, 5, CALLER, Some(sample(1)), None), Step::Decide(sample(1)))?;
    equal("of another caller", driven.ask(0, 4, OTHER_CALLER, None, None), NOT_FOUND)?;
    equal("too soon", driven.ask(99, 6, CALLER, None, None), too_many)?;
    equal("later", driven.ask(100, 6, CALLER, None, None), NOT_FOUND)
}

pub fn callers_are_bounded() -> Outcome {
    let mut driven = Driven::new();
    for key in 1..=3 {
        equal("within the budget", driven.ask(0, key, CALLER, None, None), NOT_FOUND)?;
    }
    driven.ask(0, 4, OTHER_CALLER, None, None);
    let too_many = Step::Unknown(Unknown::TooManyQuestions);
    equal("with one other", driven.ask(0, 5, CALLER, None, None), too_many)?;
    driven.ask(0, 6, OTHER_CALLER, None, None);
    driven.ask(0, 7, place(7), None, None);
    equal("forgotten for the sake of two others", driven.ask(0, 5, CALLER, None, None), NOT_FOUND)
}

pub fn too_many_floors_are_refused() -> Outcome {
    let mut driven = Driven::new();
    let entries = (1..=3).map(|key| entry(u64::from(key), place(key), 2, Mark::Changed)).collect::<Vec<_>>();
    equal("the poll", driven.poll(1_000, 0, entries), Some(Polled::Overflow))?;
    equal("what is kept", driven.isolate.sizes(), (0, 0, 0))?;
    equal("what can be decided", driven.first_step(1_000, 1), Step::AwaitPoll)?;
    equal("another poll", driven.poll(60_999, 0, vec![]), None)?;
    equal("another poll after the pause", driven.poll(61_000, 3, vec![]), Some(Polled::Current))
}

pub fn a_creation_clears_an_absence() -> Outcome {
    cleared_by(Mark::Created)
}

pub fn a_change_clears_an_absence() -> Outcome {
    cleared_by(Mark::Changed)
}

fn cleared_by(mark: Mark) -> Outcome {
    let mut driven = Driven::new();
    equal("before", driven.ask(0, 1, CALLER, None, None), NOT_FOUND)?;
    driven.poll(1_000, 0, vec![entry(1, place(1), 1, mark)]);
    equal("after", driven.ask(1_000, 1, CALLER, None, Some(sample(1))), Step::Decide(sample(1)))
}

pub fn trimmed_floors_are_forgotten() -> Outcome {
    let mut driven = Driven::new();
    driven.poll(500, 0, vec![entry(1, place(1), 2, Mark::Changed), entry(2, place(2), 2, Mark::Changed)]);
    equal("both", driven.isolate.sizes().0, 2)?;
    driven.poll(1_000, 1, vec![]);
    equal("the one that is left", driven.isolate.sizes().0, 1)?;
    let behind = Step::Unknown(Unknown::Behind);
    equal("below the one that is left", driven.ask(1_000, 2, CALLER, Some(sample(1)), None), behind)?;
    equal("below the other", driven.ask(1_000, 1, CALLER, Some(sample(1)), None), Step::Decide(sample(1)))
}

pub fn what_is_too_old_is_not_decided_on() -> Outcome {
    let mut driven = Driven::new();
    driven.poll(5_000, 0, vec![]);
    equal("just not", driven.ask(5_000, 1, CALLER, Some(sample(1)), None), Step::Decide(sample(1)))?;
    let too_old = Step::Unknown(Unknown::RecordTooOld);
    equal("cached", driven.ask(5_001, 1, CALLER, Some(sample(1)), None), too_old.clone())?;
    equal("in KV", driven.ask(5_001, 2, CALLER, Some(sample(1)), None), too_old)?;
    let sealed_again = Sample { sealed_at: 1, ..sample(1) };
    let step = driven.ask(5_001, 1, CALLER, Some(sample(1)), Some(sealed_again));
    equal("sealed again", step, Step::Decide(sealed_again))
}

pub fn a_scope_narrows_records() -> Outcome {
    let mut driven = Driven::new();
    equal("before", driven.ask(0, 1, CALLER, Some(sample(1)), None), Step::Decide(sample(1)))?;
    driven.poll(1_000, 0, vec![entry(1, SCOPE, 2, Mark::Scope(Effect::Disable))]);
    equal("what was cached", driven.isolate.sizes().1, 0)?;
    let narrowed = Sample { narrowed: true, ..sample(1) };
    equal("after", driven.ask(1_000, 1, CALLER, Some(sample(1)), None), Step::Decide(narrowed))?;
    equal("from the cache", driven.first_step(1_000, 1), Step::Decide(narrowed))
}

pub fn a_revoked_key_is_refused_at_once() -> Outcome {
    let mut driven = Driven::new();
    equal("before", driven.ask(0, 1, CALLER, Some(sample(1)), None), Step::Decide(sample(1)))?;
    driven.poll(1_000, 0, vec![entry(1, place(1), 2, Mark::Revoked)]);
    equal("after", driven.first_step(1_000, 1), Step::Refuse(Reason::Revoked))?;
    equal("without a lease", driven.first_step(2_901, 1), Step::AwaitPoll)
}

pub fn a_revocation_counts_however_old_it_is() -> Outcome {
    let mut driven = Driven::new();
    driven.poll(100_000, 0, vec![]);
    equal("sealed long ago", driven.ask(100_000, 1, CALLER, Some(sample(99)), None), Step::Decide(sample(99)))
}

pub fn who_doubts_polls_first() -> Outcome {
    let mut driven = Driven::new();
    driven.ask(0, 1, CALLER, Some(sample(1)), None);
    let under_way = driven.isolate.begin_poll(at(10)).ok_or("no poll began")?;
    driven.isolate.doubt();
    let page = Page { epoch: EPOCH, after: 0, up_to: 0, trimmed: 0, complete: true, age_millis: 0, entries: vec![] };
    equal("what was asked before", driven.isolate.finish_poll(&under_way, &page, at(20)), Polled::Ignored)?;
    equal("before a poll", driven.first_step(20, 1), Step::AwaitPoll)?;
    driven.poll(20, 0, vec![]);
    equal("after it, what was known", driven.first_step(20, 1), Step::Decide(sample(1)))
}
