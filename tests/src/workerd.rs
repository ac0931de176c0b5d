//! The Worker in plain workerd: several isolates before one change feed, and a KV that does what a test wants.
//!
//! `wrangler dev` runs one isolate and a KV that is never stale. Here each `worker` service of one configuration file is
//! an isolate of its own, with a port of its own; the first of them holds the Durable Object. They run in one process,
//! and so see one clock.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use shared::seal::EdgeSecrets;
use tempfile::TempDir;

use crate::{http::Client, parts, ports, process::Process};

/// What the Worker consists of, the entry first.
const MODULES: [&str; 4] = ["src/worker.js", "src/request_id.js", "build/index.js", "build/index_bg.wasm"];
/// An entry that counts every call between JavaScript and Wasm, by name, and then runs the Worker as it is.
const COUNTING: &str = r#"
import { calls } from "./calls.js";
import worker, { ChangeFeed } from "./worker.js";
export { ChangeFeed };
export default {
  fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/calls") return Response.json(Object.fromEntries(calls));
    if (pathname === "/forget-calls") return new Response(calls.clear());
    if (pathname === "/panicked") return new Response((globalThis.__worker_init_state.criticalError = true));
    return worker.fetch(request, env, context);
  },
};
"#;
/// It must be there before the Wasm is.
const CALLS: &str = r#"
export const calls = new Map();
const counted = (functions) => Object.fromEntries(Object.entries(functions).map(([name, it]) => [name,
  typeof it !== "function" ? it : (...args) => {
    calls.set(name, (calls.get(name) ?? 0) + 1);
    return it(...args);
  }]));
const { Instance } = WebAssembly;
WebAssembly.Instance = function (module, imports) {
  const all = Object.entries(imports).map(([name, functions]) => [name, counted(functions)]);
  return { exports: counted(new Instance(module, Object.fromEntries(all)).exports) };
};
"#;
/// How long the runtime may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Some isolates of the Worker.
#[derive(Debug)]
pub struct Workerd {
    /// Its process; none while it is stopped.
    process: Option<Process>,
    /// Where each isolate answers.
    pub urls: Vec<String>,
    proxy: String,
    feed_name: String,
    /// What it shares with the control plane.
    pub secret: String,
    folder: TempDir,
    programs: PathBuf,
}

/// How the isolates are to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// How many.
    pub isolates: usize,
    /// The port of what plays KV.
    pub kv_port: u16,
    /// What the isolates pass on goes here.
    pub control_plane: &'a str,
    /// L, in milliseconds.
    pub lease_ms: u32,
    /// Whether all isolates but the first reach the feed through a stand-in that can be told to hang or to fail.
    pub proxied: bool,
}

/// The name of the feed, as long as it is not moved.
const FEED_NAME: &str = "the-first-feed";

/// What stands between the isolates and the feed, if anything does. A network can do this, and workerd alone cannot.
const PROXY: &str = r#"
let mode = "pass";
export class Proxy {
  constructor(state, env) { this.env = env; }
  async fetch(request) {
    if (mode === "hang") await new Promise((resolve) => setTimeout(resolve, 600_000));
    if (mode === "fail") throw new Error("as the test wants it");
    const feed = this.env.REAL.get(this.env.REAL.idFromName("the-first-feed"));
    return feed.fetch(request);
  }
}
export default {
  async fetch(request) {
    mode = new URL(request.url).pathname.slice(1);
    return new Response(mode);
  },
};
"#;

/// How the feed is reached through the stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As it is.
    Passes,
    /// Nothing ever comes back.
    Hangs,
    /// The connection breaks at once.
    Fails,
}

