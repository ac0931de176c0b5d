mod feed;
mod findings;
mod settings;
mod worker;

use reqwest::StatusCode;
use shared::Timestamp;

use self::{
    feed::STUCK_AFTER,
    findings::{Finding, Findings},
};
use crate::{
    cli::{database as databases, logging},
    clock::Clock,
    config::{Config, EdgeConfig},
    edge::kv::{Kv, KvError},
    storage::{self, Db, Schema, environments, management_keys, outbox},
};

/// A name that no key has. Asking for it shows whether KV answers.
const PROBE: &str = "latchkey:doctor";

/// Looks at one part after the other, and says of each whether it is well and, if not, what to do.
pub(super) async fn run(config: anyhow::Result<Config>, json: bool) -> anyhow::Result<()> {
    let mut findings = Findings::new(json);
    let config = config.and_then(|config| logging::start(&config).map(|()| config));
    match config {
        Ok(config) => look(&config, &mut findings).await,
        Err(error) => {
            findings.add(Finding::error("settings_invalid", format!("a setting is wrong: {error:#}"), "correct it"));
        }
    }
    findings.finish()
}

async fn look(config: &Config, findings: &mut Findings) {
    findings.extend(settings::look(config));
    let edge = edge(config, findings);
    let db = database(config, findings).await;
    if let Some(db) = &db
        && let Err(error) = contents(db, edge.is_some(), findings).await
    {
        let advice = "look into the log of the database";
        findings.add(Finding::error("database_failed", format!("the database failed: {error}"), advice));
    }
    if let Some(edge) = &edge {
        kv(edge, findings).await;
        if worker::look(edge, database_id(db.as_ref()).await.as_deref(), findings).await {
            feed::ask(config, edge, db.as_ref(), findings).await;
        }
    }
    if let Some(db) = db {
        db.close().await;
    }
}

/// As the control plane names its database. What is wrong with a database is said elsewhere.
async fn database_id(db: Option<&Db>) -> Option<String> {
    let mut reader = db?.read().await.ok()?;
    environments::database_id(reader.conn()).await.ok()?
}

fn edge(config: &Config, findings: &mut Findings) -> Option<EdgeConfig> {
    match config.edge() {
        Ok(Some(edge)) => {
            findings.add(Finding::ok("edge_configured", "the settings of the edge are complete"));
            Some(edge)
        }
        Ok(None) => {
            let message = "no edge is configured: the control plane alone validates keys";
            findings.add(Finding::note("edge_absent", message));
            None
        }
        Err(error) => {
            let message = format!("the settings of the edge are wrong: {error:#}");
            findings.add(Finding::error("edge_settings_invalid", message, "correct them"));
            None
        }
    }
}

async fn database(config: &Config, findings: &mut Findings) -> Option<Db> {
    let name = databases::describe(config);
    let db = match databases::open_existing(config).await {
        Ok(db) => db,
        Err(error) => {
            let advice = "correct what the message names, LATCHKEY_DATABASE_URL or the database itself, and ask again";
            findings.add(Finding::error("database_unavailable", format!("{error:#} ({name})"), advice));
            return None;
        }
    };
    match db.schema().await {
        Ok(Schema::Current) => {
            findings
                .add(Finding::ok("database_up_to_date", format!("the database answers and is up to date ({name})")));
            findings.extend(db.try_to_write().await.err().map(|error| not_writable(&error)));
            Some(db)
        }
        Ok(Schema::TooNew { needs_version }) => {
            let message = format!("a newer version of Latchkey has changed the database ({name})");
            let advice = format!("install version {needs_version} or newer");
            findings.add(Finding::error("database_too_new", message, advice));
            None
        }
        Ok(Schema::Absent | Schema::Outdated) => {
            let advice = "run `latchkey migrate` with the rights to create tables, or start `latchkey serve` with them";
            let message = format!("the database is not up to date ({name})");
            findings.add(Finding::error("database_not_migrated", message, advice));
            None
        }
        Err(error) => {
            let message = format!("the database does not answer: {error} ({name})");
            findings.add(Finding::error("database_unavailable", message, "look into the log of the database"));
            None
        }
    }
}

fn not_writable(error: &sqlx::Error) -> Finding {
    let advice = "see that the role may change the tables, that the server is no replica, and that the disk has room";
    Finding::error("database_not_writable", format!("the database takes no changes: {error}"), advice)
}

async fn contents(db: &Db, has_edge: bool, findings: &mut Findings) -> storage::Result<()> {
    let mut reader = db.read().await?;
    let environments = environments::list(reader.conn()).await?;
    if environments.is_empty() {
        let advice = "run `latchkey environments create NAME`, or start `latchkey serve`";
        findings.add(Finding::error("environment_absent", "there is no environment", advice));
    }
    for environment in environments {
        let keys = management_keys::list(reader.conn(), &environment.id).await?;
        let active = keys.iter().filter(|key| key.revoked_at.is_none()).count();
        let what = format!("environment {} ({}), active management keys: {active}", environment.id, environment.name);
        if active > 0 {
            findings.add(Finding::ok("environment_has_keys", what));
        } else {
            let command = "latchkey management-keys create --environment";
            let advice = format!("run `{command} {} --name NAME`", environment.id);
            findings.add(Finding::error("environment_without_keys", what, advice));
        }
    }
    if has_edge {
        let now = Clock::system().now();
        findings.add(backlog(outbox::backlog(reader.conn(), now).await?, now));
        feed::in_database(reader.conn(), now, findings).await?;
    }
    Ok(())
}

fn backlog(backlog: outbox::Backlog, now: Timestamp) -> Finding {
    let Some(oldest) = backlog.oldest else {
        return Finding::ok("changes_published", "every change has been published");
    };
    let seconds = (now.as_millis() - oldest.as_millis()) / 1000;
    let or_more = if backlog.depth < outbox::COUNTED_MAX { "" } else { " or more" };
    let what = format!("changes that wait to be published: {}{or_more}, the oldest for {seconds} s", backlog.depth);
    if seconds < STUCK_AFTER {
        Finding::ok("changes_published", what)
    } else {
        Finding::error(
            "publisher_stuck",
            what,
            "see that `latchkey serve` runs with these settings; its log says why it cannot publish",
        )
    }
}

async fn kv(edge: &EdgeConfig, findings: &mut Findings) {
    let kv = match Kv::new(edge, Clock::system()) {
        Ok(kv) => kv,
        Err(error) => {
            return findings.add(Finding::error("edge_settings_invalid", format!("{error:#}"), "correct them"));
        }
    };
    match kv.get(&[PROBE]).await {
        Ok(_) => findings.add(Finding::ok("kv_answers", "KV answers and accepts the token")),
        Err(error) => findings.add(Finding::error("kv_unavailable", error.to_string(), what_to_do(&error))),
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
