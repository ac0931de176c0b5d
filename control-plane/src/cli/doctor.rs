mod encryption;
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

/// A KV key that no record has. Reading it shows whether KV responds.
const PROBE: &str = "latchkey:doctor";

/// Checks one component after the other, and reports for each whether it works and, if not, what to do.
pub(super) async fn run(config: anyhow::Result<Config>, json: bool) -> anyhow::Result<()> {
    let mut findings = Findings::new(json);
    let config = config.and_then(|config| logging::start(&config).map(|()| config));
    match config {
        Ok(config) => look(&config, &mut findings).await,
        Err(error) => {
            findings.add(Finding::error("settings_invalid", format!("a setting is invalid: {error:#}"), "correct it"));
        }
    }
    findings.finish()
}

async fn look(config: &Config, findings: &mut Findings) {
    findings.extend(settings::look(config));
    let edge = edge(config, findings);
    let db = database(config, findings).await;
    findings.extend(encryption::look(config));
    if let Some(db) = &db
        && let Err(error) = contents(config, db, edge.is_some(), findings).await
    {
        let advice = "check the log of the database";
        findings.add(Finding::error("database_failed", format!("a database query failed: {error}"), advice));
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

/// The id of the database, as the control plane reports it. Problems of the database are reported elsewhere.
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
            let message = "no edge is configured; only the control plane validates keys";
            findings.add(Finding::note("edge_absent", message));
            None
        }
        Err(error) => {
            let message = format!("the settings of the edge are invalid: {error:#}");
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
            let advice = "correct LATCHKEY_DATABASE_URL or the database, as the message says, and run this again";
            findings.add(Finding::error("database_unavailable", format!("{error:#} ({name})"), advice));
            return None;
        }
    };
    match db.schema().await {
        Ok(Schema::Current) => {
            findings
                .add(Finding::ok("database_up_to_date", format!("the database responds and is up to date ({name})")));
            findings.extend(db.try_to_write().await.err().map(|error| not_writable(&error)));
            Some(db)
        }
        Ok(Schema::TooNew { needs_version }) => {
            let message = format!("a newer version of Latchkey has migrated the database ({name})");
            let advice = format!("install version {needs_version} or newer");
            findings.add(Finding::error("database_too_new", message, advice));
            None
        }
        Ok(Schema::Absent | Schema::Outdated) => {
            let advice = "run `latchkey migrate` or start `latchkey serve`, with a role that may create tables";
            let message = format!("the database is not up to date ({name})");
            findings.add(Finding::error("database_not_migrated", message, advice));
            None
        }
        Err(error) => {
            let message = format!("the database does not respond: {error} ({name})");
            findings.add(Finding::error("database_unavailable", message, "check the log of the database"));
            None
        }
    }
}

fn not_writable(error: &sqlx::Error) -> Finding {
    let advice =
        "check that the role may write to the tables, that the server is not a replica, and that the disk has space";
    Finding::error("database_not_writable", format!("the database does not accept writes: {error}"), advice)
}

async fn contents(config: &Config, db: &Db, has_edge: bool, findings: &mut Findings) -> storage::Result<()> {
    let now = Clock::system().now();
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
    findings.extend(encryption::in_database(config, reader.conn(), now).await?);
    if has_edge {
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
    let what = format!("changes waiting to be published: {}{or_more}, the oldest for {seconds} s", backlog.depth);
    if seconds < STUCK_AFTER {
        Finding::ok("changes_published", what)
    } else {
        Finding::error(
            "publisher_stuck",
            what,
            "check that `latchkey serve` runs with these settings; its log says why it cannot publish",
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
        Ok(_) => findings.add(Finding::ok("kv_answers", "KV responds and accepts the token")),
        Err(error) => findings.add(Finding::error("kv_unavailable", error.to_string(), what_to_do(&error))),
    }
}

fn what_to_do(error: &KvError) -> &'static str {
    let KvError::Status { status, .. } = error else {
        return "check that LATCHKEY_EDGE_KV_URL is right and can be reached from here";
    };
    match *status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "set LATCHKEY_EDGE_KV_TOKEN to an API token that may edit Workers KV of this account"
        }
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => {
            "check that LATCHKEY_EDGE_KV_NAMESPACE is the id of the namespace, and that LATCHKEY_EDGE_KV_URL names its \
             account"
        }
        StatusCode::TOO_MANY_REQUESTS => "wait: Cloudflare allows 1,200 API calls per account in five minutes",
        _ => "try again; if it fails again, check www.cloudflarestatus.com",
    }
}
