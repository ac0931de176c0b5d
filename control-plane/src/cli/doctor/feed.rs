use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::StatusCode;
use shared::{
    Timestamp,
    feed::{ENTRIES_MAX, Position, RECORD_AGE_MILLIS, State, wire::Report},
};

use super::findings::{Finding, Findings};
use crate::{
    clock::Clock,
    config::{Config, EdgeConfig},
    edge::{
        feed::{FeedClient, FeedError},
        kv::http_client,
    },
    service::Database,
    storage::{self, Conn, Db, feed, reseal},
    tasks::{reseal::LATE_AFTER_MILLIS, restore::Restorer},
};

/// A change that has waited longer than this, in seconds, is not being published.
pub(super) const STUCK_AFTER: i64 = 120;
/// From so many hundredths of its entries on, a feed is nearly full.
const NEARLY_FULL: u64 = 80;
/// How long a server on this machine may take to say that it is there.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// What the feed says of itself, and what the database knows of it.
struct Seen {
    report: Report,
    noted: Option<Position>,
    /// Of the next changes that the feed has beyond that position, how many the database has not.
    newer: usize,
    /// Whether a server answers on this machine, and where it was asked.
    serving: bool,
    listen: SocketAddr,
}

/// Whether the feed has all that it must have, and the store has no record that is too old.
pub(super) async fn in_database(mut conn: Conn<'_>, now: Timestamp, findings: &mut Findings) -> storage::Result<()> {
    let oldest_unfed = feed::oldest_unfed(conn.reborrow()).await?;
    findings.extend(unfed(oldest_unfed, now));
    let oldest_seal = reseal::oldest_seal(conn).await?;
    findings.extend(oldest_seal.map(|oldest| sealed(oldest, now)));
    Ok(())
}

fn unfed(oldest: Option<Timestamp>, now: Timestamp) -> Option<Finding> {
    let seconds = (now.as_millis() - oldest?.as_millis()) / 1000;
    (seconds >= STUCK_AFTER).then(|| {
        Finding::error(
            "feed_publisher_stuck",
            format!("a change has been waiting for {seconds} s to be appended to the change feed"),
            "check that `latchkey serve` runs with these settings; its log says why it cannot append to the feed",
        )
    })
}

fn sealed(oldest: Timestamp, now: Timestamp) -> Finding {
    let age = now.as_millis() - oldest.as_millis();
    let hours = age / (60 * 60 * 1000);
    let what = format!("the oldest record of the edge was sealed {hours} h ago");
    if age < LATE_AFTER_MILLIS {
        return Finding::ok("records_sealed", what);
    }
    let consequence = if age < RECORD_AGE_MILLIS {
        "at 168 h the edge refuses to decide on it"
    } else {
        "the edge no longer decides on it"
    };
    Finding::error(
        "records_too_old",
        format!("{what}: {consequence}"),
        "check that `latchkey serve`, which reseals records, runs with these settings; `latchkey edge sync` reseals \
         them now",
    )
}

/// Checks the feed, through the Worker.
pub(super) async fn ask(config: &Config, edge: &EdgeConfig, db: Option<&Db>, findings: &mut Findings) {
    let client = match FeedClient::new(edge) {
        Ok(client) => client,
        Err(error) => {
            return findings.add(Finding::error("edge_settings_invalid", format!("{error:#}"), "correct them"));
        }
    };
    let report = match client.status().await {
        Ok(report) => report,
        Err(error) => return findings.add(unanswered(&error)),
    };
    let mut seen = Seen { report, noted: None, newer: 0, serving: false, listen: config.listen };
    if let Some(db) = db {
        match compare(db, &client, edge).await {
            Ok((noted, newer)) => (seen.noted, seen.newer) = (noted, newer),
            Err(error) => {
                let message = format!("the change feed cannot be compared with the database: {error:#}");
                findings.add(Finding::error("feed_not_compared", message, "try again"));
            }
        }
    }
    if seen.report.status.state != State::Open || seen.newer > 0 {
        seen.serving = is_serving(config.listen).await;
    }
    findings.extend(judge(&seen));
}

