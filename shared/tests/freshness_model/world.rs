//! The state of a small world, and what can be configured of it.

use std::collections::BTreeSet;

use shared::{
    Timestamp,
    digest::Place,
    feed::{self, Epoch, Kept, Page, Position},
    freshness::{self, FeedAnswer, Isolate, Limits, LookUp, Poll},
    record::Version,
};

use crate::{
    common::{MemoryFeed, Record},
    steps::Action,
};

/// The one scope there is.
pub const SCOPE: Place = Place([0xFF; 16]);
/// On whose account questions go.
pub const CALLER: Place = Place([0xEE; 16]);

/// The place of a key.
pub const fn place(key: usize) -> Place {
    Place([key as u8; 16])
}

/// What someone decides to do, or what befalls a part, at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// A client creates a key.
    Create(usize),
    /// A client takes something from a key.
    Narrow(usize),
    /// A client gives it back.
    Widen(usize),
    /// A client gives it back, by a process whose clock is so far behind.
    WidenBehind(usize, i64),
    /// A client revokes a key.
    Revoke(usize),
    /// A client disables the organization.
    DisableScope,
    /// The database is backed up.
    Backup,
    /// The database is replaced by its backup.
    RestoreDatabase,
    /// The feed loses everything.
    LoseFeed,
    /// The feed is backed up.
    BackupFeed,
    /// The feed is replaced by its backup. It is not polled before someone who knows better has spoken to it.
    RestoreFeed,
    /// The control plane turns to another feed.
    MoveFeed,
    /// An isolate begins anew.
    Restart(usize),
    /// An isolate's clock goes back so far.
    ClockBack(usize, i64),
    /// An isolate's clock stands still for a moment, which it cannot notice.
    ClockSlip(usize),
}

/// The duties of the control plane, each of which can be neglected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Duties {
    /// An acknowledgement waits for the feed.
    pub feed_before_acknowledgement: bool,
    /// A closed feed is re-seeded before it is opened.
    pub reseed_before_opening: bool,
    /// A restored database takes over the feed's tombstones before anything is published from it.
    pub tombstones_before_publishing: bool,
    /// A feed is retired before another one is appended to.
    pub retire_before_moving: bool,
    /// A mark says what state was read, not what change the publisher was told of.
    pub mark_follows_state: bool,
}

impl Duties {
    pub const ALL: Self = Self {
        feed_before_acknowledgement: true,
        reseed_before_opening: true,
        tombstones_before_publishing: true,
        retire_before_moving: true,
        mark_follows_state: true,
    };
}

/// A world to be explored.
#[derive(Debug, Clone)]
pub struct Config {
    pub name: &'static str,
    /// The last moment.
    pub horizon: i64,
    pub limits: Limits,
    pub kept: Kept,
    /// The entries of a page.
    pub page: u64,
    pub rules: freshness::Rules,
    pub feed_rules: feed::Rules,
    pub duties: Duties,
    /// How many keys exist from the beginning, and how many there can be.
    pub keys: (usize, usize),
    pub isolates: usize,
    /// Which feed they poll: an older deployment keeps to the first.
    pub polled_feed: usize,
    /// How often each isolate may poll.
    pub polls: u8,
    /// How many polls of an isolate may be under way.
    pub polls_under_way: usize,
    /// How many look-ups of an isolate may be under way.
    pub look_ups: usize,
    /// How often publishers may read a state that needs no publishing, as another process does that comes late.
    pub idle_reads: u8,
    /// Whether records depend on the scope.
    pub with_scope: bool,
    /// Whether a relay may answer polls with what it heard before.
    pub with_relay: bool,
    /// Whether KV is as unreliable as can be, or serves the newest record alone.
    pub kv_is_stale: bool,
    /// Whether requests end, and take their look-ups with them, rather than wait for as long as it takes.
    pub requests_end: bool,
    /// Whether new keys must be found.
    pub absence_matters: bool,
    /// Whether it matters when something was changed or sealed. Where it does not, it is left out of the state.
    pub ages_matter: bool,
    /// What has happened already when the search begins.
    pub prologue: Vec<Action>,
    /// What happens. Each list in its order, the lists in any.
    pub scripts: Vec<Vec<Command>>,
}

impl Config {
    /// The simplest world. Each configuration says in what it differs.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            horizon: 4,
            limits: Limits {
                lease: 1,
                margin: 0,
                poll: 1,
                record_age: 1_000,
                records: 4,
                absences: 4,
                record_bytes: 1_000,
                absence_age: 1_000_000,
                floors: 8,
                overflow_pause: 1,
                question_interval: 0,
                question_burst: 8,
            },
            kept: Kept { change: 1_001, creation: 1_000 },
            page: 8,
            rules: freshness::Rules::ALL,
            feed_rules: feed::Rules::ALL,
            duties: Duties::ALL,
            keys: (1, 1),
            isolates: 1,
            polled_feed: 0,
            polls: 3,
            polls_under_way: 1,
            look_ups: 1,
            idle_reads: 0,
            with_scope: false,
            with_relay: false,
            kv_is_stale: true,
            requests_end: false,
            absence_matters: false,
            ages_matter: false,
            prologue: vec![],
            scripts: vec![vec![Command::Revoke(0)]],
        }
    }
}

/// A key in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    pub exists: bool,
    pub created_at: Option<i64>,
    pub version: Version,
    pub good: bool,
    pub revoked: bool,
    /// When it was last changed, if ever.
    pub changed_at: Option<i64>,
    /// Up to which version the feed has it.
    pub published: Version,
    /// Whether its creation has to be published still.
    pub creation_pending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeRow {
    pub generation: Version,
    pub disabled: bool,
    pub changed_at: Option<i64>,
    pub published: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Database {
    pub keys: Vec<Row>,
    pub scope: ScopeRow,
    /// How far the feed had come when it last answered.
    pub known: Option<Position>,
}

/// What a caller waits for, or was told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    pub place: Place,
    pub version: Version,
    pub revokes: bool,
    pub creates: bool,
    /// When it was acknowledged.
    pub acknowledged_at: Option<i64>,
}

