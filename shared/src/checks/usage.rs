use proptest::prelude::*;

use super::{Outcome as Checked, ensure, equal, property};
use crate::{
    Timestamp,
    digest::{Digest, Place},
    id::EnvironmentId,
    reason::Reason,
    record::Record,
    usage::{
        Batch, Count, ENVIRONMENTS_MAX, KEYS_MAX, Outcome, Reporter, TELL_AFTER_KEYS, TELL_AFTER_MILLIS, Tally, Told,
    },
};

const HOUR: i64 = 3_600_000;

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn environment() -> EnvironmentId {
    Record::example().environment
}

fn place(key: usize) -> Place {
    Place::of(&key.to_string())
}

fn count_key(tally: &mut Tally, key: usize, outcome: Outcome, now: i64) {
    tally.count_key(place(key), outcome, at(now), || (environment(), Digest::of(&key.to_string())));
}

/// What the control plane is sent. Whoever changes it thinks of Workers and servers of different versions.
pub fn golden_batches() -> Checked {
    let mut tally = Tally::default();
    count_key(&mut tally, 1, Outcome::Valid, 500_000 * HOUR + 1);
    count_key(&mut tally, 1, Outcome::Valid, 500_000 * HOUR + 7);
    count_key(&mut tally, 1, Outcome::Refused(Reason::Expired), 500_001 * HOUR);
    tally.count_unknown(&environment(), Reason::NotFound, at(500_001 * HOUR - 1));
    let batch = tally.close("c2VuZGVyLW9mLTIyLWNoYX", 3);
    let json = serde_json::to_string(&batch).map_err(|error| error.to_string())?;
    let expected = concat!(
        r#"{"sender":"c2VuZGVyLW9mLTIyLWNoYX","number":3,"keys":[{"environment":"environment_01KF0JZ4G0000000000000000A","#,
        r#""digest":"a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s","last_used_at":1800000000007,"#,
        r#""counts":[{"hour":500000,"outcome":"valid","count":2},{"hour":500001,"outcome":"expired","count":1}]}],"#,
        r#""environments":[{"environment":"environment_01KF0JZ4G0000000000000000A","#,
        r#""counts":[{"hour":500000,"outcome":"not_found","count":1}]}],"lost":0}"#,
    );
    equal("as JSON", json.as_str(), expected)?;
    equal("read again", serde_json::from_str::<Batch>(&json).map_err(|error| error.to_string())?, batch)?;
    ensure("empty again", tally.is_empty())
}

pub fn outcomes_have_codes() -> Checked {
    equal("how many", Outcome::every().count(), 1 + Reason::EVERY.len())?;
    for outcome in Outcome::every() {
        equal("the way back", Outcome::from_code(outcome.code()), Some(outcome))?;
    }
    equal("any other", Outcome::from_code("accepted"), None)
}

pub fn a_tally_is_bounded() -> Checked {
    let mut tally = Tally::default();
    for key in 0..KEYS_MAX + 5 {
        count_key(&mut tally, key, Outcome::Valid, 0);
    }
    count_key(&mut tally, 0, Outcome::Valid, 0);
    for number in 0..ENVIRONMENTS_MAX + 3 {
        let id =
            EnvironmentId::generate(at(i64::try_from(number).unwrap_or_default()), &mut crate::entropy::Repeating(1));
        tally.count_unknown(&id, Reason::Malformed, at(0));
    }
    let batch = tally.close("", 1);
    equal("keys", batch.keys.len(), KEYS_MAX)?;
    equal("environments", batch.environments.len(), ENVIRONMENTS_MAX)?;
    equal("what there was no room for", batch.lost, 8)?;
    equal("one more of the first", batch.validations(), (KEYS_MAX + ENVIRONMENTS_MAX + 1) as u64)
}

pub fn only_what_was_accepted_was_used() -> Checked {
    let mut tally = Tally::default();
    count_key(&mut tally, 1, Outcome::Refused(Reason::Revoked), 9);
    count_key(&mut tally, 2, Outcome::Valid, 5);
    // A clock that went back does not make it unused.
    count_key(&mut tally, 2, Outcome::Valid, 3);
    let mut keys = tally.close("", 1).keys;
    keys.sort_by_key(|key| key.last_used_at);
    equal("last used", keys.iter().map(|key| key.last_used_at).collect::<Vec<_>>(), vec![None, Some(at(5))])?;
    equal("counted", &keys[1].counts, &vec![Count { hour: 0, outcome: Outcome::Valid, count: 2 }])
}

