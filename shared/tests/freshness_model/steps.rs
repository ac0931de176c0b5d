//! What can happen next in a world, and what becomes of it.

use shared::{
    Timestamp,
    feed::{Change, Effect, Mark, Page, Position, Refusal},
    freshness::{FeedAnswer, Lease, Polled, Step},
    reason::Reason,
    record::Version,
};
use stateright::{Model, Property};

use crate::{
    common::{MemoryFeed, Record},
    world::{
        CALLER, Call, Command, Config, Edge, Flight, Heard, Pending, Reseeding, Row, SCOPE, Task, Wait, World, place,
    },
};

/// Versions follow the clock, finely enough for all that happens at one moment.
const VERSIONS_PER_TICK: i64 = 16;
/// How long KV may deny a key after its creation was acknowledged.
const ABSENT_IN_KV: i64 = 1;
/// How long a request takes at most, where that matters.
const LOOK_UP_LASTS: i64 = 1;
/// How long after it read a creation a publisher may still append it.
const CREATION_UNDER_WAY: i64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Tick,
    /// The next command of this script.
    Command(usize),
    /// A publisher reads and seals the state of this key, or of the scope.
    Read(usize),
    ReadScope,
    /// What was read reaches the feed.
    Append(usize),
    BeginReseeding,
    AppendReseeding,
    OpenFeed,
    TakeOverTombstones,
    /// The control plane asks how the feed is.
    AskFeedState,
    Trim(usize),
    SendPoll(usize),
    /// The feed, or the relay, answers a poll; and the answer arrives.
    AnswerPoll(usize, usize),
    RelayHears(usize, usize),
    RelayAnswers(usize, usize),
    Arrive(usize, usize),
    LookUp(usize, usize),
    /// KV answers with its n-th record, or with none.
    StoreAnswers(usize, usize, Option<usize>),
    FeedAnswers(usize, usize),
    FeedAnswerArrives(usize, usize),
    Wake(usize, usize),
}

pub const NEVER_WRONG: &str = "nothing goes wrong";