/// What a publisher has read and not yet appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    pub feed: usize,
    pub place: Place,
    pub version: Version,
    pub mark: feed::Mark,
    pub changed_at: i64,
    pub record: Option<Record>,
}

/// A re-seeding that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reseeding {
    pub feed: usize,
    pub epoch: Epoch,
    pub changes: Vec<Task>,
    pub appended: bool,
}

/// A poll that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Flight {
    pub poll: Poll,
    pub answer: Option<Page>,
}

/// What a look-up waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wait {
    Poll,
    Store,
    Feed,
    FeedAnswered(FeedAnswer<Record>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pending {
    pub look_up: LookUp<Record>,
    pub key: usize,
    pub wait: Wait,
    /// When it began; only where it matters.
    pub began: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    pub isolate: Isolate<Record>,
    /// By how much its clock is behind.
    pub behind: i64,
    pub flights: Vec<Flight>,
    pub look_ups: Vec<Pending>,
    pub polls_left: u8,
}

/// What a relay heard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Heard {
    pub asked: Option<Position>,
    pub page: Page,
    pub at: i64,
}

/// A state of the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub now: i64,
    /// How far each script has come.
    pub done: Vec<usize>,
    pub database: Database,
    pub backup: Option<Database>,
    /// How often the database was replaced. Versions follow the clock, so what comes after has higher ones.
    pub restored: i64,
    /// Whether the database was replaced, and the feed's tombstones were not taken over yet.
    pub is_restored: bool,
    pub calls: Vec<Call>,
    pub tasks: Vec<Task>,
    pub reseeding: Option<Reseeding>,
    pub idle_reads: u8,
    /// Which feed is appended to.
    pub current: usize,
    pub feeds: Vec<MemoryFeed>,
    pub feed_backup: Option<MemoryFeed>,
    /// Whether the feed was replaced, and nobody who knows better has spoken to it yet.
    pub feed_is_suspect: bool,
    pub fresh: u32,
    /// Every record that was ever sealed, by key.
    pub kv: Vec<BTreeSet<Record>>,
    pub relay: Option<Heard>,
    pub edges: Vec<Edge>,
    /// What went wrong in the last step.
    pub wrong: Option<&'static str>,
}

impl World {
    pub fn new(config: &Config) -> Self {
        let row = |key| Row {
            exists: key < config.keys.0,
            created_at: None,
            version: Version(0),
            good: true,
            revoked: false,
            changed_at: None,
            published: Version(0),
            creation_pending: false,
        };
        let scope = ScopeRow { generation: Version(0), disabled: false, changed_at: None, published: Version(0) };
        let feeds = if config.has_moving() { 2 } else { 1 };
        let mut world = Self {
            now: 0,
            done: vec![0; config.scripts.len()],
            database: Database { keys: (0..config.keys.1).map(row).collect(), scope, known: None },
            backup: None,
            restored: 0,
            is_restored: false,
            calls: vec![],
            tasks: vec![],
            reseeding: None,
            idle_reads: config.idle_reads,
            current: 0,
            feeds: vec![MemoryFeed::empty(); feeds],
            feed_backup: None,
            feed_is_suspect: false,
            fresh: 1,
            kv: vec![BTreeSet::new(); config.keys.1],
            relay: None,
            edges: vec![Edge::new(config); config.isolates],
            wrong: None,
        };
        world.open_first_feed(config);
        for key in 0..config.keys.0 {
            let record = world.seal(config, key);
            world.kv[key].insert(record);
        }
        world
    }

    fn open_first_feed(&mut self, config: &Config) {
        let opened = self.with_feed(config, 0, |feed| {
            let status = feed.status()?;
            feed.open(status.epoch)
        });
        self.database.known = opened.ok().map(|status| Position { epoch: status.epoch, sequence: status.head });
    }

    /// The state of a key, as it is at this moment.
    pub fn seal(&self, config: &Config, key: usize) -> Record {
        let (row, scope) = (&self.database.keys[key], &self.database.scope);
        Record {
            version: row.version,
            sealed_at: Timestamp::from_millis(self.moment(config)),
            good: row.good && !row.revoked && !scope.disabled,
            scope: config.with_scope.then_some((SCOPE, scope.generation)),
        }
    }

    /// The moment, as it is written down.
    pub const fn moment(&self, config: &Config) -> i64 {
        if config.ages_matter { self.now } else { 0 }
    }

    pub const fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Does something with a feed, by its own rules.
    pub fn with_feed<T>(
        &mut self,
        config: &Config,
        number: usize,
        ask: impl FnOnce(&mut feed::Feed<'_, MemoryFeed>) -> T,
    ) -> T {
        let fresh = Epoch(self.fresh);
        let feed = &mut self.feeds[number];
        let answer = ask(&mut feed::Feed::new(feed, fresh, config.feed_rules).keeping(config.kept));
        if feed.status.is_some_and(|status| status.epoch == fresh) {
            self.fresh += 1;
        }
        answer
    }
}

impl Config {
    fn has_moving(&self) -> bool {
        self.scripts.iter().flatten().any(|command| *command == Command::MoveFeed)
    }
}

impl Edge {
    pub fn new(config: &Config) -> Self {
        let isolate = Isolate::new(config.limits, config.rules);
        Self { isolate, behind: 0, flights: vec![], look_ups: vec![], polls_left: config.polls }
    }
}
