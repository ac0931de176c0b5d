use anyhow::ensure;
use clap::Subcommand;
use serde_json::json;
use shared::key::Prefix;

use crate::{
    clock::Clock,
    entropy::OsEntropy,
    events::Actor,
    service::{Database, commit, environments},
    storage::{
        Db, Priority,
        environments::{self as rows, Environment},
    },
    text,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create an environment, isolated from all others.
    Create {
        /// The display name, such as `Production`.
        #[arg(value_parser = text::parse_name)]
        name: String,
        /// The prefix of its API keys, by which people and secret scanners recognize them.
        #[arg(long, default_value = "lk_live", value_parser = str::parse::<Prefix>)]
        prefix: Prefix,
        /// Allow a prefix that secret scanners assign to another company.
        #[arg(long)]
        force: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the environments.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, db: &Db) -> anyhow::Result<()> {
    match command {
        Command::Create { name, prefix, force, json } => create(db, &name, prefix, force, json).await,
        Command::List { json } => list(db, json).await,
    }
}

async fn create(db: &Db, name: &str, prefix: Prefix, force: bool, json: bool) -> anyhow::Result<()> {
    ensure!(
        force || !prefix.is_taken(),
        "secret scanners assign keys that begin with `{prefix}_` to another company; choose another prefix or pass \
         --force"
    );
    let now = Clock::system().now();
    let mut transaction = Database::without_edge(db.clone()).begin(Actor::Operator, Priority::Normal).await?;
    let (environment, change) = environments::create(&mut transaction, name, prefix, now, &mut OsEntropy).await?;
    commit(transaction, change, now).await?;
    if json {
        print_line!("{}", to_json(&environment));
    } else {
        print_line!("Created the environment {}.", environment.id);
        print_line!(
            "Create a management key for your back end: latchkey management-keys create --environment {} --name \"Back \
             end\"",
            environment.id
        );
    }
    Ok(())
}

async fn list(db: &Db, json: bool) -> anyhow::Result<()> {
    let environments = rows::list(db.read().await?.conn()).await?;
    if json {
        print_line!("{}", environments.iter().map(to_json).collect::<serde_json::Value>());
        return Ok(());
    }
    for Environment { id, name, key_prefix, .. } in environments {
        print_line!("{id}  {key_prefix}_…  {name}");
    }
    Ok(())
}

fn to_json(environment: &Environment) -> serde_json::Value {
    json!({
        "id": environment.id,
        "name": environment.name,
        "key_prefix": environment.key_prefix,
        "created_at": environment.created_at.to_string(),
    })
}