impl Model for Config {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(self);
        for action in &self.prologue {
            assert!(world.act(self, *action).is_some(), "{}: {action:?} cannot happen", self.name);
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < self.horizon {
            actions.push(Action::Tick);
        }
        actions.extend((0..self.scripts.len()).map(Action::Command));
        actions.extend((0..self.keys.1).map(Action::Read));
        actions.push(Action::ReadScope);
        actions.extend((0..world.tasks.len()).map(Action::Append));
        actions.extend([Action::BeginReseeding, Action::AppendReseeding, Action::OpenFeed]);
        actions.extend([Action::TakeOverTombstones, Action::AskFeedState]);
        actions.extend((0..world.feeds.len()).map(Action::Trim));
        for (edge, state) in world.edges.iter().enumerate() {
            actions.push(Action::SendPoll(edge));
            for flight in 0..state.flights.len() {
                actions.push(Action::AnswerPoll(edge, flight));
                actions.push(Action::Arrive(edge, flight));
                if self.with_relay {
                    actions.extend([Action::RelayHears(edge, flight), Action::RelayAnswers(edge, flight)]);
                }
            }
            if state.look_ups.len() < self.look_ups {
                actions.extend((0..self.keys.1).map(|key| Action::LookUp(edge, key)));
            }
            for (number, pending) in state.look_ups.iter().enumerate() {
                match &pending.wait {
                    Wait::Poll => actions.push(Action::Wake(edge, number)),
                    Wait::Store => actions.extend(
                        self.store_answers(world, pending.key).map(|record| Action::StoreAnswers(edge, number, record)),
                    ),
                    Wait::Feed => actions.push(Action::FeedAnswers(edge, number)),
                    Wait::FeedAnswered(_) => actions.push(Action::FeedAnswerArrives(edge, number)),
                }
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        // What is wrong once need not be followed any further.
        if world.wrong.is_some() {
            return None;
        }
        let mut next = world.clone();
        next.act(self, action)?;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(NEVER_WRONG, |_, world: &World| world.wrong.is_none())]
    }
}

impl Config {
    /// Any record that was ever sealed, or none: KV may be as stale as it likes. But it does not deny a new key for longer
    /// than [`ABSENT_IN_KV`].
    fn store_answers(&self, world: &World, key: usize) -> impl Iterator<Item = Option<usize>> + use<> {
        let count = world.kv[key].len();
        let oldest = if self.kv_is_stale { 0 } else { count.saturating_sub(1) };
        let is_old = |call: &Call| call.creates && call.acknowledged_at.is_some_and(|at| world.now > at + ABSENT_IN_KV);
        let may_be_absent = count == 0 || self.kv_is_stale && !world.calls.iter().any(is_old);
        may_be_absent.then_some(None).into_iter().chain((oldest..count).map(Some))
    }
}

type Done = Option<()>;

const fn only_if(condition: bool) -> Done {
    if condition { Some(()) } else { None }
}

impl World {
    fn act(&mut self, config: &Config, action: Action) -> Done {
        match action {
            Action::Tick => self.tick(config),
            Action::Command(script) => {
                let command = *config.scripts[script].get(self.done[script])?;
                self.done[script] += 1;
                self.command(config, command)
            }
            Action::Read(key) => self.read(config, key),
            Action::ReadScope => self.read_scope(config),
            Action::Append(task) => self.append(config, task),
            Action::BeginReseeding => self.begin_reseeding(config),
            Action::AppendReseeding => self.append_reseeding(config),
            Action::OpenFeed => self.open_feed(config),
            Action::TakeOverTombstones => self.take_over_tombstones(config),
            Action::AskFeedState => self.ask_feed_state(config),
            Action::Trim(feed) => self.trim(config, feed),
            Action::SendPoll(edge) => self.send_poll(config, edge),
            Action::AnswerPoll(edge, flight) => self.answer_poll(config, edge, flight),
            Action::RelayHears(edge, flight) => self.relay_hears(config, edge, flight),
            Action::RelayAnswers(edge, flight) => self.relay_answers(edge, flight),
            Action::Arrive(edge, flight) => self.arrive(edge, flight),
            Action::LookUp(edge, key) => self.look_up(config, edge, key),
            Action::StoreAnswers(edge, number, record) => self.store_answers(config, edge, number, record),
            Action::FeedAnswers(edge, number) => self.feed_answers(config, edge, number),
            Action::FeedAnswerArrives(edge, number) => self.feed_answer_arrives(config, edge, number),
            Action::Wake(edge, number) => {
                let pending = self.edges[edge].look_ups.remove(number);
                only_if(self.edge_lease(edge) != Lease::None)?;
                self.step(config, edge, pending);
                Some(())
            }
        }
    }

    /// Every isolate reads its clock, so that no step of it goes unnoticed.
    fn tick(&mut self, config: &Config) -> Done {
        self.now += 1;
        if config.requests_end {
            let began = self.now - LOOK_UP_LASTS;
            self.edges.iter_mut().for_each(|edge| edge.look_ups.retain(|pending| pending.began >= began));
        }
        for edge in 0..self.edges.len() {
            self.edge_lease(edge);
        }
        Some(())
    }

    fn edge_time(&self, edge: usize) -> Timestamp {
        Timestamp::from_millis(self.now - self.edges[edge].behind)
    }

    fn edge_lease(&mut self, edge: usize) -> Lease {
        let now = self.edge_time(edge);
        self.edges[edge].isolate.lease(now)
    }