impl Workerd {
    /// Starts the isolates, if workerd is there.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn start(plan: Plan<'_>) -> Option<Self> {
        Self::start_from(plan, &[])
    }

    /// Starts the isolates so that they count the calls between JavaScript and Wasm: `GET /calls`, `GET /forget-calls`.
    /// `GET /panicked` makes the Worker believe that it has.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn start_counting(plan: Plan<'_>) -> Option<Self> {
        println!("stand-in: an entry that counts calls, and then runs the Worker as it is");
        Self::start_from(plan, &[("src/counting.js", COUNTING), ("src/calls.js", CALLS)])
    }

    fn start_from(plan: Plan<'_>, before: &[(&str, &str)]) -> Option<Self> {
        let programs = parts::node_programs()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = format!("{:032x}", crate::unique());
        let ports: Vec<u16> = (0..plan.isolates).map(|_| ports::free()).collect();
        let proxy_port = ports::free();
        fs::write(folder.path().join("proxy.js"), PROXY).expect("the folder is writable");
        for file in MODULES {
            let copy = folder.path().join(file);
            fs::create_dir_all(copy.parent().expect("it is in a folder")).expect("the folder is writable");
            fs::copy(parts::workspace().join("edge-validator").join(file), copy).expect("the Worker was built");
        }
        for (file, text) in before {
            fs::write(folder.path().join(file), text).expect("the folder is writable");
        }
        let modules: Vec<&str> = before.iter().map(|(file, _)| *file).chain(MODULES).collect();
        fs::create_dir(folder.path().join("feed")).expect("the folder is writable");
        fs::write(
            folder.path().join("config.capnp"),
            configuration(plan, &modules, &secret, &ports, proxy_port, folder.path()),
        )
        .expect("the folder is writable");
        let urls = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let proxy = format!("http://127.0.0.1:{proxy_port}");
        let feed_name = FEED_NAME.to_owned();
        let mut workerd = Self { process: None, urls, proxy, feed_name, secret, folder, programs };
        workerd.start_again();
        Some(workerd)
    }

    /// Starts the isolates, which know nothing then; the change feed is as it was.
    ///
    /// # Panics
    /// If they do not start.
    pub fn start_again(&mut self) {
        self.launch();
        let process = self.process.as_mut().expect("it was just launched");
        for url in &self.urls {
            let client = Client::new(url);
            process.until(PATIENCE, "an isolate answers", |_| {
                client.try_send("GET", "/_edge/status", None).is_ok_and(|answer| answer.status == 401).then_some(())
            });
        }
    }

    /// Starts the process, and waits for nothing.
    pub fn launch(&mut self) {
        let mut command = Command::new(self.programs.join("workerd"));
        command.current_dir(self.folder.path()).args(["serve", "config.capnp"]);
        self.process = Some(Process::start("workerd", &mut command));
    }

    /// Changes how the feed is reached by those who reach it through the stand-in.
    pub fn reach_feed(&self, reach: Reach) {
        let mode = match reach {
            Reach::Passes => "pass",
            Reach::Hangs => "hang",
            Reach::Fails => "fail",
        };
        println!("stand-in: a proxy before the change feed; now: {reach:?}");
        assert_eq!(Client::new(&self.proxy).get(&format!("/{mode}")).text, mode);
    }

    /// Kills the process, as a crash does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it is stopped.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// What workerd wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, |process| process.stdout() + &process.stderr())
    }

    /// Makes another object the change feed, from the next start on.
    ///
    /// # Panics
    /// If the configuration cannot be read.
    pub fn move_feed(&mut self) {
        let file = self.folder.path().join("config.capnp");
        let text = fs::read_to_string(&file).expect("it was written");
        let elsewhere = format!("elsewhere-{:x}", crate::unique());
        fs::write(&file, text.replace(&self.feed_name, &elsewhere)).expect("the folder is writable");
        self.feed_name = elsewhere;
    }

    /// Removes all that the change feed ever stored. workerd must not run meanwhile.
    ///
    /// # Panics
    /// If it runs, or there is nothing.
    pub fn lose_the_feed(&self) {
        assert!(self.process.is_none(), "workerd has the files open");
        let feed = self.folder.path().join("feed");
        fs::remove_dir_all(&feed).expect("it was there");
        fs::create_dir(&feed).expect("the folder is writable");
    }

    /// Asks one of the isolates, without saying who asks.
    #[must_use]
    pub fn isolate(&self, number: usize) -> Client {
        Client::new(&self.urls[number])
    }

    /// What records are sealed with.
    ///
    /// # Panics
    /// Never: the secret is long enough.
    #[must_use]
    pub fn secrets(&self) -> EdgeSecrets {
        EdgeSecrets::parse(&self.secret).expect("the secret is long enough")
    }
}

