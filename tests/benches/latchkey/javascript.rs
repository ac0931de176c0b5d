//! Workers in JavaScript, each in a workerd of its own, to compare ours with. They lie in `workers/`.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use tempfile::TempDir;
use tests::{http::Client, parts, ports, process::Process, workerd};

/// How long the runtime may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const EMPTY: &str = include_str!("workers/empty.js");
const VALIDATOR: &str = include_str!("workers/validator.js");
const SINK: &str = include_str!("workers/sink.js");

/// A running Worker.
#[derive(Debug)]
pub struct JavaScript {
    /// Its process.
    pub process: Process,
    /// Asks it, without saying who asks.
    pub client: Client,
    /// Where it answers.
    pub address: SocketAddr,
    name: String,
    folder: TempDir,
}

impl JavaScript {
    /// The Worker that reads the body and answers this.
    #[must_use]
    pub fn empty(answer: &str) -> Self {
        Self::start("empty.js", EMPTY, &format!(r#"(name = "ANSWER", text = {answer:?})"#))
    }

    /// The validator, with this secret, before the KV at this port.
    #[must_use]
    pub fn validator(secret: &str, kv_port: u16) -> Self {
        let bindings = format!(
            r#"(name = "SECRET", text = "{secret}"),
    (name = "KEYS", kvNamespace = "kv"),
    (name = "FEED", service = "sink"),
    (name = "CONTROL_PLANE", service = "sink")"#
        );
        Self::start_before("validator.js", VALIDATOR, &bindings, kv_port)
    }

    /// The Worker that takes whatever is posted to it.
    #[must_use]
    pub fn sink() -> Self {
        Self::start("sink.js", SINK, "")
    }

    fn start(name: &str, script: &str, bindings: &str) -> Self {
        Self::start_before(name, script, bindings, ports::free())
    }

    fn start_before(name: &str, script: &str, bindings: &str, kv_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = ports::free();
        let date = workerd::compatibility_date();
        let configuration = format!(
            r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "sink", worker = .sink),
    (name = "kv", external = (address = "127.0.0.1:{kv_port}", http = ())),
  ],
  sockets = [(name = "main", address = "127.0.0.1:{port}", http = (), service = "main")],
);

const main :Workerd.Worker = (
  modules = [(name = "main.js", esModule = embed "main.js")],
  compatibilityDate = "{date}",
  bindings = [
    {bindings}
  ],
);

const sink :Workerd.Worker = (
  modules = [(name = "sink.js", esModule = embed "sink.js")],
  compatibilityDate = "{date}",
);
"#
        );
        for (file, text) in [("main.js", script), ("sink.js", SINK), ("config.capnp", &configuration)] {
            fs::write(folder.path().join(file), text).expect("the folder is writable");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let client = Client::new(&format!("http://{address}"));
        let mut process = Self::process(name, folder.path());
        process.until(PATIENCE, "the Worker answers", |_| client.try_send("GET", "/", None).is_ok().then_some(()));
        Self { process, client, address, name: name.to_owned(), folder }
    }

    /// Starts its process again, and waits for nothing. The last one must have been killed.
    pub fn launch(&mut self) {
        self.process = Self::process(&self.name, self.folder.path());
    }

    fn process(name: &str, folder: &Path) -> Process {
        let programs = parts::node_programs().expect("`cargo xtask bench` says where workerd is");
        let mut command = Command::new(programs.join("workerd"));
        command.current_dir(folder).args(["serve", "config.capnp"]);
        Process::start(&format!("workerd with {name}"), &mut command)
    }
}