    fn command(&mut self, config: &Config, command: Command) -> Done {
        match command {
            Command::Create(key) => {
                self.change(config, key, |row| (row.exists, row.creation_pending) = (true, true));
                let row = &mut self.database.keys[key];
                (row.created_at, row.changed_at) = (row.changed_at, None);
                if let Some(call) = self.calls.last_mut() {
                    call.creates = true;
                }
            }
            Command::Narrow(key) => self.change(config, key, |row| row.good = false),
            Command::Widen(key) => self.change(config, key, |row| row.good = true),
            Command::WidenBehind(key, behind) => {
                self.change(config, key, |row| row.good = true);
                self.database.keys[key].changed_at = Some(self.now - behind);
            }
            Command::Revoke(key) => self.change(config, key, |row| row.revoked = true),
            Command::DisableScope => {
                let version = self.next_version(config, self.database.scope.generation);
                let now = self.moment(config);
                let scope = &mut self.database.scope;
                (scope.generation, scope.disabled, scope.changed_at) = (version, true, Some(now));
                self.call(SCOPE, version, false);
            }
            Command::Backup => self.backup = Some(self.database.clone()),
            Command::RestoreDatabase => {
                // From an older backup keys come back to life, because the feed has forgotten them too. (It is from the
                // beginning of time.)
                only_if(self.now < config.kept.change)?;
                self.database = self.backup.clone()?;
                self.is_restored = true;
                self.restored += 1;
                self.calls.retain(|call| call.acknowledged_at.is_some());
            }
            Command::LoseFeed => self.feeds[self.current] = MemoryFeed::empty(),
            Command::BackupFeed => self.feed_backup = Some(self.feeds[self.current].clone()),
            Command::RestoreFeed => {
                self.feeds[self.current] = self.feed_backup.clone()?;
                self.feed_is_suspect = true;
            }
            Command::MoveFeed => {
                if config.duties.retire_before_moving {
                    self.with_feed(config, self.current, |feed| feed.retire()).ok()?;
                }
                self.current += 1;
                self.database.known = None;
                // Nothing of the old feed counts for the new one.
                for row in &mut self.database.keys {
                    row.published = Version(-1);
                }
                self.database.scope.published = Version(-1);
            }
            Command::Restart(edge) => {
                let polls_left = self.edges[edge].polls_left;
                self.edges[edge] = Edge { polls_left, ..Edge::new(config) };
            }
            Command::ClockBack(edge, by) => {
                self.edges[edge].behind += by;
                self.edge_lease(edge);
            }
            Command::ClockSlip(edge) => self.edges[edge].behind += 1,
        }
        if !config.duties.feed_before_acknowledgement {
            let now = self.now;
            self.calls.iter_mut().for_each(|call| call.acknowledged_at = call.acknowledged_at.or(Some(now)));
        }
        Some(())
    }

    fn next_version(&self, config: &Config, last: Version) -> Version {
        Version((last.0 + 1).max((self.moment(config) + self.restored) * VERSIONS_PER_TICK))
    }

    fn change(&mut self, config: &Config, key: usize, change: impl FnOnce(&mut Row)) {
        let version = self.next_version(config, self.database.keys[key].version);
        let now = self.moment(config);
        let row = &mut self.database.keys[key];
        if row.revoked {
            return;
        }
        change(row);
        row.version = version;
        row.changed_at = Some(now);
        let revokes = row.revoked;
        self.call(place(key), version, revokes);
    }

    fn call(&mut self, place: shared::digest::Place, version: Version, revokes: bool) {
        self.calls.push(Call { place, version, revokes, creates: false, acknowledged_at: None });
    }

    // The publisher.

    fn may_publish(&self, config: &Config) -> Done {
        only_if(!self.is_restored || !config.duties.tombstones_before_publishing)
    }

    fn read(&mut self, config: &Config, key: usize) -> Done {
        self.may_publish(config)?;
        let row = &self.database.keys[key];
        let is_due = row.published < row.version || row.creation_pending;
        only_if(row.exists && (is_due || self.idle_reads > 0))?;
        let is_under_way = self.tasks.iter().any(|task| task.place == place(key));
        if !is_due || is_under_way {
            self.idle_reads = self.idle_reads.checked_sub(1)?;
        }
        let record = self.seal(config, key);
        let task = self.task_of(config, key, record.clone());
        self.kv[key].insert(record);
        only_if(!self.tasks.contains(&task))?;
        self.tasks.push(task);
        Some(())
    }

    fn task_of(&self, config: &Config, key: usize, record: Record) -> Task {
        let row = &self.database.keys[key];
        let is_new = row.changed_at.is_none() || (!config.duties.mark_follows_state && row.creation_pending);
        let mark = match (row.revoked, is_new) {
            (true, _) => Mark::Revoked,
            (_, true) => Mark::Created,
            _ => Mark::Changed,
        };
        let changed_at = row.changed_at.unwrap_or(record.sealed_at.as_millis());
        let version = row.version;
        Task { feed: self.current, place: place(key), version, mark, changed_at, record: Some(record) }
    }