pub fn one_waits_at_a_time() -> Checked {
    let mut reporter = Reporter::new(String::new());
    equal("nothing to tell", reporter.begin(at(0)), None)?;
    count_key(reporter.tally(), 1, Outcome::Valid, 0);
    equal("the first waits", reporter.begin(at(0)), Some(TELL_AFTER_MILLIS))?;
    equal("the second need not", reporter.begin(at(100)), None)?;
    equal("the first is late", reporter.begin(at(TELL_AFTER_MILLIS + 1_000)), None)?;
    equal("the first is gone", reporter.begin(at(TELL_AFTER_MILLIS + 3_000)), Some(TELL_AFTER_MILLIS))?;
    equal("the clock goes back by an hour", reporter.begin(at(-HOUR)), Some(TELL_AFTER_MILLIS))?;
    reporter.wake();
    let first = reporter.batch();
    count_key(reporter.tally(), 2, Outcome::Valid, 0);
    equal("counted while one tells", reporter.begin(at(0)), Some(TELL_AFTER_MILLIS))?;
    equal("the first is not settled", reporter.batch(), first)
}

pub fn many_keys_are_told_sooner() -> Checked {
    let mut reporter = Reporter::new(String::new());
    for key in 0..TELL_AFTER_KEYS - 1 {
        count_key(reporter.tally(), key, Outcome::Valid, 0);
    }
    equal("not so many", reporter.begin(at(0)), Some(TELL_AFTER_MILLIS))?;
    count_key(reporter.tally(), TELL_AFTER_KEYS, Outcome::Valid, 0);
    equal("at once", reporter.begin(at(0)), Some(0))?;
    equal("and by one alone", reporter.begin(at(0)), None)
}

pub fn what_was_refused_is_lost() -> Checked {
    let mut reporter = Reporter::new(String::new());
    count_key(reporter.tally(), 1, Outcome::Valid, 0);
    count_key(reporter.tally(), 1, Outcome::Valid, 0);
    let first = reporter.batch().map(|batch| batch.number);
    equal("the first", first, Some(1))?;
    reporter.settle(1, Told::Refused);
    let next = reporter.batch().map(|batch| (batch.number, batch.lost, batch.validations()));
    equal("the next says so", next, Some((2, 2, 0)))?;
    reporter.settle(1, Told::Taken);
    equal("an old answer settles nothing", reporter.batch().map(|batch| batch.number), Some(2))?;
    reporter.settle(2, Told::Taken);
    equal("all is told", reporter.batch(), None)
}

/// What happens to a reporter.
#[derive(Debug, Clone)]
enum Event {
    Count(u8),
    Send {
        arrives: bool,
        answered: bool,
    },
    /// What was sent long ago arrives once more.
    Repeat(prop::sample::Index),
}

/// Takes batches as the control plane does: each number of a sender once, in order.
#[derive(Default)]
struct Taker {
    highest: u64,
    taken: u64,
}

impl Taker {
    fn take(&mut self, batch: &Batch) {
        if batch.number > self.highest {
            self.highest = batch.number;
            self.taken += batch.validations();
        }
    }
}

pub fn whatever_happens_it_counts_once() -> Checked {
    let event = prop_oneof![
        any::<u8>().prop_map(Event::Count),
        any::<(bool, bool)>().prop_map(|(arrives, answered)| Event::Send { arrives, answered }),
        any::<prop::sample::Index>().prop_map(Event::Repeat),
    ];
    property(prop::collection::vec(event, 0..60), |events| {
        let (mut reporter, mut taker, mut sent, mut counted) =
            (Reporter::new(String::new()), Taker::default(), vec![], 0);
        let all_at_last = std::iter::repeat_n(Event::Send { arrives: true, answered: true }, 2);
        for event in events.into_iter().chain(all_at_last) {
            match event {
                Event::Count(key) => {
                    count_key(reporter.tally(), usize::from(key), Outcome::Valid, i64::from(key));
                    counted += 1;
                }
                Event::Send { arrives, answered } => {
                    let Some(batch) = reporter.batch() else { continue };
                    if arrives {
                        taker.take(&batch);
                    }
                    reporter.settle(batch.number, if arrives && answered { Told::Taken } else { Told::Unknown });
                    sent.push(batch);
                }
                Event::Repeat(_) if sent.is_empty() => {}
                Event::Repeat(index) => taker.take(&sent[index.index(sent.len())]),
            }
        }
        equal("what was taken", taker.taken, counted)
    })
}
