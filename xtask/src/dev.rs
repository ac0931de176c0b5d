//! `cargo xtask dev`: all of Latchkey on this machine, with something in it to try out.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    build_edge, cargo, children,
    data_dir::DataDir,
    demo::{self, Demo},
    http::Client,
    ports,
    progress::{self, step},
    services::{self, Plan, Service},
    tools,
};

/// Run all of Latchkey on this machine, with demo data, until Ctrl-C.
///
/// Builds and starts the control plane (on SQLite) and the Worker (in `wrangler dev`), and prints URLs, a management key,
/// and three curl lines to try. The first run on a machine installs what is missing and takes some minutes. Logs are in
/// `logs/` of the data folder; to begin anew, delete that folder. Everything listens on 127.0.0.1 only.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print one line of JSON once all is ready, instead of the text for people.
    #[arg(long)]
    json: bool,
    /// The port of the control plane; 0 takes any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 8787)]
    control_plane_port: u16,
    /// The port of the Worker; 0 takes any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 8788)]
    edge_port: u16,
    /// Where databases, secrets and logs are kept. Copies that run side by side each need their own.
    #[arg(long, value_name = "FOLDER", default_value = ".latchkey")]
    data_dir: PathBuf,
    /// The database; SQLite in the data folder unless given.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Show the logs of the control plane and of the Worker on stderr as well.
    #[arg(long)]
    verbose: bool,
}

/// The namespace in `wrangler.toml`.
const KV_NAMESPACE: &str = "latchkey-keys";
/// Long enough for a machine that is busy with other builds.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let data = DataDir::open(&arguments.data_dir)?;
    let control_plane_port = ports::reserve(arguments.control_plane_port, "--control-plane-port")?;
    let edge_port = ports::reserve(arguments.edge_port, "--edge-port")?;
    let program = prepare()?;

    let system = System::new(arguments, data, program, control_plane_port.release(), edge_port.release());
    let edge_is_new = !system.data.edge_state().exists();
    step("Creating the database", || system.latchkey(&["migrate"]).map(drop))?;
    let environment = demo::environment(&system)?;
    let edge = system.start_edge(arguments.verbose)?;
    let mut services = [system.start_control_plane(arguments.verbose)?, edge];
    step("Starting the control plane and the Worker", || system.wait_for_health(&mut services))?;
    let demo = step("Creating demo data", || demo::create(&system, environment, edge_is_new, &mut services));
    // If a service died meanwhile, that is the news, rather than the request that failed for it.
    services::check(&mut services)?;
    announce(&system, &demo?, arguments.json);

    services::watch(&mut services)?;
    progress::say("Stopping.");
    Ok(())
}

/// Installs what is missing, builds everything, and returns the path of the program `latchkey`.
fn prepare() -> Result<PathBuf> {
    if let Some(missing) = tools::missing_node()? {
        bail!(missing);
    }
    step("Building the Worker", || build_edge::build(&build_edge::EDGE_VALIDATOR))?;
    step("Building the control plane", cargo::build_latchkey)
}

/// What runs, and where.
pub struct System {
    data: DataDir,
    program: PathBuf,
    database_url: String,
    control_plane_port: u16,
    edge_port: u16,
}

impl System {
    fn new(arguments: &Arguments, data: DataDir, program: PathBuf, control_plane_port: u16, edge_port: u16) -> System {
        let database_url = arguments.database_url.clone().unwrap_or_else(|| data.database_url());
        System { data, program, database_url, control_plane_port, edge_port }
    }