async fn compare(db: &Db, feed: &FeedClient, edge: &EdgeConfig) -> anyhow::Result<(Option<Position>, usize)> {
    let database = &Database::without_edge(db.clone());
    let restorer = Restorer { db, database, clock: &Clock::system(), feed, secrets: &edge.secrets };
    let noted = feed::position(db.read().await?.conn()).await?;
    Ok((noted, restorer.count_newer(noted).await?))
}

fn unanswered(error: &FeedError) -> Finding {
    let what_to_do = match error {
        FeedError::Refused { status: StatusCode::NOT_FOUND, .. } => {
            "the deployed Worker has no change feed: deploy the Worker of this version"
        }
        FeedError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. } => {
            "check that the Worker has the Durable Object of wrangler.toml; `wrangler tail` shows why it fails"
        }
        FeedError::Refused { .. } | FeedError::Unreadable => {
            "check that LATCHKEY_EDGE_URL is the Worker's address, and that the Worker is of this version"
        }
        FeedError::Unreachable(_) => "check that LATCHKEY_EDGE_URL can be reached from here",
    };
    Finding::error("feed_unavailable", format!("{error}; changes do not reach the edge"), what_to_do)
}

fn judge(seen: &Seen) -> Vec<Finding> {
    let mut findings = vec![state(seen)];
    findings.extend(room(seen));
    findings.extend(position(seen));
    findings
}

fn state(seen: &Seen) -> Finding {
    let entries = seen.report.entries;
    match seen.report.status.state {
        State::Open => Finding::ok("feed_open", format!("the change feed is open; entries: {entries}")),
        State::Closed => Finding::error(
            "feed_closed",
            "the change feed is closed, so the edge accepts no key: it is new or has lost data, and must first be \
             reseeded with the changes of the last week",
            if seen.serving {
                "`latchkey serve` reseeds it within seconds: run this again, and if it is still closed, check the log \
                 of `serve`"
                    .to_owned()
            } else {
                format!(
                    "`latchkey serve` reseeds it, but no server responds at {} on this machine: start it with these \
                     settings",
                    seen.listen
                )
            },
        ),
        State::Retired => Finding::error(
            "feed_retired",
            "the change feed is retired, so the edge accepts no key",
            "deploy the Worker with another FEED_NAME; a retired feed cannot be opened again",
        ),
    }
}

fn room(seen: &Seen) -> Option<Finding> {
    let entries = seen.report.entries;
    (entries >= ENTRIES_MAX / 100 * NEARLY_FULL).then(|| {
        Finding::error(
            "feed_nearly_full",
            format!("the change feed is nearly full: {entries} of {ENTRIES_MAX} entries"),
            "make fewer changes to single keys in a week: deleting an organization or a permission takes one entry for \
             all its keys. A full feed accepts no changes, so calls that change keys return 503 until older entries \
             expire",
        )
    })
}

fn position(seen: &Seen) -> Option<Finding> {
    let status = seen.report.status;
    let noted = seen.noted.filter(|noted| noted.epoch == status.epoch);
    if noted.is_some_and(|noted| noted.sequence > status.head) {
        return Some(Finding::error(
            "feed_lost_changes",
            "the change feed has lost data: the database has recorded a later change than the feed has",
            "check that `latchkey serve` runs with these settings: it closes the feed and reseeds it",
        ));
    }
    (seen.newer > 0).then(|| {
        Finding::error(
            "database_behind_feed",
            format!(
                "the change feed has {} changes that the database lacks: the database was restored from a backup, or \
                 it belongs to another installation",
                seen.newer
            ),
            if seen.serving {
                "if it was restored while `latchkey serve` was running, restart `serve`: it first applies the newer \
                 changes"
            } else {
                "start `latchkey serve`: it first applies the newer changes, so that no revoked key works again"
            },
        )
    })
}

