//! Long runs of many isolates and thousands of keys, in virtual time, with faults at random.
//!
//! A run depends on its seed alone. One that fails is named, and `LATCHKEY_TEST_SEED=<seed>` runs it again. What surrounds
//! the product's own [`Feed`] and [`Isolate`] is simulated: a database with two publishers, KV, the network, the clocks.
//!
//! A run is calm at first, then faults happen, then it is calm again. At every decision it is checked that nothing is
//! accepted longer than L after it was acknowledged that it must not be. Where it is calm, no good key is refused; and
//! after the faults everything finds its way back: nothing is left to publish, and no isolate begins anew any more.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{MemoryFeed, Record};
use shared::{
    Timestamp,
    digest::Place,
    feed::{self, Change, Effect, Epoch, Feed, Held, Kept, Mark, Page, Position, Refusal, State, Status},
    freshness::{self, FeedAnswer, Isolate, Lease, Limits, LookUp, Poll, Polled, Step},
    record::Version,
};

const ISOLATES: usize = 20;
const KEYS: usize = 2_000;
const ORGANIZATIONS: usize = 50;
const PUBLISHERS: usize = 2;
const LEASE: i64 = 2_000;
/// A small R, so that records age and the feed is trimmed within a run.
const RECORD_AGE: i64 = 60_000;
const KEPT: Kept = Kept { change: RECORD_AGE + 10_000, creation: 20_000 };
/// Every key is sealed again in this time.
const RESEALED_EVERY: i64 = RECORD_AGE / 2;
/// How old KV's answers may be while nothing is wrong, and how long it denies a new key.
const KV_STALE: i64 = 20_000;
const KV_ABSENT: i64 = 5_000;
/// How long a request waits.
const PATIENCE: i64 = 3_000;
/// From when to when faults happen, when their effects are over, and when a run ends.
const FAULTS: std::ops::Range<i64> = 30_000..90_000;
const RECOVERED: i64 = FAULTS.end + 25_000;
const END: i64 = RECOVERED + 35_000;
/// How long a change takes at most to be known everywhere while nothing is wrong.
const SETTLED: i64 = 5_000;

const SEEDS: std::ops::Range<u64> = 1..21;
const DEEP_SEEDS: std::ops::Range<u64> = 1..1_001;
/// What deep runs have found: that a tombstone left the feed before a change that it stood in for.
const FOUND: [u64; 2] = [329, 532];

/// Splitmix64: every seed gives another sequence, the same one everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from + 1) as u64) as i64
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

