//! Starts all of Latchkey on this machine: the control plane, and the Worker in `wrangler dev`.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    cargo, children,
    data_dir::DataDir,
    http::Client,
    services::{self, Plan, Service},
    tools,
};

/// The namespace in `wrangler.toml`.
const KV_NAMESPACE: &str = "latchkey-keys";
/// Long enough for a machine that is busy with other builds.
const START_LIMIT: Duration = Duration::from_secs(180);

/// What runs, and where.
pub struct System {
    pub data: DataDir,
    /// The program `latchkey`.
    pub program: PathBuf,
    pub database_url: String,
    pub control_plane_port: u16,
    pub edge_port: u16,
}

impl System {
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
        serde_json::from_str(&text).with_context(|| format!("the output of `{name}` is not JSON"))
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

    /// Starts `latchkey serve`.
    pub fn start_control_plane(&self, verbose: bool) -> Result<Service> {
        let plan = Plan {
            name: "control plane",
            stop_with: Signal::SIGTERM,
            log: self.data.log("control-plane.log"),
            verbose,
            dead_when: None,
        };
        Service::start(plan, self.latchkey_command()?.arg("serve"))
    }

    /// Starts `wrangler dev`.
    pub fn start_edge(&self, verbose: bool) -> Result<Service> {
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
    pub fn wait_for_health(&self, services: &mut [Service]) -> Result<()> {
        let client = Client::new(&self.edge_url(), "");
        let what = "waiting for the control plane to respond through the Worker";
        services::wait_until(what, START_LIMIT, services, || {
            client.get("/health").is_ok_and(|answer| answer.status == 200)
        })
    }
}
