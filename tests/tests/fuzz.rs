//! Requests that our description of the API allows, and requests that it does not, thousands of them, to every route:
//! none is answered 5xx, or with a status, a type or a body that the description does not have.
//!
//! schemathesis makes them up from the description that the server itself gives. It starts from the same number each time,
//! so what it found once it finds again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{process::Command, time::Duration};

use tests::{database::Database, latchkey::Latchkey, parts, process::Process};

/// How long it may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// What it would also look for, and cannot judge: a description cannot say everything that makes a request bad (such as
/// control characters, or a moment that is over), and of a query, what is empty counts as left out.
const NOT_LOOKED_FOR: &str = "positive_data_acceptance,negative_data_rejection";

fn fuzz(database: &Database) {
    let Some(python) = parts::python() else { return };
    let latchkey = Latchkey::on(database);
    let key = latchkey.create_tenant().management_key;
    let server = latchkey.serve();

    // What it remembers for the next time goes where there will be none.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.current_dir(folder.path()).args(["-m", "schemathesis.cli", "run"]);
    command.arg(format!("{}/openapi.json", server.url));
    command.args(["--header", &format!("Authorization: Bearer {key}")]);
    command.args(["--checks", "all", "--exclude-checks", NOT_LOOKED_FOR]);
    command.args(["--max-examples", "30", "--seed", "1", "--continue-on-failure", "--request-timeout", "20"]);
    let mut process = Process::start("schemathesis", command.env("NO_COLOR", "1"));
    let status = process.wait(PATIENCE);
    println!("{}", process.stdout());
    assert!(status.success(), "schemathesis found something, or did not work ({status})");
    assert!(process.stdout().contains(" passed"), "schemathesis tested nothing");
}

#[test]
fn no_request_gets_an_answer_that_is_not_described_on_sqlite() {
    fuzz(&Database::sqlite());
}

#[test]
fn no_request_gets_an_answer_that_is_not_described_on_postgres() {
    if let Some(database) = Database::postgres() {
        fuzz(&database);
    }
}
