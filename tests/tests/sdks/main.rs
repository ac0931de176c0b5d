//! WorkOS's own client libraries, as published, against a whole system through one base URL: that of the Worker, which
//! validates keys by itself and passes all else on to the control plane.
//!
//! Each library has a program here that does what a product does with it. What they were answered is compared with our own
//! description of the API, and with WorkOS's if the environment variable `WORKOS_OPENAPI` names it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod rust;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tests::{
    database::Database,
    latchkey::{Latchkey, Server, Tenant},
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
const ANYWHERE: [u16; 7] = [401, 403, 408, 413, 429, 500, 503];

/// One of the libraries.
struct Library {
    name: &'static str,
    /// Whether it puts an `Idempotency-Key` into each POST of its own accord.
    sends_idempotency_keys: bool,
    /// The operations that it has no way to call, though we serve them and WorkOS describes them.
    lacks: &'static [&'static str],
}

impl Library {
    /// Runs a program that uses it, with a base URL and a management key, on the system that these tests share.
    fn run(&self, program: impl FnOnce(&str, &str)) {
        if let Some(stack) = Stack::shared() {
            self.run_on(&stack, program);
        }
    }

    /// Runs a program that uses it on this system.
    fn run_on(&self, stack: &Stack, program: impl FnOnce(&str, &str)) {
        let caller = stack.caller();
        eventually(CONVERGENCE, "the edge knows the management key", || match caller.edge.validate("garbage").status {
            200 => Ok(()),
            status => Err(status),
        });
        self.run_at(&stack.edge.url, &stack.server, &caller.tenant, program);
    }

    /// Runs a program that uses it at this base URL, and looks at what it was answered.
    fn run_at(&self, base_url: &str, server: &Server, tenant: &Tenant, program: impl FnOnce(&str, &str)) {
        let recorder = Recorder::before(base_url);
        program(&recorder.url, &tenant.management_key);
        let ours = Document::parse(&server.client.get("/openapi.json").text);
        self.look_at(&recorder.exchanges(), &ours);
    }

    fn look_at(&self, exchanges: &[Exchange], ours: &Document) {
        let name = self.name;
        let without_key = exchanges
            .iter()
            .find(|one| self.sends_idempotency_keys && one.method == "POST" && !one.has_idempotency_key);
        assert!(without_key.is_none(), "{name} sent no Idempotency-Key: {without_key:?}");
        let undescribed = exchanges.iter().find(|one| ours.operation(&one.method, &one.path).is_none());
        assert!(undescribed.is_none(), "{name} calls what we do not describe: {undescribed:?}");
        let mut complaints: Vec<String> = exchanges
            .iter()
            .filter_map(|one| ours.complaint(one, &[]))
            .map(|complaint| format!("by ours, {complaint}"))
            .collect();
        if let Some(file) = parts::workos_openapi() {
            let theirs = Document::read(&file);
            let by_theirs = exchanges.iter().filter_map(|one| theirs.complaint(one, &ANYWHERE));
            complaints.extend(by_theirs.map(|complaint| format!("by WorkOS's, {complaint}")));
            complaints.extend(self.uncalled(ours, &theirs, exchanges));
        }
        assert!(complaints.is_empty(), "{name}, {} complaints:\n{}", complaints.len(), complaints.join("\n"));
    }

    /// What we serve of WorkOS's API, and the program never called with success.
    fn uncalled(&self, ours: &Document, theirs: &Document, exchanges: &[Exchange]) -> Vec<String> {
        let names = |document: &Document| document.operations().iter().map(ToString::to_string).collect::<HashSet<_>>();
        let succeeded = exchanges.iter().filter(|one| one.status < 400);
        let called: HashSet<String> =
            succeeded.filter_map(|one| theirs.operation(&one.method, &one.path)).map(ToString::to_string).collect();
        let common = names(ours).intersection(&names(theirs)).cloned().collect::<Vec<_>>();
        let uncalled = common.into_iter().filter(|operation| called.contains(operation) == self.lacks(operation));
        uncalled.map(|operation| format!("{operation} is not called, or is said to be lacking")).collect()
    }

    fn lacks(&self, operation: &str) -> bool {
        self.lacks.contains(&operation)
    }
}

/// Runs a program to its end, which must be a good one.
fn run_to_its_end(name: &str, command: &mut Command) {
    let mut process = Process::start(name, command);
    let status = process.wait(PATIENCE);
    assert!(status.success(), "{name}: {status}");
    println!("{}", process.stdout());
}

