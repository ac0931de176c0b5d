//! The description of the API, as those use it who generate clients from it: a linter and a generator, as published.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tests::parts;

fn description() -> PathBuf {
    parts::workspace().join("control-plane/openapi.json")
}

fn source(name: &str) -> PathBuf {
    parts::workspace().join("tests/tests/api_description").join(name)
}

/// Runs a program of the npm packages, under the Node that is one of them, and expects it to succeed.
fn run(programs: &Path, name: &str, arguments: &[&Path]) {
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs.to_owned()].into_iter().chain(env::split_paths(&path))).unwrap();
    let output = Command::new(programs.join(name)).args(arguments).env("PATH", path).output().unwrap();
    let [printed, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{name}: {printed}{errors}");
}

#[test]
fn spectral_finds_no_error() {
    let Some(programs) = parts::node_programs() else { return };
    run(&programs, "spectral", &["lint".as_ref(), &description(), "--ruleset".as_ref(), &source("spectral.yaml")]);
}

#[test]
fn generated_typescript_client_compiles() {
    let Some(programs) = parts::node_programs() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [types, client] = ["api.d.ts", "client.ts"].map(|name| folder.path().join(name));
    run(&programs, "openapi-typescript", &[&description(), "--output".as_ref(), &types]);
    fs::copy(source("client.ts"), &client).unwrap();
    run(&programs, "tsc", &["--noEmit".as_ref(), "--strict".as_ref(), &client]);
}