    fn scope_task(&self) -> Option<Task> {
        let scope = &self.database.scope;
        let changed_at = scope.changed_at?;
        let mark = Mark::Scope(Effect::Disable);
        let version = scope.generation;
        Some(Task { feed: self.current, place: SCOPE, version, mark, changed_at, record: None })
    }

    fn read_scope(&mut self, config: &Config) -> Done {
        self.may_publish(config)?;
        only_if(self.database.scope.published < self.database.scope.generation)?;
        let task = self.scope_task()?;
        only_if(!self.tasks.contains(&task))?;
        self.tasks.push(task);
        Some(())
    }

    fn append(&mut self, config: &Config, task: usize) -> Done {
        let task = self.tasks.remove(task);
        let is_in_time = task.mark != Mark::Created || self.moment(config) <= task.changed_at + CREATION_UNDER_WAY;
        if !is_in_time {
            return Some(());
        }
        self.append_all(config, task.feed, vec![task]);
        Some(())
    }

    /// What the feed holds is acknowledged at once; later would only be easier.
    fn append_all(&mut self, config: &Config, feed: usize, tasks: Vec<Task>) {
        let known = self.database.known.filter(|_| feed == self.current);
        let changes = tasks.iter().cloned().map(Task::into_change).collect();
        let answer = self.with_feed(config, feed, |feed| feed.append(known, changes));
        self.feed_is_suspect = false;
        let Ok((status, held)) = answer else { return };
        if feed == self.current {
            self.database.known = Some(Position { epoch: status.epoch, sequence: status.head });
        }
        for (task, held) in tasks.iter().zip(held) {
            self.note_held(config, feed, task, held);
        }
    }

    fn note_held(&mut self, config: &Config, feed: usize, task: &Task, held: shared::feed::Held) {
        let published = if feed == self.current { held.version } else { Version(-1) };
        if task.place == SCOPE {
            let scope = &mut self.database.scope;
            scope.published = scope.published.max(published);
        }
        let row = self.database.keys.iter_mut().enumerate().find(|(key, _)| place(*key) == task.place);
        if let Some((_, row)) = row {
            row.published = row.published.max(if held.revoked { row.version } else { published });
            row.creation_pending &= !(task.mark == Mark::Created || config.duties.mark_follows_state);
        }
        let now = self.now;
        for call in self.calls.iter_mut().filter(|call| call.place == task.place && call.acknowledged_at.is_none()) {
            if held.covers(call.version) && (held.revoked || !call.revokes) {
                call.acknowledged_at = Some(now);
            }
        }
    }

    fn begin_reseeding(&mut self, config: &Config) -> Done {
        self.may_publish(config)?;
        only_if(self.reseeding.is_none())?;
        let feed = self.current;
        let status = self.with_feed(config, feed, |feed| feed.status()).ok()?;
        self.feed_is_suspect = false;
        only_if(status.state == shared::feed::State::Closed)?;
        let is_recent = |task: &Task| task.changed_at + config.kept.change > self.now;
        let is_new = |row: &Row| row.created_at.is_some_and(|at| at + config.kept.creation > self.now);
        let rows = self.database.keys.iter().enumerate().filter(|(_, row)| row.changed_at.is_some() || is_new(row));
        let changed = rows.map(|(key, _)| self.task_of(config, key, self.seal(config, key)));
        let changes: Vec<Task> = changed.chain(self.scope_task()).filter(is_recent).collect();
        for (key, records) in self.kv.iter_mut().enumerate() {
            let of_key = changes.iter().filter(|task| task.place == place(key));
            records.extend(of_key.filter_map(|task| task.record.clone()));
        }
        let appended = !config.duties.reseed_before_opening;
        self.reseeding = Some(Reseeding { feed, epoch: status.epoch, changes, appended });
        Some(())
    }

    fn append_reseeding(&mut self, config: &Config) -> Done {
        let mut reseeding = self.reseeding.take().filter(|reseeding| !reseeding.appended)?;
        self.append_all(config, reseeding.feed, reseeding.changes.clone());
        reseeding.appended = true;
        self.reseeding = Some(reseeding);
        Some(())
    }

