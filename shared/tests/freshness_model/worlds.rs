//! The worlds that are explored whole, and those in which one rule is missing.

use std::time::{Duration, Instant};

use stateright::{Checker, Model};

use crate::{
    steps::NEVER_WRONG,
    world::{Command, Config},
};

#[expect(clippy::disallowed_methods, reason = "how long a search took is said, and nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}

/// Explores a world. Returns the steps to what goes wrong, if anything does.
fn explore(config: &Config, limit: Duration) -> Option<Vec<String>> {
    let started = now();
    let checker = config.clone().checker().threads(2).timeout(limit).spawn_bfs().join();
    let took = started.elapsed();
    let path = checker.discovery(NEVER_WRONG);
    let exhausted = path.is_none() && took < limit;
    println!(
        "{:<28} {:>9} states, {:>8} unique, depth {:>2}, {:>5.1} s, exhausted: {}",
        config.name,
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        took.as_secs_f64(),
        if exhausted { "yes" } else { "no" },
    );
    path.map(|path| path.into_actions().iter().map(|action| format!("{action:?}")).collect())
}


const SECONDS: Duration = Duration::from_secs(25);

fn two_polls() -> Config {
    Config { polls_under_way: 2, ..Config::new("two polls in flight") }
}

fn look_ups() -> Config {
    Config { look_ups: 2, polls: 2, scripts: vec![vec![Command::Narrow(0), Command::Revoke(0)]], ..Config::new("look-ups in flight, KV stale") }
}

fn small_pages() -> Config {
    Config { page: 1, polls: 4, keys: (2, 2), horizon: 3, scripts: vec![vec![Command::Revoke(0)], vec![Command::Revoke(1)]], ..Config::new("page size 1") }
}

fn restart() -> Config {
    Config { scripts: vec![vec![Command::Revoke(0)], vec![Command::Restart(0)]], ..Config::new("restart") }
}

fn feed_lost() -> Config {
    Config { scripts: vec![vec![Command::Revoke(0)], vec![Command::LoseFeed]], ..Config::new("feed lost") }
}

fn feed_lost_twice() -> Config {
    Config { polls: 2, horizon: 3, scripts: vec![vec![Command::Revoke(0)], vec![Command::LoseFeed, Command::LoseFeed]], ..Config::new("feed lost twice") }
}

fn feed_restored() -> Config {
    Config { scripts: vec![vec![Command::Revoke(0)], vec![Command::BackupFeed, Command::RestoreFeed]], ..Config::new("feed restored") }
}

fn feed_moved() -> Config {
    Config { isolates: 2, polls: 2, horizon: 3, scripts: vec![vec![Command::Revoke(0)], vec![Command::MoveFeed]], ..Config::new("feed moved") }
}

fn database_restored() -> Config {
    Config { ages_matter: true, polls: 2, scripts: vec![vec![Command::Revoke(0), Command::Narrow(0)], vec![Command::Backup, Command::RestoreDatabase]], ..Config::new("database restored") }
}

fn two_publishers() -> Config {
    Config { idle_reads: 2, polls: 2, scripts: vec![vec![Command::Narrow(0), Command::Revoke(0)]], ..Config::new("two publishers") }
}

fn two_publishers_widen() -> Config {
    Config { idle_reads: 2, polls: 2, scripts: vec![vec![Command::Widen(0), Command::Narrow(0)]], ..Config::new("two publishers, changes") }
}

fn scopes() -> Config {
    Config { with_scope: true, scripts: vec![vec![Command::DisableScope]], ..Config::new("scope entries") }
}

fn relay() -> Config {
    Config { with_relay: true, polls: 2, ..Config::new("relay") }
}

fn ages() -> Config {
    let base = Config::new("ages and trimming");
    Config {
        ages_matter: true,
        horizon: 6,
        polls: 3,
        limits: shared::freshness::Limits { record_age: 2, ..base.limits },
        kept: shared::feed::Kept { change: 3, creation: 1 },
        scripts: vec![vec![Command::Revoke(0)]],
        ..base
    }
}

fn clock() -> Config {
    let base = Config::new("clock set back");
    Config { horizon: 5, limits: shared::freshness::Limits { lease: 2, margin: 1, ..base.limits }, scripts: vec![vec![Command::Revoke(0)], vec![Command::ClockBack(0, 2)]], ..base }
}

fn clock_slip() -> Config {
    let base = Config::new("clock slips");
    Config { horizon: 5, limits: shared::freshness::Limits { lease: 2, margin: 1, ..base.limits }, scripts: vec![vec![Command::Revoke(0)], vec![Command::ClockSlip(0)]], ..base }
}

fn creation() -> Config {
    let base = Config::new("creation");
    Config { horizon: 5, ages_matter: true, keys: (0, 1), absence_matters: true, kept: shared::feed::Kept { change: 100, creation: 3 }, scripts: vec![vec![Command::Create(0)]], ..base }
}

fn creation_feed_lost() -> Config {
    let base = Config::new("creation, feed lost");
    Config { horizon: 4, ages_matter: true, keys: (0, 1), absence_matters: true, kept: shared::feed::Kept { change: 100, creation: 3 }, scripts: vec![vec![Command::Create(0)], vec![Command::LoseFeed]], ..base }
}

fn marks_by_row() -> Config {
    let base = Config::new("marks by row");
    Config { horizon: 4, ages_matter: true, keys: (0, 1), marks_by_row: true, polls: 2, idle_reads: 1, kept: shared::feed::Kept { change: 100, creation: 1 }, scripts: vec![vec![Command::Create(0), Command::Narrow(0)]], ..base }
}

fn all() -> Vec<Config> {
    vec![
        two_polls(), look_ups(), small_pages(), restart(), feed_lost(), feed_lost_twice(), feed_restored(), feed_moved(), database_restored(),
        two_publishers(), two_publishers_widen(), scopes(), relay(), ages(), clock(), clock_slip(), creation(), creation_feed_lost(), marks_by_row(),
    ]
}

#[test]
fn every_small_world_is_right() {
    let only = std::env::var("ONLY").ok();
    for config in all().into_iter().filter(|config| only.as_ref().is_none_or(|only| config.name.contains(only))) {
        if let Some(path) = explore(&config, SECONDS) {
            println!("  WRONG after {} steps: {path:?}", path.len());
        }
    }
}
