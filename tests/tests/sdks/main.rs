//! WorkOS's own client libraries, as published, against a whole system through one base URL: that of the Worker, which
//! validates keys by itself and passes all else on to the control plane.
//!
//! Each library has a program here that does what a product does with it. What they were answered is compared with our own
//! description of the API, and with WorkOS's if the environment variable `WORKOS_OPENAPI` names it.

#![expect(clippy::panic, reason = "a test that cannot go on must stop")]

use std::{path::Path, process::Command, time::Duration};

use tests::{
    openapi::Document,
    parts,
    process::Process,
    recorder::{Exchange, Recorder},
    stack::Stack,
    wait::{CONVERGENCE, eventually},
};

/// How long one of the programs may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Statuses that any call can meet, which WorkOS's description does not repeat for each.
const ANYWHERE: [u16; 8] = [400, 401, 403, 408, 413, 429, 500, 503];

/// Runs a program against a system that is up, with a base URL and a management key, and looks at what it was answered.
fn run(name: &str, program: impl FnOnce(&str, &str)) {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    eventually(CONVERGENCE, "the edge knows the management key", || match caller.edge.validate("garbage").status {
        200 => Ok(()),
        status => Err(status),
    });
    let recorder = Recorder::before(&stack.edge.url);
    program(&recorder.url, &caller.tenant.management_key);
    look_at(name, &recorder.exchanges());
}

fn look_at(name: &str, exchanges: &[Exchange]) {
    let ours = Document::read(&parts::workspace().join("control-plane/openapi.json"));
    let undescribed: Vec<&Exchange> =
        exchanges.iter().filter(|one| ours.operation(&one.method, &one.path).is_none()).collect();
    assert!(undescribed.is_empty(), "{name} calls what we do not describe: {undescribed:#?}");
    let mut complaints: Vec<String> = exchanges.iter().filter_map(|one| ours.complaint(one, &[])).collect();
    if let Some(file) = parts::workos_openapi() {
        let theirs = Document::read(&file);
        complaints.extend(exchanges.iter().filter_map(|one| theirs.complaint(one, &ANYWHERE)));
    }
    assert!(complaints.is_empty(), "{name} was answered what is described otherwise:\n{}", complaints.join("\n"));
}

/// Runs a program to its end, which must be a good one.
fn run_to_its_end(name: &str, command: &mut Command) {
    let mut process = Process::start(name, command);
    let status = process.wait(PATIENCE);
    assert!(status.success(), "{name}: {status}");
    println!("{}", process.stdout());
}

fn script(file: &str) -> std::path::PathBuf {
    Path::new(&parts::workspace()).join("tests/tests/sdks").join(file)
}

fn node(version: &str) {
    let Some(programs) = parts::node_programs() else { return };
    run(&format!("the client for Node, version {version}"), |url, key| {
        let mut command = Command::new(programs.join("node"));
        run_to_its_end("node.mjs", command.arg(script("node.mjs")).args([version, url, key]));
    });
}

#[test]
fn node_8() {
    node("8");
}

#[test]
fn node_11() {
    node("11");
}

#[test]
fn python() {
    let Some(python) = parts::python() else { return };
    run("the client for Python", |url, key| {
        let mut command = Command::new(&python);
        run_to_its_end("python.py", command.arg(script("python.py")).args([url, key]));
    });
}
