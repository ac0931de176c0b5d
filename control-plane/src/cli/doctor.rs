mod feed;

use std::{
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use anyhow::bail;
use reqwest::{StatusCode, Url};
use serde_json::Value;
use shared::Timestamp;

use crate::{
    clock::Clock,
    config::{Config, EdgeConfig},
    edge::kv::{Kv, KvError, http_client},
    storage::{self, Db, environments, management_keys, outbox},
};

/// A name that no key has. Asking for it shows whether KV answers.
const PROBE: &str = "latchkey:doctor";
/// How long the Worker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A change that has waited longer than this is not being published.
const STUCK_AFTER: i64 = 120;

/// Looks at one part after the other, and says of each whether it is well and, if not, what to do.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let mut findings = Findings::default();
    let edge = edge(config, &mut findings);
    let db = database(config, &mut findings).await;
    if let Some(db) = &db
        && let Err(error) = contents(db, edge.is_some(), &mut findings).await
    {
        findings.wrong(format!("the database failed: {error}"), "look into the log of the database");
    }
    if let Some(edge) = &edge {
        kv(edge, &mut findings).await;
        if worker(config, edge, &mut findings).await {
            feed::ask(config, edge, db.as_ref(), &mut findings).await;
        }
    }
    if let Some(db) = db {
        db.close().await;
    }
    match findings.wrong {
        0 => Ok(()),
        1 => bail!("one thing is wrong"),
        wrong => bail!("{wrong} things are wrong"),
    }
}

/// Prints what was found. If nobody reads it any more, the exit code still tells.
#[derive(Default)]
struct Findings {
    wrong: usize,
}

impl Findings {
    fn say(&self, line: impl Display) {
        let _ = writeln!(io::stdout(), "{line}");
    }

    fn well(&self, what: impl Display) {
        self.say(format_args!("✓ {what}"));
    }

    fn note(&self, what: impl Display) {
        self.say(format_args!("· {what}"));
    }

    fn wrong(&mut self, what: impl Display, what_to_do: impl Display) {
        self.wrong += 1;
        self.say(format_args!("✗ {what}\n  → {what_to_do}"));
    }
}

fn edge(config: &Config, findings: &mut Findings) -> Option<EdgeConfig> {
    match config.edge() {
        Ok(Some(edge)) => {
            findings.well("the settings of the edge are complete");
            Some(edge)
        }
        Ok(None) => {
            findings.note("no edge is configured (LATCHKEY_EDGE_KV_URL): the control plane alone validates keys");
            None
        }
        Err(error) => {
            findings.wrong(format!("the settings of the edge are wrong: {error:#}"), "correct them");
            None
        }
    }
}

async fn database(config: &Config, findings: &mut Findings) -> Option<Db> {
    let db = match super::open(config, Duration::ZERO).await {
        Ok(db) => db,
        Err(error) => {
            findings.wrong(format!("{error:#}"), "correct LATCHKEY_DATABASE_URL, or start the database");
            return None;
        }
    };
    match db.is_migrated().await {
        Ok(true) => {
            findings.well("the database answers and is up to date");
            Some(db)
        }
        Ok(false) => {
            findings
                .wrong("the database is not up to date", "run `latchkey migrate`; `latchkey serve` does so by itself");
            None
        }
        Err(error) => {
            findings.wrong(format!("the database does not answer: {error}"), "look into the log of the database");
            None
        }
    }
}

async fn contents(db: &Db, has_edge: bool, findings: &mut Findings) -> storage::Result<()> {
    let mut reader = db.read().await?;
    let environments = environments::list(reader.conn()).await?;
    if environments.is_empty() {
        findings.wrong("there is no environment", "run `latchkey environments create NAME`, or start `latchkey serve`");
    }
    for environment in environments {
        let keys = management_keys::list(reader.conn(), &environment.id).await?;
        let active = keys.iter().filter(|key| key.revoked_at.is_none()).count();
        let what = format!("environment {} ({}), active management keys: {active}", environment.id, environment.name);
        if active > 0 {
            findings.well(what);
        } else {
            let command = "latchkey management-keys create --environment";
            findings.wrong(what, format!("run `{command} {} --name NAME`", environment.id));
        }
    }
    if has_edge {
        let now = Clock::system().now();
        outbox_is_moving(outbox::backlog(reader.conn(), now).await?, now, findings);
        feed::in_database(reader.conn(), now, findings).await?;
    }
    Ok(())
}

