//! The Worker, in the real runtime: `wrangler dev`, and the KV that it keeps.

use std::{env, fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use shared::{digest::KvKey, feed::wire, seal::EdgeSecrets};
use tempfile::TempDir;

use crate::{
    http::Client,
    parts, ports,
    process::Process,
    wait::{CONVERGENCE, eventually},
};

/// The namespace in `wrangler.toml`.
pub const NAMESPACE: &str = "latchkey-keys";
/// How long the runtime may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running Worker with a KV of its own.
#[derive(Debug)]
pub struct Edge {
    /// Its process.
    pub process: Process,
    /// Where it answers.
    pub url: String,
    /// Asks it, without saying who asks.
    pub client: Client,
    /// What it shares with the control plane.
    pub secret: String,
    _folder: TempDir,
}

impl Edge {
    /// Starts the Worker before this control plane, if what it runs on is there.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(control_plane: &str) -> Option<Self> {
        Self::start_on(ports::free(), control_plane)
    }

    /// The same, on this port.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_on(port: u16, control_plane: &str) -> Option<Self> {
        let programs = parts::node_programs()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = format!("{:032x}", crate::unique());
        let mut command = wrangler(&programs);
        command.current_dir(folder.path()).arg("dev").arg("--config").arg(configure(folder.path(), &secret));
        command.args(["--ip", "127.0.0.1", "--port", &port.to_string(), "--inspector-port", "0"]);
        command.args(["--show-interactive-dev-session", "false", "--persist-to", "kv", "--env-file", "worker.env"]);
        command.args(["--var", &format!("CONTROL_PLANE_URL:{control_plane}")]);
        command.env("WRANGLER_LOG_PATH", folder.path().join("logs"));
        command.env("WRANGLER_REGISTRY_PATH", folder.path().join("registry"));
        let mut process = Process::start("wrangler dev", &mut command);
        let url = format!("http://127.0.0.1:{port}");
        let client = Client::new(&url);
        process.until(PATIENCE, "the Worker answers", |_| {
            client.try_send("GET", "/_edge/status", None).is_ok_and(|answer| answer.status == 401).then_some(())
        });
        Some(Self { process, url, client, secret, _folder: folder })
    }

    /// Waits until a control plane has opened its change feed, without which it decides nothing.
    #[track_caller]
    pub fn until_open(&self) {
        let ingress = self.client.with_token(self.secrets().ingress_token());
        eventually(CONVERGENCE, "the change feed is open", || {
            let report = ingress.get(wire::STATUS).expect(200);
            if report["status"]["state"] == "open" { Ok(()) } else { Err(report) }
        });
    }

    /// Its KV, through Cloudflare's REST API.
    #[must_use]
    pub fn kv(&self) -> Kv {
        Kv(Client::new(&format!("{}/storage/kv/namespaces/{NAMESPACE}", self.kv_url())))
    }

    /// Where that REST API begins, as the setting `edge_kv_url` wants it.
    #[must_use]
    pub fn kv_url(&self) -> String {
        format!("{}/cdn-cgi/explorer/api", self.url)
    }

    /// What records are sealed with.
    ///
    /// # Panics
    /// Never: the secret is long enough.
    #[must_use]
    pub fn secrets(&self) -> EdgeSecrets {
        EdgeSecrets::parse(&self.secret).expect("the secret is long enough")
    }

    /// One of its counters.
    ///
    /// # Panics
    /// If there is none of that name.
    #[track_caller]
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let status = self.client.with_token(self.secrets().ingress_token()).get("/_edge/status").expect(200);
        status[name].as_u64().unwrap_or_else(|| panic!("no counter `{name}` in {status}"))
    }
}

/// wrangler, on the Node beside it.
#[must_use]
pub fn wrangler(programs: &Path) -> Command {
    let mut folders = vec![programs.to_owned()];
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new(programs.join("wrangler"));
    command.env("PATH", env::join_paths(folders).expect("PATH can be joined")).env("WRANGLER_SEND_METRICS", "false");
    command
}

/// Writes the Worker's secret and its `wrangler.toml`: the product's, but with the Worker that `cargo xtask test` built,
/// so that no test builds it again.
fn configure(folder: &Path, secret: &str) -> std::path::PathBuf {
    let root = parts::workspace();
    let original = fs::read_to_string(root.join("wrangler.toml")).expect("there is a wrangler.toml");
    let mut in_build = false;
    let without_build = original.lines().filter(|line| {
        if line.starts_with('[') {
            in_build = *line == "[build]";
        }
        !in_build
    });
    let main = root.join("edge-validator/src/worker.js");
    let text: Vec<String> = without_build
        .map(|line| if line.starts_with("main = ") { format!("main = '{}'", main.display()) } else { line.to_owned() })
        .collect();
    fs::write(folder.join("worker.env"), format!("LATCHKEY_EDGE_SECRET={secret}\n")).expect("the folder is writable");
    let config = folder.join("wrangler.toml");
    fs::write(&config, text.join("\n")).expect("the folder is writable");
    config
}

/// A KV namespace, as an operator or an intruder reaches it.
#[derive(Debug)]
pub struct Kv(Client);

impl Kv {
    /// What stands in a place.
    ///
    /// # Panics
    /// If KV does not answer.
    #[track_caller]
    #[must_use]
    pub fn get(&self, place: &KvKey) -> Option<String> {
        let answer = self.0.get(&format!("/values/{place}"));
        match answer.status {
            200 => Some(answer.text),
            404 => None,
            other => panic!("KV answered {other} {}", answer.text),
        }
    }

    /// Puts something in a place.
    #[track_caller]
    pub fn put(&self, place: &KvKey, value: &str) {
        let body = json!([{"key": place.as_str(), "value": value}]).to_string();
        let _ = self.0.send("PUT", "/bulk", Some(body.as_bytes())).expect(200);
    }

    /// Deletes everything.
    #[track_caller]
    pub fn wipe(&self) {
        self.delete(&self.names());
        assert!(self.names().is_empty());
    }

    /// Deletes names, as many as there can be in a test.
    #[track_caller]
    pub fn delete(&self, names: &[String]) {
        let _ = self.0.post("/bulk/delete", &json!(names)).expect(200);
    }

    /// Every name.
    #[track_caller]
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![];
        let mut cursor = String::new();
        loop {
            let page = self.0.get(&format!("/keys?limit=1000&cursor={cursor}")).expect(200);
            let items = page["result"].as_array().into_iter().flatten();
            names.extend(items.filter_map(|item| item["name"].as_str()).map(str::to_owned));
            match &page["result_info"]["cursor"] {
                Value::String(next) if !next.is_empty() => cursor.clone_from(next),
                _ => return names,
            }
        }
    }
}
