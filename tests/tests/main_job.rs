//! The main job by the README's own command, `cargo xtask dev`: everything that it says, and that it cleans up.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};

use nix::{sys::signal, unistd::Pid};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    calls::text,
    database::Database,
    http::Client,
    latchkey::{Finished, Latchkey},
    parts,
    process::{Process, Signal},
    processes::Mark,
    wait::{CONVERGENCE, eventually},
};

/// The Worker and the control plane may have to be compiled first.
const START: Duration = Duration::from_secs(300);
/// Longer than it gives its children to end in good order.
const END: Duration = Duration::from_secs(30);

/// `cargo xtask` without cargo, which would only hand on to it.
fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(parts::xtask());
    command.current_dir(parts::workspace()).args(arguments);
    command
}

/// A running `cargo xtask dev`, and what it announced.
struct Dev {
    process: Process,
    announced: Value,
    mark: Mark,
}

impl Dev {
    /// Starts it on this folder, if it can be run here.
    #[track_caller]
    fn start(data: &Path, database: Option<&Database>) -> Option<Self> {
        let (_, mark) = (parts::node_programs()?, Mark::new()?);
        let mut command = xtask(&["dev", "--json", "--control-plane-port", "0", "--edge-port", "0"]);
        // Verbose, so that a test that fails shows the logs.
        command.args(["--verbose", "--data-dir"]).arg(data);
        if let Some(database) = database {
            command.args(["--database-url", &database.url()]);
        }
        mark.put_on(&mut command);
        let mut process = Process::start("cargo xtask dev", &mut command);
        let line = process.until(START, "cargo xtask dev announces itself", |process| {
            process.stdout().strip_suffix('\n').map(str::to_owned)
        });
        assert_eq!(line.lines().count(), 1, "{line}");
        let announced = serde_json::from_str(&line).unwrap();
        Some(Self { process, announced, mark })
    }

    fn announced(&self, name: &str) -> String {
        text(&self.announced, name)
    }

    /// Asks the Worker, with the management key that was announced.
    fn edge(&self) -> Client {
        Client::new(&self.announced("edge_url")).with_token(&self.announced("management_key"))
    }

    fn is_accepted(&self, value: &str) -> bool {
        self.edge().validate(value).expect(200)["api_key"].is_object()
    }

    /// Kills the one of its processes whose command line has these words in it.
    #[track_caller]
    fn kill_child(&self, words: &str) {
        let processes = self.mark.processes();
        let child = processes.iter().find(|(_, line)| line.contains(words));
        let (id, _) = child.unwrap_or_else(|| panic!("no `{words}` among {processes:#?}"));
        signal::kill(Pid::from_raw((*id).try_into().unwrap()), Signal::SIGKILL).unwrap();
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        // What was killed is gone once the system has noticed.
        eventually(Duration::from_secs(5), "nothing is left running", || {
            let left = self.mark.processes();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        });
    }

    /// What Ctrl-C does.
    #[track_caller]
    fn interrupt(&mut self) {
        assert!(self.mark.processes().len() > 3, "control plane, wrangler and workerd bear the mark");
        self.process.signal(Signal::SIGINT);
        let status = self.process.wait(END);
        assert!(status.success(), "{status}");
        self.assert_nothing_is_left();
    }

