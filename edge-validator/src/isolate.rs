//! The state of this isolate, and the I/O for it: [`shared::freshness`] decides on the next step, and this module
//! executes it.
//!
//! Requests of one isolate share its state, but no I/O: if a request waits for the promise of another one that ends,
//! the runtime ends it too. So one request at a time polls the feed, in its own background, and each request that needs
//! the outcome waits for a promise of its own, with a timer of its own. Nothing is borrowed across an `await`.

use std::{cell::RefCell, rc::Rc, time::Duration};

use shared::{
    Timestamp,
    digest::{KvKey, Place},
    error::ApiError,
    feed,
    freshness::{FeedAnswer, Isolate, Lease, LookUp, Poll, Polled, Rules, Step, Unknown},
    reason::Reason,
};
use worker::{
    Context, console_error,
    js_sys::{Function, Promise, futures::JsFuture},
    wasm_bindgen::JsValue,
};

use crate::{
    clock, config::Edge, counters::count, failure::Failure, feed as change_feed, known::Known, store, wait::within,
};

/// How long a request waits for a lease, all in all.
const LEASE_PATIENCE_MILLIS: i64 = 3_000;
/// How much longer than a poll may take its outcome is waited for.
const POLL_MARGIN_MILLIS: i64 = 100;
/// How long one record of the feed may take.
const RECORD_PATIENCE: Duration = Duration::from_secs(1);
/// The most pages that are read in one go: as many as a full feed has, and some.
const PAGES_MAX: usize = 100;
/// The most steps of one look-up. It takes three, and some more when much changes meanwhile.
const STEPS_MAX: usize = 20;

thread_local! {
    static ISOLATE: RefCell<Option<Isolate<Rc<Known>>>> = const { RefCell::new(None) };
    /// Those who wait for the poll that is under way.
    static WAITING: RefCell<Vec<Function>> = const { RefCell::new(Vec::new()) };
}

/// What is known of a key.
pub enum Found {
    /// Its record.
    Record(Rc<Known>),
    /// It is to be refused, whatever its record says, or there is none.
    Refused(Reason),
}

/// What this isolate knows, and the request in whose name it finds out more.
pub struct Knowledge<'a> {
    /// The bindings.
    pub edge: &'a Edge,
    /// Keeps a poll going when the request has been answered.
    pub context: &'a Context,
}

impl Knowledge<'_> {
    /// All that is known of a key, on the account of a caller. It holds at this moment: decide before the next `await`.
    pub async fn find(&self, key: &KvKey, caller: Place) -> Result<Found, Failure> {
        let mut look_up = with(self.edge, |isolate| isolate.look_up(key.place(), caller));
        for _ in 0..STEPS_MAX {
            match with(self.edge, |isolate| isolate.step(&mut look_up, clock::now())) {
                Step::Decide(record) => return Ok(Found::Record(record)),
                Step::Refuse(reason) => return Ok(Found::Refused(reason)),
                Step::AwaitPoll => self.await_lease().await?,
                Step::AskStore => {
                    let answer = store::read(self.edge, key).await;
                    let answer = answer.map(|found| found.map(Known::new)).map_err(drop);
                    with(self.edge, |isolate| isolate.store_answered(&mut look_up, answer));
                }
                Step::AskFeed => self.ask_feed(key, &mut look_up).await,
                Step::Unknown(why) => return Err(unknown(why)),
            }
        }
        Err(unknown(Unknown::Behind))
    }

    /// What is known of a key without asking anybody: nothing, if that takes an `await`.
    pub fn recall(&self, key: Place, caller: Place, now: Timestamp) -> Option<Found> {
        with(self.edge, |isolate| {
            let mut look_up = isolate.look_up(key, caller);
            match isolate.step(&mut look_up, now) {
                Step::Decide(record) => Some(Found::Record(record)),
                Step::Refuse(reason) => Some(Found::Refused(reason)),
                _ => None,
            }
        })
    }

    /// Renews the lease in the background when half of it is over, and returns how old what is known is.
    pub fn age(&self, now: Timestamp) -> Option<i64> {
        match with(self.edge, |isolate| isolate.lease(now)) {
            Lease::Held { age, poll_is_due } => {
                if poll_is_due {
                    self.poll_in_background();
                }
                Some(age)
            }
            Lease::None => None,
        }
    }

    async fn ask_feed(&self, key: &KvKey, look_up: &mut LookUp<Rc<Known>>) {
        count(|counters| counters.feed_reads += 1);
        let answer = match change_feed::record(self.edge, key.place(), RECORD_PATIENCE).await {
            None => FeedAnswer::Failed,
            Some(feed::wire::OneRecord { position, sealed }) => {
                let record = sealed.and_then(|sealed| store::open(self.edge, key, &sealed));
                record.map_or(FeedAnswer::Nothing(position), |record| FeedAnswer::Record(position, Known::new(record)))
            }
        };
        with(self.edge, |isolate| isolate.feed_answered(look_up, answer));
    }

    /// Waits until this isolate may decide.
    async fn await_lease(&self) -> Result<(), Failure> {
        let deadline = clock::now().plus_millis(LEASE_PATIENCE_MILLIS);
        loop {
            self.poll_in_background();
            // Longer than this no poll takes; if nothing was heard of it then, whoever sent it is gone, and we poll ourselves.
            let longest = self.edge.limits.poll + POLL_MARGIN_MILLIS;
            let left = longest.min(deadline.as_millis() - clock::now().as_millis());
            let outcome = match u64::try_from(left) {
                Ok(left @ 1..) => poll_outcome(Duration::from_millis(left)).await,
                _ => return Err(no_lease()),
            };
            match (with(self.edge, |isolate| isolate.lease(clock::now())), outcome) {
                (Lease::Held { .. }, _) => return Ok(()),
                (Lease::None, Outcome::Failed) => return Err(no_lease()),
                (Lease::None, Outcome::Over | Outcome::Late) => {}
            }
        }
    }

    /// Begins a poll, unless one is under way.
    fn poll_in_background(&self) {
        if let Some(poll) = with(self.edge, |isolate| isolate.begin_poll(clock::now())) {
            let edge = self.edge.clone();
            self.context.wait_until(async move { poll_to_the_end(&edge, poll).await });
        }
    }
}

