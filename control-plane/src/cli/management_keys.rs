use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use shared::{
    Timestamp,
    id::{EnvironmentId, ManagementKeyId},
    record::Revoked,
};
use tokio::sync::watch;

use crate::{
    cli::secret_file,
    clock::Clock,
    config::{Config, EdgeConfig},
    entropy::OsEntropy,
    events::Actor,
    service::{
        Change, Database, Error, Transaction, commit, management_keys,
        usage::{Retention, Usage},
    },
    storage::{
        Db, Priority, environments,
        management_keys::{self as rows, ManagementKey},
    },
    tasks::{TaskContext, pump},
    text,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a management key. It is printed once, or written to a file.
    Create {
        /// The environment that the key manages.
        #[arg(long, value_name = "ID")]
        environment: EnvironmentId,
        /// The display name, such as the service that uses the key.
        #[arg(long, value_parser = text::parse_name)]
        name: String,
        /// A scope, such as `api_keys:read`; repeat the option for more. `*` allows everything.
        #[arg(long = "scope", default_value = "*", value_parser = management_keys::parse_scope)]
        scopes: Vec<String>,
        /// Write the key to this file instead of printing it. Only you can read the file, and it must not exist yet.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the management keys of an environment, including revoked ones.
    List {
        /// The environment whose keys are listed.
        #[arg(long, value_name = "ID")]
        environment: EnvironmentId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a management key permanently.
    Revoke {
        /// The id of the key.
        id: ManagementKeyId,
    },
}

pub(super) async fn run(command: Command, config: &Config, db: &Db) -> anyhow::Result<()> {
    match command {
        Command::Create { environment, name, scopes, output, json } => {
            create(db, &environment, &name, &scopes, output.as_deref(), json).await
        }
        Command::List { environment, json } => list(db, &environment, json).await,
        Command::Revoke { id } => revoke(db, config.edge()?, &id).await,
    }
}

async fn create(
    db: &Db,
    environment: &EnvironmentId,
    name: &str,
    scopes: &[String],
    output: Option<&Path>,
    json: bool,
) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let mut transaction = Database::without_edge(db.clone()).begin(Actor::Operator, Priority::Normal).await?;
    environments::get(transaction.conn(), environment)
        .await?
        .with_context(|| format!("the environment {environment} does not exist; see `latchkey environments list`"))?;
    let (key, change) =
        management_keys::create(&mut transaction, environment, name, scopes, now, &mut OsEntropy).await?;
    let pending = output.map(|file| secret_file::write(file, key.text.expose())).transpose()?;
    commit(transaction, change, now).await?;
    if let Some(pending) = pending {
        pending.keep()?;
    }
    match (output, json) {
        (None, true) => print_line!(
            "{}",
            json!({"id": key.id, "value": key.text.expose(), "environment_id": environment, "scopes": scopes})
        ),
        (Some(file), true) => {
            print_line!("{}", json!({"id": key.id, "output": file, "environment_id": environment, "scopes": scopes}))
        }
        (None, false) => print_line!("Created the management key {}, shown only once: {}", key.id, key.text.expose()),
        (Some(file), false) => print_line!("Created the management key {} and wrote it to {}", key.id, file.display()),
    }
    Ok(())
}

async fn list(db: &Db, environment: &EnvironmentId, json: bool) -> anyhow::Result<()> {
    let keys = rows::list(db.read().await?.conn(), environment).await?;
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

async fn revoke(db: &Db, edge: Option<EdgeConfig>, id: &ManagementKeyId) -> anyhow::Result<()> {
    let context = TaskContext::new(db.clone(), Clock::system(), Usage::new(Retention::default()));
    let Some(edge) = edge else {
        begin_revocation(&context, id).await?.commit().await?;
        print_line!("Revoked {id}.");
        return Ok(());
    };
    let (context, pump, _) = pump::connect(context, edge)?;
    let revocation = begin_revocation(&context, id).await?;
    // The pump appends the revocation to the change feed.
    let (stop, stopped) = watch::channel(());
    let pump = tokio::spawn(pump.run(stopped));
    let committed = revocation.commit().await;
    drop(stop);
    pump.await?;
    match committed {
        Ok(()) => {
            print_line!("Revoked {id}.");
            print_line!(
                "The edge has the revocation: within 2 seconds, or the bound that you configured, the key is refused everywhere."
            );
            Ok(())
        }
        Err(error @ (Error::EdgePending | Error::Unconfirmed(_))) => {
            print_line!("Revoked {id}.");
            Err(anyhow::Error::new(error).context(
                "the key is revoked in the database, but the change feed has not confirmed it, so the edge may still accept it. \
                 `latchkey serve` keeps trying. Run this command again to check; `latchkey doctor` shows why",
            ))
        }
        Err(error) => Err(error.into()),
    }
}

/// A revocation that is ready to be committed.
struct Revocation {
    transaction: Transaction,
    change: Change,
    now: Timestamp,
}

async fn begin_revocation(context: &TaskContext, id: &ManagementKeyId) -> anyhow::Result<Revocation> {
    let mut transaction = context.database().begin(Actor::Operator, Priority::Revocation).await?;
    let now = context.clock.now();
    let revoked = Revoked::new(management_keys::REVOKED_BY_OPERATOR, now);
    let Some(change) = management_keys::revoke(&mut transaction, id, &revoked, now).await? else {
        bail!("the management key {id} does not exist or is already revoked");
    };
    Ok(Revocation { transaction, change, now })
}

impl Revocation {
    async fn commit(self) -> Result<(), Error> {
        commit(self.transaction, self.change, self.now).await
    }
}

#[cfg(test)]
mod tests {
    use shared::feed::Mark;

    use super::*;
    use crate::{
        storage::testing::conformance,
        testing::{fake_worker::Mood, world::World},
    };

    conformance! {
        async fn a_revocation_says_whether_the_edge_was_told(db: Db) {
            let world = World::new(db).await;
            let id = &world.tenant.creator;
            let revoke_it = async || revoke(&world.db, Some(world.edge()), id).await.map_err(|error| format!("{error:#}"));
            world.feed.set_mood(Mood::Failing);
            let error = revoke_it().await.unwrap_err();
            assert!(error.contains("may still accept it"), "{error}");
            world.feed.set_mood(Mood::Well);
            revoke_it().await.unwrap();
            assert!(world.feed.entries().iter().any(|entry| entry.mark == Mark::Revoked));
            let error = revoke_it().await.unwrap_err();
            assert!(error.contains("is already revoked"), "{error}");
        }

        async fn without_an_edge_there_is_nobody_to_be_told(db: Db) {
            let world = World::new(db).await;
            let id = &world.tenant.creator;
            revoke(&world.db, None, id).await.unwrap();
            assert!(revoke(&world.db, Some(world.edge()), id).await.is_err(), "it was told of success");
        }
    }
}