fn script(file: &str) -> PathBuf {
    parts::workspace().join("tests/tests/sdks").join(file)
}

fn node(version: &str, library: &Library) {
    let Some(programs) = parts::node_programs() else { return };
    library.run(|url, key| {
        let mut command = Command::new(programs.join("node"));
        run_to_its_end("node.mjs", command.arg(script("node.mjs")).args([version, url, key]));
    });
}

#[test]
fn node_8() {
    let lacks = &[
        "GET /user_management/users/{}/api_keys",
        "POST /user_management/users/{}/api_keys",
        "GET /webhook_endpoints",
        "POST /webhook_endpoints",
        "PATCH /webhook_endpoints/{}",
        "DELETE /webhook_endpoints/{}",
    ];
    node("8", &Library { name: "@workos-inc/node 8", sends_idempotency_keys: false, lacks });
}

#[test]
fn node_11() {
    node("11", &Library { name: "@workos-inc/node 11", sends_idempotency_keys: true, lacks: &[] });
}

const PYTHON: Library = Library { name: "workos for Python", sends_idempotency_keys: true, lacks: &[] };

fn run_python(python: &Path, url: &str, key: &str) {
    run_to_its_end("python.py", Command::new(python).arg(script("python.py")).args([url, key]));
}

#[test]
fn python() {
    let Some(python) = parts::python() else { return };
    PYTHON.run(|url, key| run_python(&python, url, key));
}

#[test]
fn python_on_postgres() {
    let Some(python) = parts::python() else { return };
    let Some(stack) = Database::postgres().and_then(Stack::start) else { return };
    PYTHON.run_on(&stack, |url, key| run_python(&python, url, key));
}

#[test]
fn python_without_an_edge() {
    let Some(python) = parts::python() else { return };
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    PYTHON.run_at(&server.url, &server, &tenant, |url, key| run_python(&python, url, key));
}

#[test]
fn rust() {
    Library { name: "workos for Rust", sends_idempotency_keys: false, lacks: &[] }.run(|url, key| {
        run_rust(rust::run(url, key));
    });
}

fn run_rust(program: impl Future<Output = Result<(), workos::Error>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(program).unwrap();
}

/// What a key may not do, and what comes too often, arrives as the library's own error for it.
#[test]
fn refusals_arrive_as_such() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("requests_per_second_of_key", "1");
    let server = latchkey.serve();
    // Each library has a tenant of its own, which has not asked for anything yet.
    let keys = || {
        let tenant = latchkey.create_tenant();
        let (_, reading_key) = latchkey.create_management_key(&tenant.environment, &["organizations:read"]);
        [server.url.clone(), tenant.management_key, reading_key]
    };
    if let Some(programs) = parts::node_programs() {
        for version in ["8", "11"] {
            let node = &mut Command::new(programs.join("node"));
            run_to_its_end("node.mjs", node.arg(script("node.mjs")).arg(version).args(keys()));
        }
    }
    if let Some(python) = parts::python() {
        run_to_its_end("python.py", Command::new(python).arg(script("python.py")).args(keys()));
    }
    let [url, key, reading_key] = keys();
    run_rust(rust::refusals(&url, &key, &reading_key));
}

/// The endpoints of `docs/WORKOS-COMPATIBILITY.md`, and whether it says that they are served.
fn endpoints_of_the_documentation() -> Vec<(String, bool)> {
    let text = fs::read_to_string(parts::workspace().join("docs/WORKOS-COMPATIBILITY.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | `"));
    let endpoints = rows.filter_map(|(method, rest)| {
        let (path, served) = rest.split_once("` | ")?;
        let path = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>();
        Some((format!("{method} {}", path.join("/")), served == "yes"))
    });
    endpoints.collect()
}

#[test]
fn the_documentation_says_which_endpoints_are_served() {
    let ours = Document::read(&parts::workspace().join("control-plane/openapi.json"));
    let endpoints = endpoints_of_the_documentation();
    assert!(endpoints.len() > 20, "{endpoints:?}");
    for (endpoint, served) in &endpoints {
        let described = ours.operations().iter().any(|operation| operation.to_string() == *endpoint);
        assert_eq!(described, *served, "{endpoint}");
    }
    let Some(file) = parts::workos_openapi() else { return };
    for operation in Document::read(&file).operations() {
        let operation = operation.to_string();
        assert!(endpoints.iter().any(|(endpoint, _)| *endpoint == operation), "{operation} is not in the table");
    }
}