/// Reads page after page, until there are no more, and tells those who wait.
async fn poll_to_the_end(edge: &Edge, first: Poll) {
    let mut poll = first;
    for _ in 0..PAGES_MAX {
        count(|counters| counters.polls += 1);
        let patience = Duration::from_millis(u64::try_from(edge.limits.poll).unwrap_or_default());
        let page = change_feed::poll(edge, poll.position, patience).await;
        let Some(page) = page else {
            with(edge, |isolate| isolate.abandon_poll(&poll));
            return wake(false);
        };
        let (polled, next) = with(edge, |isolate| {
            let polled = isolate.finish_poll(&poll, &page, clock::now());
            let next = if polled == Polled::More { isolate.begin_poll(clock::now()) } else { None };
            (polled, next)
        });
        match (polled, next) {
            (Polled::More, Some(next)) => poll = next,
            (Polled::Overflow, _) => {
                console_error!(
                    "The change feed has more entries than this isolate can hold, so it makes no decisions for a \
                     minute."
                );
                return wake(false);
            }
            _ => return wake(true),
        }
    }
    wake(false);
}

/// Lets everyone who waits look for themselves.
fn wake(well: bool) {
    for resolve in WAITING.take() {
        // It only resolves a promise, which cannot fail.
        let _ = resolve.call1(&JsValue::UNDEFINED, &JsValue::from_bool(well));
    }
}

/// How waiting for a poll ended.
enum Outcome {
    Over,
    Failed,
    Late,
}

/// Waits for the poll that is under way: for a promise of our own, with a timer of our own.
async fn poll_outcome(patience: Duration) -> Outcome {
    let promise = Promise::new(&mut |resolve, _| WAITING.with_borrow_mut(|waiting| waiting.push(resolve)));
    match within(patience, JsFuture::from(promise)).await {
        Some(Ok(well)) if well.is_truthy() => Outcome::Over,
        Some(_) => Outcome::Failed,
        None => Outcome::Late,
    }
}

/// The one state of this isolate. It is never borrowed across an `await`, because no future can be made in here.
fn with<T>(edge: &Edge, work: impl FnOnce(&mut Isolate<Rc<Known>>) -> T) -> T {
    ISOLATE.with_borrow_mut(|isolate| work(isolate.get_or_insert_with(|| Isolate::new(edge.limits, Rules::ALL))))
}

/// Something was changed through this isolate: whatever it decides from now on, it has polled after that. So whoever
/// revokes a key through the Worker and asks the same isolate is told so at once, and need not wait for the lease to end.
pub fn heard_of_a_change(edge: &Edge) {
    with(edge, Isolate::doubt);
}

/// How many floors, records and absences there are, how often all was forgotten, and how old what is known is.
pub fn sizes(edge: &Edge) -> (usize, usize, usize, u64, Option<i64>) {
    with(edge, |isolate| {
        let (floors, records, absences) = isolate.sizes();
        let age = match isolate.lease(clock::now()) {
            Lease::Held { age, .. } => Some(age),
            Lease::None => None,
        };
        (floors, records, absences, isolate.resets(), age)
    })
}

fn no_lease() -> Failure {
    let message = "The edge does not know at the moment which keys are revoked, so it neither accepts nor refuses this \
                   one. Try again in a second.";
    Failure::passing(ApiError::new(503, "freshness_unknown", message))
}

fn unknown(why: Unknown) -> Failure {
    let (code, message) = match why {
        Unknown::StoreFailed | Unknown::FeedFailed => (
            "edge_store_unavailable",
            "The edge could not look up this key, so it neither accepts nor refuses it. Try again in a second.",
        ),
        Unknown::RecordTooOld => (
            "record_too_old",
            "The record of this key at the edge is too old. The control plane reseals records: check that it is \
             running.",
        ),
        Unknown::Behind => {
            ("record_behind", "This key was changed, and the edge does not have the change yet. Try again in a second.")
        }
        Unknown::TooManyQuestions => {
            ("too_many_unknown_keys", "Too many requests with keys that do not exist. Try again in a second.")
        }
    };
    Failure::passing(ApiError::new(503, code, message))
}