    fn open_feed(&mut self, config: &Config) -> Done {
        let Reseeding { feed, epoch, .. } = self.reseeding.take().filter(|reseeding| reseeding.appended)?;
        // One that began another epoch meanwhile is re-seeded again.
        let _ = self.with_feed(config, feed, |feed| feed.open(epoch));
        Some(())
    }

    fn take_over_tombstones(&mut self, config: &Config) -> Done {
        only_if(self.is_restored)?;
        self.is_restored = false;
        let now = self.moment(config);
        for entry in self.feeds[self.current].entries.values() {
            if entry.place == SCOPE {
                let scope = &mut self.database.scope;
                (scope.generation, scope.disabled) = (scope.generation.max(entry.version), true);
                scope.changed_at = scope.changed_at.or(Some(now));
            }
            let row = self.database.keys.iter_mut().enumerate().find(|(key, _)| place(*key) == entry.place);
            if let Some((_, row)) = row.filter(|_| entry.mark == Mark::Revoked) {
                (row.revoked, row.version) = (true, row.version.max(entry.version));
                row.changed_at = row.changed_at.or(Some(now));
            }
        }
        Some(())
    }

    fn ask_feed_state(&mut self, config: &Config) -> Done {
        only_if(self.feed_is_suspect)?;
        self.append_all(config, self.current, vec![]);
        Some(())
    }

    fn trim(&mut self, config: &Config, feed: usize) -> Done {
        // What was restored takes over the tombstones long before they leave the feed.
        self.may_publish(config)?;
        let before = self.feeds[feed].clone();
        let now = self.time();
        self.with_feed(config, feed, |feed| feed.trim(now)).ok()?;
        only_if(self.feeds[feed] != before)
    }

    // The isolates.

    fn send_poll(&mut self, config: &Config, number: usize) -> Done {
        let now = self.edge_time(number);
        let edge = &mut self.edges[number];
        only_if(edge.polls_left > 0)?;
        let poll = edge.isolate.begin_poll(now)?;
        edge.polls_left -= 1;
        if edge.flights.len() == config.polls_under_way {
            edge.flights.remove(0);
        }
        edge.flights.push(Flight { poll, answer: None });
        Some(())
    }

    fn ask_page(&mut self, config: &Config, position: Option<Position>) -> Option<Result<Page, Refusal>> {
        let number = config.polled_feed;
        let status = self.feeds[number].status;
        let knows_better =
            |position: Position| status.is_some_and(|it| it.epoch == position.epoch && it.head < position.sequence);
        only_if(!self.feed_is_suspect || position.is_some_and(knows_better))?;
        self.feed_is_suspect = false;
        Some(self.with_feed(config, number, |feed| feed.page(position, config.page)))
    }

    fn answer_poll(&mut self, config: &Config, edge: usize, flight: usize) -> Done {
        let Flight { poll, answer: None } = self.edges[edge].flights[flight].clone() else { return None };
        match self.ask_page(config, poll.position)? {
            Ok(page) => self.edges[edge].flights[flight].answer = Some(page),
            Err(_) => {
                self.edges[edge].isolate.abandon_poll(&poll);
                self.edges[edge].flights.remove(flight);
            }
        }
        Some(())
    }

    fn relay_hears(&mut self, config: &Config, edge: usize, flight: usize) -> Done {
        let asked = self.edges[edge].flights[flight].poll.position;
        only_if(self.relay.is_none())?;
        let page = self.ask_page(config, asked)?.ok()?;
        self.relay = Some(Heard { asked, page, at: self.now });
        Some(())
    }

    fn relay_answers(&mut self, edge: usize, flight: usize) -> Done {
        let heard = self.relay.clone()?;
        let now = self.now;
        let flight = &mut self.edges[edge].flights[flight];
        only_if(flight.answer.is_none() && flight.poll.position == heard.asked)?;
        flight.answer = Some(Page { age_millis: now - heard.at, ..heard.page });
        Some(())
    }

    fn arrive(&mut self, number: usize, flight: usize) -> Done {
        let now = self.edge_time(number);
        let edge = &mut self.edges[number];
        edge.flights[flight].answer.as_ref()?;
        let Flight { poll, answer: Some(page) } = edge.flights.remove(flight) else { return None };
        let _: Polled = edge.isolate.finish_poll(&poll, &page, now);
        Some(())
    }