fn configuration(
    plan: Plan<'_>,
    modules: &[&str],
    secret: &str,
    ports: &[u16],
    proxy_port: u16,
    folder: &Path,
) -> String {
    let Plan { kv_port, control_plane, lease_ms, proxied, .. } = plan;
    let date = compatibility_date();
    let kind = |file: &str| if file.ends_with(".wasm") { "wasm" } else { "esModule" };
    let modules = modules.iter().map(|file| format!("(name = \"{file}\", {} = embed \"{file}\"),", kind(file)));
    let modules = modules.collect::<Vec<_>>().join("\n    ");
    let (mut services, mut sockets, mut workers) = (String::new(), String::new(), String::new());
    for (number, port) in ports.iter().enumerate() {
        let name = format!("isolate{number}");
        let _ = write!(services, "(name = \"{name}\", worker = .{name}),\n    ");
        let _ = write!(
            sockets,
            "(name = \"{name}\", address = \"127.0.0.1:{port}\", http = (), service = \"{name}\"),\n    "
        );
        let (feed, object) = if number == 0 {
            let namespace = "(className = \"ChangeFeed\", uniqueKey = \"change-feed\", enableSql = true)";
            let storage =
                format!("durableObjectNamespaces = [{namespace}],\n  durableObjectStorage = (localDisk = \"feed\"),\n");
            ("\"ChangeFeed\"".to_owned(), storage)
        } else if proxied {
            ("(className = \"Proxy\", serviceName = \"proxy\")".to_owned(), String::new())
        } else {
            ("(className = \"ChangeFeed\", serviceName = \"isolate0\")".to_owned(), String::new())
        };
        let _ = write!(
            workers,
            r#"
const {name} :Workerd.Worker = (
  modules = [
    {modules}
  ],
  compatibilityDate = "{date}",
  bindings = [
    (name = "KEYS", kvNamespace = "kv"),
    (name = "FEED", durableObjectNamespace = {feed}),
    (name = "LATCHKEY_EDGE_SECRET", text = "{secret}"),
    (name = "CONTROL_PLANE_URL", text = "{control_plane}"),
    (name = "LEASE_MS", text = "{lease_ms}"),
    (name = "FEED_NAME", text = "{FEED_NAME}"),
  ],
  {object}
);
"#
        );
    }
    let feed = folder.join("feed");
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    {services}
    (name = "kv", external = (address = "127.0.0.1:{kv_port}", http = ())),
    (name = "feed", disk = (path = "{feed}", writable = true)),
    (name = "internet", network = (allow = ["private"])),
    (name = "proxy", worker = .proxy),
  ],
  sockets = [
    {sockets}
    (name = "proxy", address = "127.0.0.1:{proxy_port}", http = (), service = "proxy"),
  ],
);

const proxy :Workerd.Worker = (
  modules = [(name = "proxy.js", esModule = embed "proxy.js")],
  compatibilityDate = "{date}",
  bindings = [(name = "REAL", durableObjectNamespace = (className = "ChangeFeed", serviceName = "isolate0"))],
  durableObjectNamespaces = [(className = "Proxy", uniqueKey = "proxy")],
  durableObjectStorage = (inMemory = void),
);
{workers}"#,
        feed = feed.display(),
    )
}

/// The compatibility date in `wrangler.toml`.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn compatibility_date() -> String {
    let text = fs::read_to_string(parts::workspace().join("wrangler.toml")).expect("there is a wrangler.toml");
    let line = text.lines().find_map(|line| line.strip_prefix("compatibility_date = ")).expect("it has a date");
    line.trim_matches('"').to_owned()
}
