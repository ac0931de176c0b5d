//! The worlds that are explored whole, and those in which one rule is missing.

use std::{
    fmt::Arguments,
    io::Write,
    iter,
    num::NonZero,
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use shared::{
    feed::{self, Kept},
    freshness::{self, Limits},
};
use stateright::{Checker, Model};

use crate::{
    steps::{Action, NEVER_WRONG},
    world::{Command, Config, Duties},
};

/// How long a deep run may take for one world, which need not be explored whole. The small worlds have no such limit: they are
/// explored whole, however busy the machine is.
const DEEP_LIMIT: Duration = Duration::from_secs(120);
/// Where a search stops, so that the states fit into memory.
const STATES_MAX: usize = 12_000_000;

#[expect(clippy::disallowed_methods, reason = "how long a search took is said, and nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}

/// Past the test harness, which would keep it to itself when the test succeeds.
fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a search came to.
struct Search {
    exhausted: bool,
    /// The shortest way to what goes wrong.
    path: Option<Vec<Action>>,
    /// A line for people.
    report: String,
}

fn search(config: &Config, limit: Option<Duration>) -> Search {
    let started = now();
    let checker = config.clone().checker().target_state_count(STATES_MAX);
    let checker = limit.into_iter().fold(checker, stateright::CheckerBuilder::timeout).spawn_bfs().join();
    let (took, states) = (started.elapsed(), checker.state_count());
    let path = checker.discovery(NEVER_WRONG).map(stateright::Path::into_actions);
    let exhausted = path.is_none() && limit.is_none_or(|limit| took < limit) && states < STATES_MAX;
    let (unique, depth, seconds) = (checker.unique_state_count(), checker.max_depth(), took.as_secs_f64());
    let report = format!("{states:>9} states, {unique:>8} unique, depth {depth:>2}, {seconds:>5.1} s");
    Search { exhausted, path, report }
}

/// Looks at each world, at as many at the same time as there are processors: a search has one thread, because with more it finds
/// another path each time.
fn of_each<W: Sync, T: Send>(worlds: &[W], look: impl Fn(&W) -> Option<T> + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let look_at_some = || {
        let mine = iter::from_fn(|| worlds.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.filter_map(&look).collect::<Vec<T>>()
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(look_at_some)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
            .collect()
    })
}

fn revoke() -> Vec<Command> {
    vec![Command::Revoke(0)]
}

fn two_polls() -> Config {
    Config { polls_under_way: 2, ..Config::new("two polls in flight") }
}

fn look_ups() -> Config {
    let scripts = vec![vec![Command::Narrow(0), Command::Revoke(0)]];
    Config { look_ups: 2, polls: 2, horizon: 3, scripts, ..Config::new("look-ups in flight, KV stale") }
}

fn two_isolates() -> Config {
    Config { isolates: 2, polls: 2, horizon: 2, ..Config::new("two isolates") }
}

fn small_pages() -> Config {
    let scripts = vec![revoke(), vec![Command::Revoke(1)]];
    Config { page: 1, keys: (2, 2), horizon: 2, scripts, ..Config::new("page size 1") }
}

fn restart() -> Config {
    Config { scripts: vec![revoke(), vec![Command::Restart(0)]], ..Config::new("restart") }
}

fn feed_lost() -> Config {
    Config { scripts: vec![revoke(), vec![Command::LoseFeed]], ..Config::new("feed lost") }
}

fn feed_lost_polls() -> Config {
    Config { polls_under_way: 2, horizon: 2, ..feed_lost().named("feed lost, two polls in flight") }
}

fn feed_lost_twice() -> Config {
    let scripts = vec![revoke(), vec![Command::LoseFeed, Command::LoseFeed]];
    Config { polls: 2, horizon: 3, scripts, ..Config::new("feed lost twice") }
}

fn feed_restored() -> Config {
    let scripts = vec![revoke(), vec![Command::BackupFeed, Command::RestoreFeed]];
    Config { scripts, ..Config::new("feed restored") }
}

fn feed_moved() -> Config {
    Config { polls: 2, scripts: vec![revoke(), vec![Command::MoveFeed]], ..Config::new("feed moved, older Worker") }
}

fn feed_moved_newer() -> Config {
    Config { polled_feed: 1, ..feed_moved().named("feed moved, newer Worker") }
}

/// Small times: R is 2, and changes stay for 3.
fn aging(config: Config) -> Config {
    let limits = Limits { record_age: 2, ..config.limits };
    Config { ages_matter: true, limits, kept: Kept { change: 3, creation: 1 }, ..config }
}

fn ages() -> Config {
    aging(Config { horizon: 5, polls: 2, ..Config::new("ages and trimming") })
}

fn database_restored() -> Config {
    let scripts = vec![vec![Command::Backup, Command::RestoreDatabase, Command::Widen(0)], revoke()];
    Config { polls: 2, horizon: 2, idle_reads: 1, scripts, ..Config::new("database restored") }
}

/// The tombstone leaves the feed at last, and the key must be dead even then.
fn database_restored_long_ago() -> Config {
    let script = vec![Command::Backup, Command::Revoke(0), Command::RestoreDatabase];
    let prologue = vec![Action::Command(0), Action::Command(0), Action::Read(0), Action::Append(0)];
    let config = Config { idle_reads: 1, scripts: vec![script], prologue, ..Config::new("database restored long ago") };
    aging(Config { polls: 2, ..config })
}

/// In which the feed alone keeps a key dead that a restored database thinks alive.
fn database_restored_carelessly() -> Config {
    let duties = Duties { tombstones_before_publishing: false, ..Duties::ALL };
    Config { duties, ..database_restored().named("database restored, no tombstones") }
}

fn two_publishers() -> Config {
    let scripts = vec![vec![Command::Narrow(0), Command::Revoke(0)]];
    Config { idle_reads: 2, polls: 2, horizon: 3, scripts, ..Config::new("two publishers") }
}

fn two_publishers_alive() -> Config {
    let scripts = vec![vec![Command::Widen(0), Command::Narrow(0)]];
    Config { horizon: 2, scripts, ..two_publishers().named("two publishers, key stays alive") }
}

/// A narrowing is in the feed already. What supersedes it comes from a process whose clock is behind.
fn slow_publisher() -> Config {
    let scripts = vec![vec![Command::Narrow(0), Command::WidenBehind(0, 3)]];
    let prologue = vec![Action::Command(0), Action::Read(0), Action::Append(0)];
    aging(Config { scripts, prologue, polls: 2, ..Config::new("publisher with a slow clock") })
}

fn scopes() -> Config {
    Config { with_scope: true, scripts: vec![vec![Command::DisableScope]], ..Config::new("scope entries") }
}

fn scopes_and_keys() -> Config {
    let scripts = vec![vec![Command::DisableScope], vec![Command::Widen(0)], vec![Command::Restart(0)]];
    Config { polls: 2, horizon: 3, scripts, ..scopes().named("scope entries, restart, changes") }
}

fn relay() -> Config {
    Config { with_relay: true, ..Config::new("relay") }
}

/// A lease of 2, of which 1 is margin.
fn with_margin(config: Config) -> Config {
    Config { horizon: 5, limits: Limits { lease: 2, margin: 1, ..config.limits }, ..config }
}

fn clock_back() -> Config {
    let scripts = vec![revoke(), vec![Command::ClockBack(0, 2)]];
    with_margin(Config { scripts, ..Config::new("clock set back") })
}

fn clock_slip() -> Config {
    let scripts = vec![revoke(), vec![Command::ClockSlip(0)]];
    with_margin(Config { scripts, ..Config::new("clock slips within the margin") })
}

/// A key that is new must be found.
fn creation() -> Config {
    let config = Config {
        horizon: 5,
        polls: 2,
        keys: (0, 1),
        scripts: vec![vec![Command::Create(0)]],
        ..Config::new("creation")
    };
    Config {
        ages_matter: true,
        requests_end: true,
        absence_matters: true,
        kept: Kept { change: 100, creation: 4 },
        ..config
    }
}

fn creation_feed_lost() -> Config {
    let scripts = vec![vec![Command::Create(0)], vec![Command::LoseFeed]];
    Config { horizon: 3, scripts, ..creation().named("creation, feed lost") }
}

/// The feed had come further than its next life will, when it knew nothing of the key.
fn creation_after_many_changes() -> Config {
    let history = [Command::Narrow(0), Command::Widen(0), Command::Narrow(0), Command::Widen(0)];
    let published = [Action::Command(0), Action::Read(0), Action::Append(0)];
    let polled = [Action::SendPoll(0), Action::AnswerPoll(0, 0), Action::Arrive(0, 0)];
    // The feed's answer comes when the lease has ended, so the look-up waits for a poll.
    let asked =
        [Action::LookUp(0, 1), Action::StoreAnswers(0, 0, None), Action::Tick, Action::Tick, Action::FeedAnswers(0, 0)];
    let prologue = published.repeat(history.len()).into_iter().chain(polled).chain(asked).collect();
    Config {
        prologue,
        scripts: vec![history.to_vec(), vec![Command::Create(1)], vec![Command::LoseFeed]],
        keys: (1, 2),
        requests_end: false,
        ..creation().named("creation after many changes, feed lost")
    }
}

fn change_after_creation() -> Config {
    let scripts = vec![vec![Command::Create(0), Command::Narrow(0)]];
    Config { horizon: 2, keys: (0, 1), polls: 2, idle_reads: 1, scripts, ..Config::new("change after creation") }
}

/// Where KV is up to date and nothing is ever too old, an isolate that was away must still drop what it cached.
fn away() -> Config {
    let kept = Kept { change: 2, creation: 1 };
    Config {
        ages_matter: true,
        kv_is_stale: false,
        requests_end: true,
        kept,
        ..Config::new("away while the feed is trimmed, KV fresh")
    }
}

fn away_feed_lost() -> Config {
    let scripts = vec![revoke(), vec![Command::LoseFeed]];
    Config { horizon: 3, scripts, ..away().named("away while the feed is lost, KV fresh") }
}

/// What superseded a floor is on the page after the one that lets the floor go.
fn floor_moves() -> Config {
    let script = [Command::Narrow(1), Command::Narrow(0), Command::Narrow(2), Command::Narrow(0)];
    let polled = [Action::SendPoll(0), Action::AnswerPoll(0, 0), Action::Arrive(0, 0)];
    let published = [
        [Action::Command(0), Action::Read(1), Action::Tick, Action::Read(0)],
        [Action::Command(0), Action::Read(0), Action::Append(2), Action::Append(0)],
    ];
    let prologue = published.concat().into_iter().chain([Action::Tick, Action::Tick]).chain(polled.repeat(2)).collect();
    let config = Config { page: 1, keys: (3, 3), polls: 4, ..Config::new("a floor moves to a later page") };
    let config = aging(Config { prologue, scripts: vec![script.to_vec()], ..config });
    Config { horizon: 3, idle_reads: 2, ..config }
}

impl Config {
    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn without(mut self, switch_off: impl FnOnce(&mut freshness::Rules)) -> Self {
        switch_off(&mut self.rules);
        self
    }

    fn feed_without(mut self, switch_off: impl FnOnce(&mut feed::Rules)) -> Self {
        switch_off(&mut self.feed_rules);
        self
    }

    fn neglecting(mut self, neglect: impl FnOnce(&mut Duties)) -> Self {
        neglect(&mut self.duties);
        self
    }
}

fn small_worlds() -> Vec<Config> {
    vec![
        two_polls(),
        look_ups(),
        small_pages(),
        restart(),
        feed_lost(),
        feed_lost_polls(),
        feed_lost_twice(),
        feed_restored(),
        feed_moved(),
        feed_moved_newer(),
        ages(),
        database_restored(),
        database_restored_long_ago(),
        database_restored_carelessly(),
        two_publishers(),
        two_publishers_alive(),
        slow_publisher(),
        scopes(),
        scopes_and_keys(),
        relay(),
        clock_back(),
        clock_slip(),
        creation(),
        creation_feed_lost(),
        change_after_creation(),
        away(),
        away_feed_lost(),
        floor_moves(),
        creation_after_many_changes(),
    ]
}

/// Each world lacks one rule.
fn wrong_worlds() -> Vec<(&'static str, Config)> {
    let relay_of_one = || Config { polls: 2, ..relay() };
    let no_margin = |mut config: Config| {
        config.limits.margin = 0;
        config
    };
    vec![
        ("complete_page_renews", small_pages().without(|rules| rules.complete_page_renews = false)),
        ("lease_from_sending", two_polls().without(|rules| rules.lease_from_sending = false)),
        ("age_is_subtracted", relay_of_one().without(|rules| rules.age_is_subtracted = false)),
        ("answer_fits_question", feed_lost_polls().without(|rules| rules.answer_fits_question = false)),
        ("reset_on_discontinuity", away_feed_lost().without(|rules| rules.reset_on_discontinuity = false)),
        (
            "straddling_is_discarded",
            creation_after_many_changes().without(|rules| rules.straddling_is_discarded = false),
        ),
        ("recheck_after_wait", two_polls().without(|rules| rules.recheck_after_wait = false)),
        ("floor_removes_older", two_polls().without(|rules| rules.floor_removes_older = false)),
        ("floor_is_needed", two_polls().without(|rules| rules.floor_is_needed = false)),
        ("record_age_is_checked", ages().without(|rules| rules.record_age_is_checked = false)),
        ("clock_step_ends_lease", clock_back().without(|rules| rules.clock_step_ends_lease = false)),
        ("scopes_apply", scopes().without(|rules| rules.scopes_apply = false)),
        ("scope_removes_lower", scopes().without(|rules| rules.scope_removes_lower = false)),
        ("lease_is_needed", two_polls().without(|rules| rules.lease_is_needed = false)),
        ("absence_is_current", creation().without(|rules| rules.absence_is_current = false)),
        ("lapse_voids_absences", creation().without(|rules| rules.lapse_voids_absences = false)),
        ("forgets_when_complete", floor_moves().without(|rules| rules.forgets_when_complete = false)),
        ("a margin of the clock", no_margin(clock_slip())),
        ("feed: newest_wins", two_publishers_alive().feed_without(|rules| rules.newest_wins = false)),
        ("feed: revoked_is_final", database_restored_carelessly().feed_without(|rules| rules.revoked_is_final = false)),
        ("feed: changes_are_kept", ages().feed_without(|rules| rules.changes_are_kept = false)),
        ("feed: kept_is_inherited", slow_publisher().feed_without(|rules| rules.kept_is_inherited = false)),
        ("reset_on_discontinuity (trimmed)", away().without(|rules| rules.reset_on_discontinuity = false)),
        ("feed: lower_head_closes", feed_restored().feed_without(|rules| rules.lower_head_closes = false)),
        ("feed: new_feed_is_closed", feed_lost().feed_without(|rules| rules.new_feed_is_closed = false)),
        ("feed: retired_refuses", feed_moved().feed_without(|rules| rules.retired_refuses = false)),
        ("feed: complete_is_the_end", small_pages().feed_without(|rules| rules.complete_is_the_end = false)),
        ("feed: open_names_epoch", feed_lost_twice().feed_without(|rules| rules.open_names_epoch = false)),
        (
            "duty: feed_before_acknowledgement",
            two_polls().neglecting(|duties| duties.feed_before_acknowledgement = false),
        ),
        ("duty: reseed_before_opening", feed_lost().neglecting(|duties| duties.reseed_before_opening = false)),
        (
            "duty: tombstones_before_publishing",
            database_restored_long_ago().neglecting(|duties| duties.tombstones_before_publishing = false),
        ),
        ("duty: retire_before_moving", feed_moved().neglecting(|duties| duties.retire_before_moving = false)),
        ("duty: mark_follows_state", change_after_creation().neglecting(|duties| duties.mark_follows_state = false)),
    ]
}

#[test]
fn nothing_goes_wrong_in_any_small_world() {
    let bad = of_each(&small_worlds(), |config| {
        let Search { exhausted, path, report } = search(config, None);
        let is_whole = if exhausted { "yes" } else { "no" };
        say(format_args!("{:<42} {report}, exhausted: {is_whole}", config.name));
        match path {
            Some(path) => Some(format!("{}: {path:?}", config.name)),
            None if !exhausted => Some(format!("{}: not explored whole", config.name)),
            None => None,
        }
    });
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn without_any_one_rule_something_goes_wrong() {
    let unneeded = of_each(&wrong_worlds(), |(rule, config)| {
        let Search { path, report, .. } = search(config, None);
        let steps = path.as_ref().map_or_else(|| "NOTHING WRONG".to_owned(), |path| format!("{:>2} steps", path.len()));
        say(format_args!("without {rule:<38} {steps}  {report}"));
        path.is_none().then_some(*rule)
    });
    assert!(unneeded.is_empty(), "not needed: {unneeded:?}");
}

/// Larger worlds, as far as time and memory go.
#[test]
fn nothing_goes_wrong_in_larger_worlds() {
    if std::env::var_os("LATCHKEY_TEST_DEEP").is_none() {
        return;
    }
    for config in small_worlds().into_iter().chain([two_isolates()]) {
        let larger = Config { horizon: config.horizon + 1, polls: config.polls + 1, look_ups: 2, ..config };
        let Search { exhausted, path, report } = search(&larger, Some(DEEP_LIMIT));
        let exhausted = if exhausted { "yes" } else { "no" };
        say(format_args!("larger: {:<42} {report}, exhausted: {exhausted}", larger.name));
        assert_eq!(path, None, "{}", larger.name);
    }
}
