use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use shared::feed::{ENTRIES_MAX, State, wire::Report};

use crate::{
    clock::{Clock, Stopwatch},
    config::{Config, EdgeConfig},
    edge::{
        feed::FeedClient,
        feeder::Feeder,
        flush::Flusher,
        kv::Kv,
        sync,
        verify::{self, Comparison, Difference},
    },
    service::Database,
    storage::{Db, feed},
    tasks::{reseed, restore::Restorer},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compare Workers KV with the database. Exits with code 1 if they differ.
    Verify,
    /// Write the record of every key to Workers KV, and reseal the change feed. Resumes an interrupted run.
    Sync {
        /// Start over instead of resuming an interrupted run.
        #[arg(long)]
        restart: bool,
        /// Also remove the records of keys that are not in the database.
        #[arg(long)]
        prune: bool,
    },
    /// Show the state of the change feed.
    Status,
    /// Retire the change feed permanently, before you deploy a Worker with another one.
    ///
    /// The edge accepts no key until that Worker is deployed.
    Retire {
        /// Confirm that the change feed is to be retired.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config, db: &Db) -> anyhow::Result<()> {
    let edge = config.edge()?.context(NO_EDGE)?;
    match command {
        Command::Verify => verify(edge, db).await,
        Command::Sync { restart, prune } => sync(&mut feeder(config, db)?, edge, db, restart, prune).await,
        Command::Status => status(&edge, db).await,
        Command::Retire { yes } => retire(&edge, yes).await,
    }
}

const NO_EDGE: &str = "no edge is configured: set LATCHKEY_EDGE_KV_URL, LATCHKEY_EDGE_KV_NAMESPACE, \
    LATCHKEY_EDGE_KV_TOKEN, LATCHKEY_EDGE_SECRET and LATCHKEY_EDGE_URL";

fn feeder(config: &Config, db: &Db) -> anyhow::Result<Feeder> {
    Feeder::new(config.edge()?.context(NO_EDGE)?, db.clone(), Clock::system())
}

async fn status(edge: &EdgeConfig, db: &Db) -> anyhow::Result<()> {
    let Report { status, entries, bytes } = FeedClient::new(edge)?.status().await?;
    let noted = match feed::position(db.read().await?.conn()).await? {
        None => "none yet".to_owned(),
        Some(noted) if noted.epoch == status.epoch => noted.sequence.to_string(),
        Some(noted) => format!("{} of epoch {}", noted.sequence, noted.epoch.0),
    };
    for (name, value) in [
        ("change feed", status.state.as_str().to_owned()),
        ("epoch", status.epoch.0.to_string()),
        ("last change", status.head.to_string()),
        ("  recorded in the database", noted),
        ("trimmed up to", status.trimmed.to_string()),
        ("entries", format!("{entries} of {ENTRIES_MAX}")),
        ("bytes", bytes.to_string()),
    ] {
        print_line!("{name:<28} {value}");
    }
    if status.state != State::Open {
        print_line!("The edge accepts no key until the change feed is open. `latchkey doctor` says what to do.");
    }
    Ok(())
}

async fn retire(edge: &EdgeConfig, yes: bool) -> anyhow::Result<()> {
    if !yes {
        bail!(
            "a retired change feed cannot be opened again, and the edge accepts no key until you deploy a Worker with \
             another FEED_NAME; to confirm, pass --yes"
        );
    }
    let report = FeedClient::new(edge)?.retire().await?;
    print_line!(
        "Retired the change feed of epoch {}. Now deploy the Worker with another FEED_NAME.",
        report.status.epoch.0
    );
    Ok(())
}

async fn sync(feeder: &mut Feeder, edge: EdgeConfig, db: &Db, restart: bool, prune: bool) -> anyhow::Result<()> {
    let clock = Clock::system();
    let namespace = edge.kv_namespace.clone();
    take_over(&edge, feeder, db, &clock).await?;
    let mut flusher = Flusher::new(edge, db.clone(), clock.clone())?;
    let start = sync::start(db, &clock, &namespace, restart).await?;
    if let Some(interrupted) = start.resumes {
        eprintln!("Resuming the run that was interrupted at {interrupted}. To start over, use --restart.");
    }
    let mut progress = Progress::new("Writing records", Some(start.keys));
    let rebuilt = sync::run(db, &clock, feeder, &mut flusher, &namespace, start, |done| progress.set(done)).await?;
    progress.finish();
    print_line!("Queued {} keys and wrote {} records.", rebuilt.queued, rebuilt.written);
    if rebuilt.written + rebuilt.waiting < rebuilt.queued {
        print_line!("The running `latchkey serve` wrote the others.");
    }
    seal_feed_anew(feeder, db, &clock).await?;
    if prune {
        let removed = sync::prune(db, flusher.kv()).await?;
        print_line!("Removed {removed} records of keys that are not in the database.");
    }
    ensure!(
        rebuilt.waiting == 0,
        "{} records are still waiting, because KV does not accept them; `latchkey serve` keeps trying. Run this \
         command again",
        rebuilt.waiting
    );
    Ok(())
}

/// A database that was restored from a backup must not be written over what the edge knows better.
async fn take_over(edge: &EdgeConfig, feeder: &Feeder, db: &Db, clock: &Clock) -> anyhow::Result<()> {
    let database = &Database::without_edge(db.clone());
    let restorer = Restorer { db, database, clock, feed: feeder.client(), secrets: &edge.secrets };
    match restorer.catch_up(&Kv::new(edge, clock.clone())?).await {
        Ok(restored) if restored.changes() > 0 => {
            let changes = restored.changes();
            print_line!("The database was restored from a backup: applied {changes} changes from the change feed.");
        }
        Ok(_) => {}
        Err(error) if feed::position(db.read().await?.conn()).await?.is_none() => {
            tracing::warn!(
                error = format!("{error:#}"),
                "skipped comparing the database with the change feed, which has never been reached"
            );
        }
        Err(error) => return Err(error.context("cannot compare the database with the change feed; wrote nothing")),
    }
    Ok(())
}

/// What the feed holds may have been sealed with a secret that is to be replaced.
async fn seal_feed_anew(feeder: &mut Feeder, db: &Db, clock: &Clock) -> anyhow::Result<()> {
    match reseed::tell_all(db, feeder, clock.now()).await {
        Ok((_, told)) => print_line!("Resealed {told} entries of the change feed."),
        Err(error) if feed::position(db.read().await?.conn()).await?.is_none() => {
            tracing::warn!(%error, "skipped resealing the change feed, which has never been reached");
        }
        Err(error) => return Err(anyhow!(error).context("failed to reseal the change feed; run this command again")),
    }
    Ok(())
}

async fn verify(edge: EdgeConfig, db: &Db) -> anyhow::Result<()> {
    let clock = Clock::system();
    let kv = Kv::new(&edge, clock.clone())?;
    let mut progress = Progress::new("Comparing", None);
    let comparison = Comparison { db, clock: &clock, kv: &kv, secrets: &edge.secrets };
    let report = comparison.run(|looked_at| progress.set(looked_at)).await?;
    progress.finish();
    print!("{}", table(&report));
    if report.is_clean() {
        return Ok(());
    }
    bail!("{}", advice(&report));
}

fn table(report: &verify::Report) -> String {
    let mut rows = vec![
        ("keys in the database", report.keys, String::new()),
        ("records in KV", report.records, String::new()),
        ("waiting to be published", report.waiting, String::new()),
    ];
    rows.extend(report.differences().map(|(name, difference)| (name, difference.count, examples(difference))));
    let lines = rows.into_iter().map(|(name, count, examples)| format!("{name:<24} {count:>10}  {examples}"));
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn examples(difference: &Difference) -> String {
    let mut examples = difference.examples.clone();
    if usize::try_from(difference.count).is_ok_and(|count| count > examples.len()) {
        examples.push("…".to_owned());
    }
    examples.join(", ")
}

/// What to do about each difference that there is.
fn advice(report: &verify::Report) -> String {
    let mut advice = vec!["Workers KV differs from the database"];
    if report.missing.count + report.stale.count > 0 {
        advice.push(
            "`latchkey edge sync` writes missing and stale records (KV can lag by a minute: run `latchkey edge verify` \
             again first)",
        );
    }
    if report.unreadable.count > 0 {
        advice.push(
            "unreadable records were sealed with another LATCHKEY_EDGE_SECRET or tampered with; `latchkey edge sync` \
             replaces them",
        );
    }
    if report.newer.count > 0 {
        advice.push(
            "if records are newer than the database, it was restored from a backup: start `latchkey serve`, which \
             applies the last week's changes from the change feed, and repeat older changes before you run `latchkey \
             edge sync`",
        );
    }
    if report.unknown.count > 0 {
        advice.push(
            "`latchkey edge sync --prune` removes unknown records; do not use it if another installation shares the \
             namespace",
        );
    }
    advice.join("\n- ")
}

/// A bar on a terminal, and otherwise a line now and then. Both go to standard error.
struct Progress {
    what: &'static str,
    bar: ProgressBar,
    total: Option<u64>,
    since_last_line: Stopwatch,
}

impl Progress {
    const A_LINE_EACH: Duration = Duration::from_secs(5);

    fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(style("{msg} {wide_bar} {human_pos}/{human_len} {eta}")),
            None => ProgressBar::no_length().with_style(style("{spinner} {msg} {human_pos} {elapsed}")),
        };
        Self { what, bar: bar.with_message(what), total, since_last_line: Stopwatch::start() }
    }

    fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.since_last_line.elapsed() >= Self::A_LINE_EACH {
            let of_total = self.total.map_or_else(String::new, |total| format!(" of {total}"));
            eprintln!("{}: {done}{of_total}", self.what);
            self.since_last_line = Stopwatch::start();
        }
    }

    fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