    fn look_up(&mut self, config: &Config, edge: usize, key: usize) -> Done {
        only_if(self.edge_lease(edge) != Lease::None || !config.rules.lease_is_needed)?;
        let look_up = self.edges[edge].isolate.look_up(place(key), CALLER);
        let began = if config.absence_matters { self.now } else { 0 };
        self.step(config, edge, Pending { look_up, key, wait: Wait::Poll, began });
        Some(())
    }

    fn store_answers(&mut self, config: &Config, edge: usize, number: usize, record: Option<usize>) -> Done {
        let mut pending = self.edges[edge].look_ups.remove(number);
        let record = record.and_then(|record| self.kv[pending.key].iter().nth(record).cloned());
        self.edges[edge].isolate.store_answered(&mut pending.look_up, Ok(record));
        self.step(config, edge, pending);
        Some(())
    }

    fn feed_answers(&mut self, config: &Config, edge: usize, number: usize) -> Done {
        only_if(!self.feed_is_suspect)?;
        let key = self.edges[edge].look_ups[number].key;
        let feed = config.polled_feed;
        let answer = match self.with_feed(config, feed, |feed| feed.entry(place(key))) {
            Ok((position, entry)) => match entry.and_then(|entry| entry.body) {
                Some(record) => FeedAnswer::Record(position, record),
                None => FeedAnswer::Nothing(position),
            },
            Err(_) => FeedAnswer::Failed,
        };
        self.edges[edge].look_ups[number].wait = Wait::FeedAnswered(answer);
        Some(())
    }

    fn feed_answer_arrives(&mut self, config: &Config, edge: usize, number: usize) -> Done {
        let mut pending = self.edges[edge].look_ups.remove(number);
        let Wait::FeedAnswered(answer) = std::mem::replace(&mut pending.wait, Wait::Poll) else { return None };
        self.edges[edge].isolate.feed_answered(&mut pending.look_up, answer);
        self.step(config, edge, pending);
        Some(())
    }

    /// Follows what the isolate says until it has to wait or has decided.
    fn step(&mut self, config: &Config, edge: usize, mut pending: Pending) {
        let now = self.edge_time(edge);
        let wait = match self.edges[edge].isolate.step(&mut pending.look_up, now) {
            Step::AwaitPoll => Wait::Poll,
            Step::AskStore => Wait::Store,
            Step::AskFeed => Wait::Feed,
            Step::Decide(record) => return self.judge(config, pending.key, &record),
            Step::Refuse(Reason::NotFound) => return self.judge_not_found(config, &pending),
            Step::Refuse(_) | Step::Unknown(_) => return,
        };
        self.edges[edge].look_ups.push(Pending { wait, ..pending });
    }

    /// Nothing is accepted that anything acknowledged longer ago than the lease speaks against.
    fn judge(&mut self, config: &Config, key: usize, record: &Record) {
        let speaks_against = |call: &Call| match call.place {
            SCOPE => record.scope.is_some_and(|(_, generation)| generation < call.version),
            of => of == place(key) && (call.revokes || call.version > record.version),
        };
        let too_late = |call: &Call| call.acknowledged_at.is_some_and(|at| self.now > at + config.limits.lease);
        if record.good && self.calls.iter().any(|call| too_late(call) && speaks_against(call)) {
            self.wrong = Some("accepted too late");
        }
    }

    /// Who asks about a key longer after its creation than the lease lasts is told of it.
    fn judge_not_found(&mut self, config: &Config, pending: &Pending) {
        let should_know = |call: &Call| {
            let known_since = call.acknowledged_at.is_some_and(|at| pending.began > at + config.limits.lease);
            call.creates && call.place == place(pending.key) && known_since
        };
        if config.absence_matters && self.calls.iter().any(should_know) {
            self.wrong = Some("not found although it exists");
        }
    }
}

impl Task {
    fn into_change(self) -> Change<Option<Record>> {
        let changed_at = Timestamp::from_millis(self.changed_at);
        Change { place: self.place, version: self.version, mark: self.mark, changed_at, body: self.record }
    }
}