    /// The URL of the control plane.
    pub fn control_plane_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.control_plane_port)
    }

    /// The URL of the Worker, which is the one that clients use.
    pub fn edge_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.edge_port)
    }

    /// Runs a command of `latchkey`, and returns the JSON that it prints, if it does.
    pub fn latchkey(&self, arguments: &[&str]) -> Result<Value> {
        let name = format!("latchkey {}", arguments.join(" "));
        let text = children::capture(&name, self.latchkey_command()?.args(arguments))?;
        if !arguments.contains(&"--json") {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("`{name}` printed no JSON"))
    }

    /// Writes the records of all keys to the edge anew. That takes its time, and shows its progress.
    pub fn sync_edge(&self) -> Result<()> {
        children::run("latchkey edge sync", self.latchkey_command()?.args(["edge", "sync"]))
    }

    fn latchkey_command(&self) -> Result<Command> {
        let mut command = cargo::command(&self.program)?;
        command
            .env("LATCHKEY_LISTEN", format!("127.0.0.1:{}", self.control_plane_port))
            .env("LATCHKEY_DATABASE_URL", &self.database_url)
            // There is no load balancer to wait for.
            .env("LATCHKEY_DRAIN_SECONDS", "0")
            .env("LATCHKEY_EDGE_SECRET", &self.data.edge_secret)
            // `wrangler dev` serves Cloudflare's REST API for its local KV. Whoever works on Latchkey may have the settings of
            // a real one around; its token is not for this.
            .env("LATCHKEY_EDGE_KV_URL", format!("{}/cdn-cgi/explorer/api", self.edge_url()))
            .env("LATCHKEY_EDGE_KV_NAMESPACE", KV_NAMESPACE)
            .env_remove("LATCHKEY_EDGE_KV_TOKEN")
            .env_remove("LATCHKEY_EDGE_KV_TOKEN_FILE")
            .env_remove("LATCHKEY_EDGE_SECRET_FILE")
            .env_remove("LATCHKEY_DATABASE_URL_FILE")
            .env_remove("LATCHKEY_CONFIG")
            .env("LATCHKEY_EDGE_URL", self.edge_url());
        Ok(command)
    }

    fn start_control_plane(&self, verbose: bool) -> Result<Service> {
        let plan = Plan {
            name: "control plane",
            stop_with: Signal::SIGTERM,
            log: self.data.log("control-plane.log"),
            verbose,
            dead_when: None,
        };
        Service::start(plan, self.latchkey_command()?.arg("serve"))
    }

    fn start_edge(&self, verbose: bool) -> Result<Service> {
        let plan = Plan {
            name: "wrangler dev",
            stop_with: Signal::SIGTERM,
            log: self.data.log("edge.log"),
            verbose,
            // It starts the runtime again, but then no request is ever answered.
            dead_when: Some("The Workers runtime crashed unexpectedly"),
        };
        let mut command = tools::node_command("wrangler")?;
        command
            .args(["dev", "--ip", "127.0.0.1", "--inspector-port", "0"])
            .args(["--port", &self.edge_port.to_string()])
            .args(["--show-interactive-dev-session", "false"])
            .arg("--var")
            .arg(format!("CONTROL_PLANE_URL:{}", self.control_plane_url()))
            .arg("--env-file")
            .arg(self.data.write_worker_secrets()?)
            .arg("--persist-to")
            .arg(self.data.edge_state())
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_LOG_PATH", self.data.log("wrangler"))
            // Else all copies on this machine would find each other in a common folder.
            .env("WRANGLER_REGISTRY_PATH", self.data.path().join("wrangler-registry"));
        Service::start(plan, &mut command)
    }

    /// Waits until the control plane answers, asked through the Worker.
    fn wait_for_health(&self, services: &mut [Service]) -> Result<()> {
        let client = Client::new(&self.edge_url(), "");
        let what = "an answer of the control plane through the Worker";
        services::wait_until(what, START_LIMIT, services, || {
            client.get("/health").is_ok_and(|answer| answer.status == 200)
        })
    }
}

fn announce(system: &System, demo: &Demo, as_json: bool) {
    let (control_plane, edge) = (system.control_plane_url(), system.edge_url());
    let Demo { management_key, environment_id, organization_id, api_key, api_key_id } = demo;
    if as_json {
        let line = json!({
            "control_plane_url": control_plane,
            "edge_url": edge,
            "management_key": management_key,
            "environment_id": environment_id,
            "organization_id": organization_id,
            "api_key": api_key,
            "api_key_id": api_key_id,
        });
        println!("{line}");
        return;
    }
    let data = system.data.path().display();
    println!(
        r#"
Latchkey runs.

  For clients      {edge}   (the Worker; it passes on what it does not answer itself)
  Control plane    {control_plane}
  Management key   {management_key}
  Demo key         {api_key}
  Data and logs    {data}

Create a key:
  curl -s {edge}/organizations/{organization_id}/api_keys -H 'Authorization: Bearer {management_key}' -H 'Content-Type: application/json' -d '{{"name": "My first key", "permissions": ["posts:read"]}}'

Validate the demo key at the edge:
  curl -s {edge}/api_keys/validations -H 'Authorization: Bearer {management_key}' -H 'Content-Type: application/json' -d '{{"value": "{api_key}"}}'

Revoke it; then the line above answers null:
  curl -s -X DELETE {edge}/api_keys/{api_key_id} -H 'Authorization: Bearer {management_key}'

Ctrl-C stops everything."#
    );
}
