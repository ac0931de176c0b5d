//! The rules in the real Worker runtime: every check that runs natively runs there too, as Wasm.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use shared::checks;
use tests::{http::Client, parts, ports, process::Process};

const PATIENCE: Duration = Duration::from_secs(60);

/// What plain workerd needs to know of the Worker of `tests/rules-worker`.
fn configuration(build: &Path, compatibility_date: &str, port: u16) -> String {
    let build = build.display();
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "rules", worker = .rules)],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "rules")],
);

const rules :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "{build}/index.js"),
    (name = "index_bg.wasm", wasm = embed "{build}/index_bg.wasm"),
  ],
  compatibilityDate = "{compatibility_date}",
);
"#
    )
}

/// The date at which the product's own Worker froze the behaviour of the runtime.
fn compatibility_date() -> String {
    let text = fs::read_to_string(parts::workspace().join("wrangler.toml")).expect("there is a wrangler.toml");
    let date = text.lines().find_map(|line| line.strip_prefix("compatibility_date = "));
    date.expect("wrangler.toml has a compatibility date").trim_matches('"').to_owned()
}

#[test]
fn every_check_holds_in_the_worker_runtime() {
    let Some(programs) = parts::node_programs() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (build, port) = (parts::workspace().join("tests/rules-worker/build"), ports::free());
    let file = folder.path().join("rules-worker.capnp");
    fs::write(&file, configuration(&build, &compatibility_date(), port)).expect("the folder is writable");

    let mut command = Command::new(programs.join("workerd"));
    // An absolute path in `embed` is looked up below the import paths.
    command.args(["serve", "--import-path=/"]).arg(&file);
    let mut workerd = Process::start("workerd", &mut command);
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    let answer = workerd.until(PATIENCE, "workerd answers", |_| client.try_send("GET", "/", None).ok());

    let ran = answer.expect(200);
    let ran: Vec<(&str, &str)> = ran.as_array().into_iter().flatten().filter_map(name_and_outcome).collect();
    let failed: Vec<_> = ran.iter().filter(|(_, outcome)| *outcome != "ok").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let native: Vec<&str> = checks::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(ran.iter().map(|(name, _)| *name).collect::<Vec<_>>(), native);
    assert!(native.len() > 40, "only {} checks", native.len());
}

fn name_and_outcome(check: &Value) -> Option<(&str, &str)> {
    Some((check["name"].as_str()?, check["outcome"].as_str()?))
}