fn outbox_is_moving(backlog: outbox::Backlog, now: Timestamp, findings: &mut Findings) {
    let Some(oldest) = backlog.oldest else {
        findings.well("every change has been published");
        return;
    };
    let seconds = (now.as_millis() - oldest.as_millis()) / 1000;
    let or_more = if backlog.depth < outbox::COUNTED_MAX { "" } else { " or more" };
    let what = format!("changes that wait to be published: {}{or_more}, the oldest for {seconds} s", backlog.depth);
    if seconds < STUCK_AFTER {
        findings.well(what);
    } else {
        findings.wrong(what, "see that `latchkey serve` runs with these settings; its log says why it cannot publish");
    }
}

async fn kv(edge: &EdgeConfig, findings: &mut Findings) {
    let kv = match Kv::new(edge, Clock::system()) {
        Ok(kv) => kv,
        Err(error) => return findings.wrong(format!("{error:#}"), "correct the settings of the edge"),
    };
    match kv.get(&[PROBE]).await {
        Ok(_) => findings.well("KV answers and accepts the token"),
        Err(error) => findings.wrong(&error, what_to_do(&error)),
    }
}

fn what_to_do(error: &KvError) -> &'static str {
    let KvError::Status { status, .. } = error else {
        return "see that LATCHKEY_EDGE_KV_URL is right and can be reached from here";
    };
    match *status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "give LATCHKEY_EDGE_KV_TOKEN an API token that may edit Workers KV of this account"
        }
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => {
            "see that LATCHKEY_EDGE_KV_NAMESPACE is the id of the namespace, and the account in LATCHKEY_EDGE_KV_URL its account"
        }
        StatusCode::TOO_MANY_REQUESTS => "wait: Cloudflare allows an account 1,200 calls in five minutes",
        _ => "try again; www.cloudflarestatus.com says whether Cloudflare has trouble",
    }
}

/// Whether the Worker can be asked further.
async fn worker(config: &Config, edge: &EdgeConfig, findings: &mut Findings) -> bool {
    let secret =
        "run `wrangler secret put LATCHKEY_EDGE_SECRET` with the value of LATCHKEY_EDGE_SECRET here, and deploy";
    let url = "see that LATCHKEY_EDGE_URL is the Worker's address and that it is deployed";
    match ask_worker(&config.edge_url, edge).await {
        Ok((StatusCode::OK, body)) if body["kv_reads"].is_u64() => {
            findings.well("the Worker answers and has the same edge secret");
            return true;
        }
        Ok((StatusCode::UNAUTHORIZED, _)) => findings.wrong("the Worker has another edge secret", secret),
        Ok((StatusCode::SERVICE_UNAVAILABLE, body)) => {
            let why = body["message"].as_str().unwrap_or("it is not configured");
            findings.wrong(
                format!("the Worker cannot validate keys: {why}"),
                "take its bindings from wrangler.toml, give it the value of LATCHKEY_EDGE_SECRET here with `wrangler secret \
                 put LATCHKEY_EDGE_SECRET`, and deploy",
            );
        }
        Ok((status, _)) => {
            findings.wrong(format!("what answers at {} ({status}) is not the Worker", config.edge_url), url);
        }
        Err(error) => findings.wrong(format!("the Worker does not answer: {error:#}"), url),
    }
    false
}

async fn ask_worker(edge_url: &str, edge: &EdgeConfig) -> anyhow::Result<(StatusCode, Value)> {
    let url = Url::parse(&format!("{}/_edge/status", edge_url.trim_end_matches('/')))?;
    let request = http_client(TIMEOUT)?.get(url).bearer_auth(edge.secrets.ingress_token());
    let response = request.send().await?;
    let status = response.status();
    Ok((status, response.json().await.unwrap_or_default()))
}