    /// Waits for it to end because a child has ended.
    #[track_caller]
    fn fails_naming(&mut self, child: &str) {
        let status = self.process.wait(END);
        assert_eq!(status.code(), Some(1));
        let complaint = self.process.stderr();
        assert!(complaint.contains(&format!("error: {child}")), "{complaint}");
        self.assert_nothing_is_left();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The main job: create, validate at the edge, expire, revoke; then Ctrl-C, and all of it again on the same data.
fn the_main_job(database: Option<&Database>) {
    let data = folder();
    let Some(mut dev) = Dev::start(data.path(), database) else { return };
    let edge = dev.edge();
    let shown = edge.validate(&dev.announced("api_key")).expect(200);
    assert_eq!(shown["api_key"]["id"], dev.announced["api_key_id"]);
    assert_eq!(shown["api_key"]["owner"]["id"], dev.announced["organization_id"]);

    for slug in ["reports:read", "reports:write"] {
        edge.create_permission(slug);
    }
    let organization = edge.create_organization();
    let first = edge.create_key(&organization, &["reports:read", "reports:write"]);
    assert_eq!(edge.until_valid(&first)["permissions"], json!(["reports:read", "reports:write"]));
    let _ = edge.delete("/authorization/permissions/reports:write").expect(204);
    let _ = edge.until(&first, "the key loses the permission", |answer| {
        answer["api_key"]["permissions"] == json!(["reports:read"])
    });
    edge.expire(&first);
    assert_eq!(edge.validate(&first.value).expect(200)["code"], "expired", "at the next call");

    let second = edge.create_key(&organization, &["reports:read"]);
    edge.until_valid(&second);
    edge.revoke(&second);
    assert_eq!(edge.validate(&second.value).expect(200)["code"], "revoked", "at the next call");

    let other_organization = edge.create_organization();
    let of_other = edge.create_key(&other_organization, &[]);
    edge.until_valid(&of_other);
    let _ = edge.delete(&format!("/organizations/{other_organization}")).expect(200);
    assert_eq!(edge.validate(&of_other.value).expect(200)["code"], "revoked", "at the next call");

    let database_url = database.map_or_else(|| format!("sqlite:{}/latchkey.db", data.path().display()), Database::url);
    revoked_management_keys_are_refused(&dev, &database_url);

    let lasting = edge.create_key(&organization, &[]);
    edge.until_valid(&lasting);
    dev.interrupt();

    let Some(mut again) = Dev::start(data.path(), database) else { return };
    for name in ["environment_id", "organization_id"] {
        assert_eq!(again.announced[name], dev.announced[name], "{name}");
    }
    assert!(again.is_accepted(&again.announced("api_key")));
    assert!(again.is_accepted(&lasting.value), "a key of before the restart");
    let edge = again.edge();
    edge.until_refused(&second, "revoked");
    let earlier = Client::new(&again.announced("edge_url")).with_token(&dev.announced("management_key"));
    eventually(CONVERGENCE, "the management key of before is refused", || match earlier.validate("x").status {
        401 => Ok(()),
        status => Err(status),
    });
    again.interrupt();
}

fn revoked_management_keys_are_refused(dev: &Dev, database_url: &str) {
    let latchkey = Latchkey::without_settings().set("database_url", database_url);
    let (id, text) = latchkey.create_management_key(&dev.announced("environment_id"), &["*"]);
    let edge = dev.edge().with_token(&text);
    let status_becomes = |wanted: u16| {
        eventually(CONVERGENCE, "the edge hears of a management key", || match edge.validate("garbage").status {
            status if status == wanted => Ok(()),
            status => Err(status),
        });
    };
    status_becomes(200);
    let _ = latchkey.run(&["management-keys", "revoke", &id]).success();
    status_becomes(401);
    assert_eq!(edge.get("/organizations").status, 401);
}

#[test]
fn the_main_job_on_sqlite() {
    the_main_job(None);
}

#[test]
fn the_main_job_on_postgres() {
    if let Some(database) = Database::postgres() {
        the_main_job(Some(&database));
    }
}

#[test]
fn two_copies_run_side_by_side() {
    let (of_one, of_two) = (folder(), folder());
    let Some(mut one) = Dev::start(of_one.path(), None) else { return };
    let Some(mut two) = Dev::start(of_two.path(), None) else { return };
    assert!(one.is_accepted(&one.announced("api_key")) && two.is_accepted(&two.announced("api_key")));
    assert!(!two.is_accepted(&one.announced("api_key")) && !one.is_accepted(&two.announced("api_key")));

    let mut third = xtask(&["dev", "--data-dir", of_one.path().to_str().unwrap()]);
    assert!(Finished::of(Process::start("a third on the same data", &mut third), END).failure().contains("--data-dir"));

    one.interrupt();
    assert!(two.is_accepted(&two.announced("api_key")), "the other copy goes on");
    two.interrupt();
}

#[test]
fn when_a_child_is_killed_it_is_named_and_nothing_is_left() {
    let data = folder();
    let children = [
        ("latchkey serve", "control plane"),
        // What was started, which cannot end what it has started any more; and what that has started.
        (".bin/wrangler dev", "wrangler dev"),
        ("workerd serve", "wrangler dev"),
    ];
    for (child, name) in children {
        let Some(mut dev) = Dev::start(data.path(), None) else { return };
        dev.kill_child(child);
        dev.fails_naming(name);
    }
}

#[test]
fn what_is_missing_is_named() {
    let (data, programs) = (folder(), folder());
    let run = || {
        let mut command = xtask(&["dev", "--data-dir", data.path().to_str().unwrap()]);
        Finished::of(Process::start("cargo xtask dev", command.env("PATH", programs.path())), END).failure()
    };
    let complaint = run();
    assert!(complaint.contains("Node does not run") && complaint.contains("https://nodejs.org"), "{complaint}");
    let node = |version: &str| {
        let file = programs.path().join("node");
        fs::write(&file, format!("#!/bin/sh\necho {version}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    node("v16.20.2");
    let complaint = run();
    assert!(complaint.contains("16.20.2 is too old"), "{complaint}");
    node("v18.0.0");
    let complaint = run();
    assert!(complaint.contains("npm does not run") && complaint.contains("apt-get install nodejs npm"), "{complaint}");
}

#[test]
fn a_port_in_use_is_named() {
    let data = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--control-plane-port", "--edge-port"] {
        let mut command = xtask(&["dev", "--data-dir", data.path().to_str().unwrap(), flag, &port]);
        let complaint = Finished::of(Process::start("cargo xtask dev", &mut command), END).failure();
        assert!(complaint.contains(&port) && complaint.contains(flag), "{complaint}");
    }
}