const fn numbered(kind: u8, number: usize) -> Place {
    let [a, b, ..] = number.to_le_bytes();
    // The number comes first: these bytes are the hash.
    Place([a, b, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

const fn key_place(key: usize) -> Place {
    numbered(1, key)
}

const fn organization_place(organization: usize) -> Place {
    numbered(2, organization)
}

/// A key or an organization in the database.
#[derive(Debug, Clone)]
struct Row {
    exists: bool,
    version: Version,
    good: bool,
    revoked: bool,
    created_at: i64,
    changed_at: Option<i64>,
    published: Version,
}

impl Row {
    const NONE: Self = Self {
        exists: false,
        version: Version(0),
        good: true,
        revoked: false,
        created_at: 0,
        changed_at: None,
        published: Version(0),
    };
}

#[derive(Debug, Clone)]
struct Database {
    keys: Vec<Row>,
    organizations: Vec<Row>,
    known: Option<Position>,
}

/// What a client was told.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    version: Version,
    revoked: bool,
    at: i64,
}

/// What a client waits for.
#[derive(Debug, Clone, Copy)]
struct Call {
    place: Place,
    version: Version,
    revokes: bool,
}

struct Edge {
    isolate: Isolate<Record>,
    /// Which isolate of this place it is: what was under way to an earlier one is lost.
    number: u64,
    /// By how much its clock is ahead.
    ahead: i64,
    waiting: HashMap<u64, Asked>,
}

struct Asked {
    look_up: LookUp<Record>,
    key: usize,
    began: i64,
    awaits_poll: bool,
}

/// To whom an answer goes.
#[derive(Clone, Copy)]
struct To {
    edge: usize,
    number: u64,
    id: u64,
}

enum Event {
    Request,
    Expire(To),
    PollReaches(To, Poll),
    PollAnswered(To, Poll, Option<Page>),
    StoreAnswers(To, Result<Option<Record>, ()>),
    FeedAsked(To),
    FeedAnswers(To, FeedAnswer<Record>),
    Client,
    Publish(usize),
    AppendReaches(usize, Vec<Change<Option<Record>>>, Option<Epoch>),
    AppendAnswered(usize, Status, Vec<(Place, Held, Option<Record>)>, Option<Epoch>),
    OpenReaches(Epoch),
    StoreWritten(usize, Record),
    Reseal(usize),
    Trim,
    Fault,
    Backup,
}

struct World {
    seed: u64,
    random: Random,
    now: i64,
    events: BTreeMap<(i64, u64), Event>,
    scheduled: u64,
    database: Database,
    backup: Option<Database>,
    /// For each key, whether a backup lacked a state of it, or of its organization, that the feed did not have any more
    /// either. KV and isolates may still know that state, and it is right that they go on refusing what it refused.
    forgotten: Vec<bool>,
    calls: Vec<Call>,
    acknowledged: HashMap<Place, Vec<Acknowledged>>,
    feed: MemoryFeed,
    fresh: u32,
    feed_unreachable_until: i64,
    crashed_until: [i64; PUBLISHERS],
    kv: Vec<Vec<(i64, Record)>>,
    edges: Vec<Edge>,
    ids: u64,
    resets_when_recovered: Option<u64>,
    counts: Counts,
    failure: Option<String>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: u64,
    refused: u64,
    unknown: u64,
    expired: u64,
    polls: u64,
    faults: u64,
    acknowledged: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let created = Row { exists: true, version: Version(1), published: Version(1), ..Row::NONE };
        let keys = (0..KEYS).map(|key| if key < KEYS / 2 { created.clone() } else { Row::NONE }).collect();
        let organizations = vec![created; ORGANIZATIONS];
        let edge = |number| Edge {
            isolate: Isolate::new(limits(), freshness::Rules::ALL),
            number,
            ahead: number as i64 * 10 - 100,
            waiting: HashMap::new(),
        };
        let mut world = Self {
            seed,
            random: Random(seed),
            now: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            database: Database { keys, organizations, known: None },
            backup: None,
            forgotten: vec![false; KEYS],
            calls: vec![],
            acknowledged: HashMap::new(),
            feed: MemoryFeed::empty(),
            fresh: 1,
            feed_unreachable_until: 0,
            crashed_until: [0; PUBLISHERS],
            kv: vec![vec![]; KEYS],
            edges: (0..ISOLATES as u64).map(edge).collect(),
            ids: 100,
            resets_when_recovered: None,
            counts: Counts::default(),
            failure: None,
        };
        for key in 0..KEYS / 2 {
            let record = world.seal(key);
            // As if it had been there long ago.
            world.kv[key].push((-KV_STALE, record));
        }
        for (at, event) in
            [(5, Event::Client), (1_000, Event::Trim), (FAULTS.start, Event::Fault), (1_000, Event::Backup)]
        {
            world.at(at, event);
        }
        (0..PUBLISHERS).for_each(|publisher| world.at(1 + publisher as i64 * 37, Event::Publish(publisher)));
        (0..KEYS).for_each(|key| world.at(key as i64 * RESEALED_EVERY / KEYS as i64, Event::Reseal(key)));
        // The feed has to be opened, as a new one has.
        world.at(1_000, Event::Request);
        world
    }

    fn run(mut self) -> Result<Counts, String> {
        while let Some(((now, _), event)) = self.events.pop_first() {
            if now >= END || self.failure.is_some() {
                break;
            }
            self.now = now;
            if now >= RECOVERED && self.resets_when_recovered.is_none() {
                self.resets_when_recovered = Some(self.resets());
            }
            self.happens(event);
        }
        self.must_be_settled();
        self.failure.take().map_or(Ok(self.counts), Err)
    }

    fn must_be_settled(&mut self) {
        let state = self.feed.status.map(|status| status.state);
        let is_late =
            |row: &Row| row.published < row.version && row.changed_at.is_some_and(|at| at + SETTLED < self.now);
        let late = self.database.keys.iter().chain(&self.database.organizations).filter(|row| is_late(row)).count();
        let resets = (self.resets_when_recovered, self.resets());
        if state != Some(State::Open) {
            self.fail(format!("the feed is {state:?} in the end"));
        } else if late > 0 {
            self.fail(format!("{late} changes were not published in the end"));
        } else if resets.0 != Some(resets.1) {
            self.fail(format!("isolates begin anew without end: {resets:?}"));
        }
    }

    fn resets(&self) -> u64 {
        self.edges.iter().map(|edge| edge.isolate.resets()).sum()
    }

    fn fail(&mut self, what: String) {
        let (seed, now) = (self.seed, self.now);
        self.failure.get_or_insert(format!("seed {seed}, {now} ms: {what}. Again: LATCHKEY_TEST_SEED={seed}"));
    }

    fn at(&mut self, time: i64, event: Event) {
        self.scheduled += 1;
        self.events.insert((time, self.scheduled), event);
    }

    fn after(&mut self, from: i64, to: i64, event: Event) {
        let time = self.now + self.random.between(from, to);
        self.at(time, event);
    }

    fn is_faulty(&self) -> bool {
        FAULTS.contains(&self.now)
    }

    /// A journey over the network. With faults it may take long, or have no end.
    fn sent(&mut self, event: Event) {
        let (lost, slow) = (self.is_faulty() && self.random.percent(5), self.is_faulty() && self.random.percent(10));
        if !lost {
            self.after(1, if slow { 4_000 } else { 40 }, event);
        }
    }

    fn with_feed<T>(&mut self, ask: impl FnOnce(&mut Feed<'_, MemoryFeed>) -> Result<T, Refusal>) -> Option<T> {
        if self.now < self.feed_unreachable_until {
            return None;
        }
        let fresh = Epoch(self.fresh);
        let answer = ask(&mut Feed::new(&mut self.feed, fresh, feed::Rules::ALL).keeping(KEPT));
        if self.feed.status.is_some_and(|status| status.epoch == fresh) {
            self.fresh += 1;
        }
        answer.ok()
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Request => self.request(),
            Event::Expire(to) => {
                if let Some(asked) = self.edge(to).and_then(|edge| edge.waiting.remove(&to.id)) {
                    self.counts.expired += 1;
                    self.must_not_concern_good(&asked, "waited in vain");
                }
            }
            Event::PollReaches(to, poll) => {
                let page = self.with_feed(|feed| feed.page(poll.position, 200));
                self.sent(Event::PollAnswered(to, poll, page));
            }
            Event::PollAnswered(to, poll, page) => self.poll_answered(to, &poll, page),
            Event::StoreAnswers(to, answer) => {
                self.resume(to, |isolate, look_up| isolate.store_answered(look_up, answer));
            }
            Event::FeedAsked(to) => self.feed_asked(to),
            Event::FeedAnswers(to, answer) => {
                self.resume(to, |isolate, look_up| isolate.feed_answered(look_up, answer));
            }
            Event::Client => self.client(),
            Event::Publish(publisher) => self.publish(publisher),
            Event::AppendReaches(publisher, changes, reseeds) => self.append_reaches(publisher, changes, reseeds),
            Event::AppendAnswered(publisher, status, held, reseeds) => {
                self.append_answered(publisher, status, held, reseeds);
            }
            Event::OpenReaches(epoch) => {
                self.with_feed(|feed| feed.open(epoch));
            }
            Event::StoreWritten(key, record) => self.kv[key].push((self.now, record)),
            Event::Reseal(key) => {
                if self.database.keys[key].exists {
                    let record = self.seal(key);
                    // A write that fails is repeated until it does not.
                    self.after(1, 1_000, Event::StoreWritten(key, record));
                }
                self.after(RESEALED_EVERY, RESEALED_EVERY, Event::Reseal(key));
            }
            Event::Trim => {
                let now = Timestamp::from_millis(self.now);
                self.with_feed(|feed| feed.trim(now));
                self.after(1_000, 1_000, Event::Trim);
            }
            Event::Fault => self.fault(),
            Event::Backup => {
                self.backup = Some(self.database.clone());
                self.after(8_000, 8_000, Event::Backup);
            }
        }
    }

    // The database and its publishers.

    fn seal(&self, key: usize) -> Record {
        let row = &self.database.keys[key];
        let organization = &self.database.organizations[key % ORGANIZATIONS];
        Record {
            version: row.version,
            sealed_at: Timestamp::from_millis(self.now),
            good: row.good && !row.revoked && organization.good,
            scope: Some((organization_place(key % ORGANIZATIONS), organization.version)),
        }
    }

    fn client(&mut self) {
        self.after(1, 40, Event::Client);
        let chance = self.random.below(1_000);
        if chance < 2 {
            let organization = self.random.below(ORGANIZATIONS);
            self.change(organization_place(organization), organization, |row| row.good = false);
            return;
        }
        let key = self.random.below(KEYS);
        let row = &mut self.database.keys[key];
        if !row.exists {
            *row = Row { exists: true, created_at: self.now, version: Version(self.now), ..Row::NONE };
        } else if !row.revoked {
            let narrows = self.random.percent(50);
            self.change(key_place(key), key, |row| match chance {
                0..200 => row.revoked = true,
                _ => row.good = !narrows,
            });
        }
    }

    fn change(&mut self, place: Place, number: usize, change: impl FnOnce(&mut Row)) {
        let is_key = place == key_place(number);
        let rows = if is_key { &mut self.database.keys } else { &mut self.database.organizations };
        let row = &mut rows[number];
        change(row);
        row.version = Version(self.now.max(row.version.0 + 1));
        row.changed_at = Some(self.now);
        self.calls.push(Call { place, version: row.version, revokes: row.revoked });
    }

    fn change_of(&self, place: Place, number: usize) -> Change<Option<Record>> {
        let is_key = place == key_place(number);
        let row = if is_key { &self.database.keys[number] } else { &self.database.organizations[number] };
        let mark = match (is_key, row.revoked, row.changed_at) {
            (false, ..) => Mark::Scope(Effect::Disable),
            (_, true, _) => Mark::Revoked,
            (.., Some(_)) => Mark::Changed,
            _ => Mark::Created,
        };
        let changed_at = Timestamp::from_millis(row.changed_at.unwrap_or(self.now));
        Change { place, version: row.version, mark, changed_at, body: is_key.then(|| self.seal(number)) }
    }

    fn changes(&self, matters: impl Fn(&Row) -> bool) -> Vec<Change<Option<Record>>> {
        let keys = self.database.keys.iter().enumerate().map(|(key, row)| (key_place(key), key, row));
        let organizations = self.database.organizations.iter().enumerate();
        let organizations = organizations.map(|(number, row)| (organization_place(number), number, row));
        let all = organizations.chain(keys).filter(|(_, _, row)| row.exists && matters(row));
        all.map(|(place, number, _)| self.change_of(place, number)).collect()
    }

    /// Reads what is to be published, and sends it. It may overlap with what the other publisher does.
    fn publish(&mut self, publisher: usize) {
        self.after(60, 160, Event::Publish(publisher));
        if self.now < self.crashed_until[publisher] {
            return;
        }
        let mut changes = self.changes(|row| row.published < row.version);
        changes.truncate(feed::APPEND_MAX);
        self.sent(Event::AppendReaches(publisher, changes, None));
    }

    fn append_reaches(&mut self, publisher: usize, changes: Vec<Change<Option<Record>>>, reseeds: Option<Epoch>) {
        let known = self.database.known;
        let appended = changes.clone();
        let Some((status, held)) = self.with_feed(|feed| feed.append(known, appended)) else { return };
        let held = changes.into_iter().zip(held).map(|(change, held)| (change.place, held, change.body)).collect();
        self.sent(Event::AppendAnswered(publisher, status, held, reseeds));
    }

    fn append_answered(
        &mut self,
        publisher: usize,
        status: Status,
        held: Vec<(Place, Held, Option<Record>)>,
        reseeds: Option<Epoch>,
    ) {
        if self.now < self.crashed_until[publisher] {
            return;
        }
        let position = Position { epoch: status.epoch, sequence: status.head };
        let is_older = |known: Position| {
            known.epoch > position.epoch || known.epoch == position.epoch && known.sequence > position.sequence
        };
        self.database.known = self.database.known.filter(|known| is_older(*known)).or(Some(position));
        for (place, held, record) in held {
            self.note_held(place, held, record);
        }
        if let Some(epoch) = reseeds {
            self.sent(Event::OpenReaches(epoch));
        } else if status.state == State::Closed {
            let now = self.now;
            let is_recent = |row: &Row| match row.changed_at {
                Some(at) => at + KEPT.change > now,
                None => row.created_at > 0 && row.created_at + KEPT.creation > now,
            };
            let changes = self.changes(is_recent);
            self.sent(Event::AppendReaches(publisher, changes, Some(status.epoch)));
        }
    }

    fn note_held(&mut self, place: Place, held: Held, record: Option<Record>) {
        let Place([low, high, kind, ..]) = place;
        let number = usize::from(u16::from_le_bytes([low, high]));
        let row = if kind == 1 { &mut self.database.keys[number] } else { &mut self.database.organizations[number] };
        row.published = row.published.max(if held.revoked { row.version } else { held.version });
        let (answered, waiting) = std::mem::take(&mut self.calls).into_iter().partition::<Vec<_>, _>(|call| {
            call.place == place && held.covers(call.version) && (held.revoked || !call.revokes)
        });
        self.calls = waiting;
        for call in answered {
            let told = Acknowledged { version: call.version, revoked: call.revokes, at: self.now };
            self.acknowledged.entry(place).or_default().push(told);
            self.counts.acknowledged += 1;
        }
        if let Some(record) = record {
            self.after(1, 1_000, Event::StoreWritten(number, record));
        }
    }

    // The isolates.

    fn edge(&mut self, to: To) -> Option<&mut Edge> {
        Some(&mut self.edges[to.edge]).filter(|edge| edge.number == to.number)
    }

    fn clock(&self, edge: usize) -> Timestamp {
        Timestamp::from_millis(self.now + self.edges[edge].ahead)
    }

    fn request(&mut self) {
        self.after(1, 5, Event::Request);
        let edge = self.random.below(ISOLATES);
        // Some keys are used far more often than others.
        let key = self.random.below(KEYS).min(self.random.below(KEYS)).min(self.random.below(KEYS));
        self.ids += 1;
        let to = To { edge, number: self.edges[edge].number, id: self.ids };
        let look_up = self.edges[edge].isolate.look_up(key_place(key), numbered(3, 0));
        let asked = Asked { look_up, key, began: self.now, awaits_poll: false };
        self.edges[edge].waiting.insert(to.id, asked);
        self.at(self.now + PATIENCE, Event::Expire(to));
        self.step(to);
    }

    fn resume(&mut self, to: To, take_in: impl FnOnce(&Isolate<Record>, &mut LookUp<Record>)) {
        if let Some(edge) = self.edge(to)
            && let Some(asked) = edge.waiting.get_mut(&to.id)
        {
            take_in(&edge.isolate, &mut asked.look_up);
            self.step(to);
        }
    }

    fn step(&mut self, to: To) {
        let now = self.clock(to.edge);
        let edge = &mut self.edges[to.edge];
        if let Lease::Held { poll_is_due: true, .. } = edge.isolate.lease(now) {
            self.poll(to);
        }
        let edge = &mut self.edges[to.edge];
        let Some(asked) = edge.waiting.get_mut(&to.id) else { return };
        let step = edge.isolate.step(&mut asked.look_up, now);
        asked.awaits_poll = step == Step::AwaitPoll;
        match step {
            Step::AwaitPoll => self.poll(to),
            Step::AskStore => {
                let key = asked.key;
                let answer = self.store_answer(key);
                self.sent(Event::StoreAnswers(to, answer));
            }
            Step::AskFeed => self.sent(Event::FeedAsked(to)),
            Step::Decide(_) | Step::Refuse(_) | Step::Unknown(_) => {
                let Some(asked) = edge.waiting.remove(&to.id) else { return };
                self.decided(&asked, &step);
            }
        }
    }

    fn poll(&mut self, to: To) {
        let now = self.clock(to.edge);
        if let Some(poll) = self.edges[to.edge].isolate.begin_poll(now) {
            self.counts.polls += 1;
            self.sent(Event::PollReaches(to, poll));
        }
    }

    fn poll_answered(&mut self, to: To, poll: &Poll, page: Option<Page>) {
        let now = self.clock(to.edge);
        let Some(edge) = self.edge(to) else { return };
        let Some(page) = page else {
            edge.isolate.abandon_poll(poll);
            // A request that still waits tries again.
            return self.wake_all(to);
        };
        if edge.isolate.finish_poll(poll, &page, now) == Polled::More {
            self.poll(to);
        } else {
            self.wake_all(to);
        }
    }

    fn wake_all(&mut self, to: To) {
        let Some(edge) = self.edge(to) else { return };
        let mut waiting: Vec<u64> =
            edge.waiting.iter().filter(|(_, asked)| asked.awaits_poll).map(|(id, _)| *id).collect();
        waiting.sort_unstable();
        waiting.into_iter().for_each(|id| self.step(To { id, ..to }));
    }

    fn feed_asked(&mut self, to: To) {
        let Some(key) = self.edge(to).and_then(|edge| edge.waiting.get(&to.id)).map(|asked| asked.key) else { return };
        let answer = match self.with_feed(|feed| feed.entry(key_place(key))) {
            Some((position, Some(feed::Entry { body: Some(record), .. }))) => FeedAnswer::Record(position, record),
            Some((position, _)) => FeedAnswer::Nothing(position),
            None => FeedAnswer::Failed,
        };
        self.sent(Event::FeedAnswers(to, answer));
    }

    /// KV answers with something old: as old as it likes while there are faults.
    fn store_answer(&mut self, key: usize) -> Result<Option<Record>, ()> {
        if self.is_faulty() && self.random.percent(5) {
            return Err(());
        }
        let (now, faulty) = (self.now, self.is_faulty());
        let written = &self.kv[key];
        let oldest = written.iter().rposition(|(at, _)| !faulty && *at <= now - KV_STALE).unwrap_or(0);
        let is_new = written.first().is_none_or(|(at, _)| now < at + KV_ABSENT);
        let choice = oldest + self.random.below(written.len() - oldest + usize::from(is_new));
        Ok(self.kv[key].get(choice).map(|(_, record)| record.clone()))
    }

    // What must hold.

    fn decided(&mut self, asked: &Asked, step: &Step<Record>) {
        match step {
            Step::Decide(record) if record.good => {
                self.counts.accepted += 1;
                self.must_be_acceptable(asked.key, record);
            }
            Step::Unknown(_) => {
                self.counts.unknown += 1;
                self.must_not_concern_good(asked, &format!("{step:?}"));
            }
            _ => {
                self.counts.refused += 1;
                self.must_not_concern_good(asked, &format!("{step:?}"));
            }
        }
    }

    fn must_be_acceptable(&mut self, key: usize, record: &Record) {
        let too_late = |told: &&Acknowledged| self.now > told.at + LEASE;
        let told = |place: Place| self.acknowledged.get(&place).into_iter().flatten().filter(too_late);
        let by_key = told(key_place(key)).find(|told| told.revoked || told.version > record.version);
        let generation = record.scope.map(|(_, generation)| generation);
        let by_scope = told(organization_place(key % ORGANIZATIONS)).find(|told| generation < Some(told.version));
        if let Some(told) = by_key.or(by_scope) {
            self.fail(format!("key {key} was accepted with {record:?}, although {told:?}"));
        }
    }

    /// While it is calm, a key that has been good for a while is neither refused nor left undecided.
    fn must_not_concern_good(&mut self, asked: &Asked, what: &str) {
        let is_calm = self.now < FAULTS.start || asked.began > RECOVERED;
        let row = &self.database.keys[asked.key];
        let organization = &self.database.organizations[asked.key % ORGANIZATIONS];
        let is_settled = |row: &Row| row.created_at.max(row.changed_at.unwrap_or(0)) + SETTLED < asked.began;
        let is_good = row.exists && row.good && !row.revoked && organization.good;
        let starts_late = asked.began > SETTLED;
        let is_good = is_good && !self.forgotten[asked.key];
        if is_calm && starts_late && is_good && (is_settled(row) || row.changed_at.is_none() && row.created_at == 0) {
            self.fail(format!("the good key {} was not accepted: {what}; {row:?}", asked.key));
        }
    }

    // What goes wrong.

    fn fault(&mut self) {
        if !self.is_faulty() {
            return;
        }
        self.after(100, 2_000, Event::Fault);
        self.counts.faults += 1;
        let edge = self.random.below(ISOLATES);
        match self.random.below(12) {
            0 if self.now >= self.feed_unreachable_until => self.feed = MemoryFeed::empty(),
            1 | 2 => self.feed_unreachable_until = self.now + self.random.between(100, 5_000),
            3 if self.now >= self.feed_unreachable_until => self.restore_database(),
            4 | 5 => {
                let publisher = self.random.below(PUBLISHERS);
                self.crashed_until[publisher] = self.now + self.random.between(100, 3_000);
            }
            6 | 7 => {
                let back = self.random.between(freshness::CLOCK_MARGIN_MILLIS + 1, 1_500);
                let before = self.clock(edge);
                self.edges[edge].isolate.lease(before);
                self.edges[edge].ahead -= back.min(self.edges[edge].ahead + 3_000);
                let after = self.clock(edge);
                self.edges[edge].isolate.lease(after);
            }
            _ => {
                self.ids += 1;
                let ahead = self.edges[edge].ahead;
                let isolate = Isolate::new(limits(), freshness::Rules::ALL);
                self.edges[edge] = Edge { isolate, number: self.ids, ahead, waiting: HashMap::new() };
            }
        }
    }

    /// The database is replaced by its backup, and takes over from the feed before it does anything: what is revoked
    /// stays so; and what the feed knows in a newer version gets a newer one still, so that it can be published.
    fn restore_database(&mut self) {
        let is_open = self.feed.status.is_some_and(|status| status.state == State::Open);
        let Some(backup) = self.backup.clone().filter(|_| is_open) else { return };
        let before = std::mem::replace(&mut self.database, backup);
        self.calls.clear();
        let now = self.now;
        for (place, entry) in &self.feed.entries {
            let Place([low, high, kind, ..]) = *place;
            let number = usize::from(u16::from_le_bytes([low, high]));
            let row =
                if kind == 1 { &mut self.database.keys[number] } else { &mut self.database.organizations[number] };
            let is_newer = entry.version > row.version;
            // What it does not know at all, it has to know as revoked: it may have to re-seed a feed that was lost.
            if entry.mark == Mark::Revoked || kind == 2 || !row.exists {
                (row.exists, row.revoked, row.good) = (true, kind == 1, false);
                row.version = row.version.max(entry.version);
                if entry.mark == Mark::Created {
                    row.version = Version(now.max(entry.version.0 + 1));
                }
                row.changed_at = row.changed_at.max(Some(now));
            } else if is_newer {
                row.version = Version(now.max(entry.version.0 + 1));
                row.changed_at = Some(now);
            }
        }
        let is_behind = |(row, before): (&Row, &Row)| {
            row.version < before.version || !row.revoked && (before.revoked || !before.good)
        };
        let after = &self.database;
        for (key, known) in self.forgotten.iter_mut().enumerate() {
            let organization = key % ORGANIZATIONS;
            *known |= is_behind((&after.keys[key], &before.keys[key]))
                || is_behind((&after.organizations[organization], &before.organizations[organization]));
        }
    }
}

fn limits() -> Limits {
    // Few enough that every bound is reached.
    let limits =
        Limits { record_age: RECORD_AGE, records: 300, absences: 100, floors: 4_000, ..Limits::with_lease(LEASE) };
    Limits { question_burst: 10_000, question_interval: 1, ..limits }
}

#[test]
fn nothing_goes_wrong_in_the_long_run() {
    let one = std::env::var("LATCHKEY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let many = if std::env::var_os("LATCHKEY_TEST_DEEP").is_some() { DEEP_SEEDS } else { SEEDS };
    let seeds: Vec<u64> = one.map_or_else(|| many.chain(FOUND).collect(), |seed| vec![seed]);
    let failures: Vec<String> = seeds
        .into_iter()
        .filter_map(|seed| match World::new(seed).run() {
            Ok(counts) => {
                println!("seed {seed}: {counts:?}");
                None
            }
            Err(failure) => Some(failure),
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}
