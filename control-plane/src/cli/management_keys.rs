use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use shared::id::{EnvironmentId, ManagementKeyId};

use crate::{
    clock::Clock,
    keys,
    storage::{
        Db, environments,
        management_keys::{self, ManagementKey},
        outbox,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a management key. Its text is shown this once.
    Create {
        /// The environment that it manages.
        #[arg(long, value_name = "ID")]
        environment: EnvironmentId,
        /// What people call it, such as the service that holds it.
        #[arg(long)]
        name: String,
        /// What it may do; give it more than once for more. `*` is everything.
        #[arg(long = "scope", default_value = "*", value_parser = keys::parse_scope)]
        scopes: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the management keys of an environment, revoked ones included.
    List {
        /// The environment.
        #[arg(long, value_name = "ID")]
        environment: EnvironmentId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a management key for ever.
    Revoke {
        /// The key.
        id: ManagementKeyId,
    },
}

pub(super) async fn run(command: Command, db: &Db) -> anyhow::Result<()> {
    db.migrate().await?;
    match command {
        Command::Create { environment, name, scopes, json } => create(db, &environment, &name, &scopes, json).await,
        Command::List { environment, json } => list(db, &environment, json).await,
        Command::Revoke { id } => revoke(db, &id).await,
    }
}

async fn create(db: &Db, environment: &EnvironmentId, name: &str, scopes: &[String], json: bool) -> anyhow::Result<()> {
    let mut transaction = db.write().await?;
    environments::get(transaction.conn(), environment)
        .await?
        .with_context(|| format!("there is no environment {environment}; `latchkey environments list` shows them"))?;
    let key = keys::create_management_key(&mut transaction, environment, name, scopes, &Clock::system()).await?;
    transaction.commit().await?;
    if json {
        print_line!(
            "{}",
            json!({"id": key.id, "value": key.text.expose(), "environment_id": environment, "scopes": scopes})
        );
    } else {
        print_line!("Made the management key {}, shown this once: {}", key.id, key.text.expose());
    }
    Ok(())
}

async fn list(db: &Db, environment: &EnvironmentId, json: bool) -> anyhow::Result<()> {
    let keys = management_keys::list(db.read().await?.conn(), environment).await?;
    if json {
        print_line!("{}", keys.iter().map(to_json).collect::<serde_json::Value>());
        return Ok(());
    }
    for key in keys {
        let state = if key.revoked_at.is_some() { "revoked" } else { "active" };
        print_line!("{}  {}  {state}  {}  {}", key.id, key.obfuscated_value, key.scopes.0.join(","), key.name);
    }
    Ok(())
}

fn to_json(key: &ManagementKey) -> serde_json::Value {
    json!({
        "id": key.id,
        "name": key.name,
        "obfuscated_value": key.obfuscated_value,
        "scopes": key.scopes.0,
        "created_at": key.created_at.to_string(),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
    })
}

async fn revoke(db: &Db, id: &ManagementKeyId) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let mut transaction = db.write().await?;
    let Some(version) = management_keys::revoke(transaction.conn(), id, "revoked_by_operator", now).await? else {
        bail!("there is no management key {id} that is not revoked already");
    };
    outbox::add(transaction.conn(), outbox::Kind::ManagementKey, id.as_str(), version, outbox::Route::FeedFirst, now)
        .await?;
    transaction.commit().await?;
    print_line!("Revoked {id}.");
    Ok(())
}