/// Whether a server answers where these settings let it listen.
async fn is_serving(listen: SocketAddr) -> bool {
    let host = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}/health", SocketAddr::new(host, listen.port()));
    let Ok(client) = http_client(SERVER_TIMEOUT) else { return false };
    client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

#[cfg(test)]
mod tests {
    use shared::feed::{Epoch, Status};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn seen(state: State) -> Seen {
        let status = Status { epoch: Epoch(7), state, head: 10, trimmed: 0 };
        Seen {
            report: Report { status, entries: 10, bytes: 1000 },
            noted: Some(Position { epoch: Epoch(7), sequence: 10 }),
            newer: 0,
            serving: false,
            listen: "127.0.0.1:8787".parse().unwrap(),
        }
    }

    fn wrong(findings: &[Finding]) -> Vec<String> {
        let of = |finding: &Finding| Some(format!("{} → {}", finding.message, finding.advice.as_ref()?));
        findings.iter().filter_map(of).collect()
    }

    #[test]
    fn an_open_feed_is_well() {
        assert_eq!(judge(&seen(State::Open)), [Finding::ok("feed_open", "the change feed is open; entries: 10")]);
        let never_noted = Seen { noted: None, ..seen(State::Open) };
        assert_eq!(wrong(&judge(&never_noted)), [""; 0]);
    }

    #[test]
    fn whatever_stops_the_edge_is_said_with_what_helps() {
        let closed = wrong(&judge(&seen(State::Closed)));
        assert!(closed[0].contains("no server responds at 127.0.0.1:8787"), "{closed:?}");
        let being_seeded = wrong(&judge(&Seen { serving: true, ..seen(State::Closed) }));
        assert!(being_seeded[0].contains("within seconds"), "{being_seeded:?}");
        let retired = wrong(&judge(&seen(State::Retired)));
        assert!(retired[0].contains("another FEED_NAME"), "{retired:?}");
    }

    #[test]
    fn a_feed_or_a_database_that_has_fallen_back_is_told() {
        let position = |sequence| Some(Position { epoch: Epoch(7), sequence });
        let fallen_back = wrong(&judge(&Seen { noted: position(11), ..seen(State::Open) }));
        assert!(fallen_back[0].contains("the change feed has lost data"), "{fallen_back:?}");
        let restored = wrong(&judge(&Seen { noted: position(3), newer: 2, ..seen(State::Open) }));
        assert!(restored[0].contains("2 changes that the database lacks"), "{restored:?}");
        let busy = wrong(&judge(&Seen { noted: position(3), ..seen(State::Open) }));
        assert_eq!(busy, [""; 0], "changes that were not noted yet are no harm");
    }

    #[test]
    fn a_feed_is_nearly_full_before_it_is_full() {
        let with = |entries| {
            let mut seen = seen(State::Open);
            seen.report.entries = entries;
            wrong(&judge(&seen)).len()
        };
        assert_eq!((with(319_999), with(320_000)), (0, 1));
    }

    #[test]
    fn what_waits_or_grows_old_is_told_in_time() {
        let ago = |millis: i64| NOW.plus_millis(-millis);
        assert_eq!(unfed(None, NOW), None);
        assert_eq!(unfed(Some(ago(119_999)), NOW), None);
        assert!(unfed(Some(ago(120_000)), NOW).unwrap().message.contains("120 s"));
        assert_eq!(sealed(ago(LATE_AFTER_MILLIS - 1), NOW).advice, None);
        let late = sealed(ago(LATE_AFTER_MILLIS), NOW);
        assert!(late.message.contains("at 168 h") && late.advice.unwrap().contains("edge sync"), "{}", late.message);
        assert!(sealed(ago(RECORD_AGE_MILLIS), NOW).message.contains("no longer"));
    }
}
