//! Calling cargo from a program that cargo runs.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::children;

/// The folder of the workspace.
pub fn workspace() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in no workspace")?;
    Ok(root.to_owned())
}

/// A command that runs in the workspace without what cargo told *us* about the package `xtask`.
///
/// Cargo describes the running package in variables such as `CARGO_PKG_NAME`. Build scripts look at some of them, so a
/// cargo that inherits them builds again what was built without them, and the other way round each time after.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(workspace()?);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(describes_a_package) {
            command.env_remove(name);
        }
    }
    Ok(command)
}

fn describes_a_package(variable: &str) -> bool {
    let named = ["CARGO", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    named.contains(&variable) || variable.starts_with("CARGO_MANIFEST_") || variable.starts_with("CARGO_PKG_")
}

/// Something that cargo built.
pub struct Artifact {
    /// The name of its target, such as `latchkey`.
    pub name: String,
    /// It runs tests.
    pub is_test: bool,
    /// The folder of its package.
    pub package: PathBuf,
    /// The root source file, relative to that folder.
    pub source: PathBuf,
    /// All files that were written.
    pub files: Vec<PathBuf>,
    /// The program, if it is one.
    pub executable: Option<PathBuf>,
}

/// Runs cargo with these arguments, shows its progress, and returns what it built.
pub fn build(command: &mut Command) -> Result<Vec<Artifact>> {
    command.arg("--message-format=json-render-diagnostics");
    let messages = children::run_for_output("cargo", command)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    Ok(messages.filter_map(|message| artifact(&message)).collect())
}

fn artifact(message: &Value) -> Option<Artifact> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let target = &message["target"];
    let files = message["filenames"].as_array().into_iter().flatten();
    let package = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let source = Path::new(target["src_path"].as_str()?);
    Some(Artifact {
        name: target["name"].as_str()?.to_owned(),
        is_test: message["profile"]["test"] == true,
        source: source.strip_prefix(&package).unwrap_or(source).to_owned(),
        package,
        files: files.filter_map(Value::as_str).map(PathBuf::from).collect(),
        executable: message["executable"].as_str().map(PathBuf::from),
    })
}

/// Builds the control plane, and returns the path of its program.
pub fn build_latchkey() -> Result<PathBuf> {
    build_latchkey_with(&[])
}

/// The same, as it is released.
pub fn build_released_latchkey() -> Result<PathBuf> {
    build_latchkey_with(&["--release"])
}

fn build_latchkey_with(options: &[&str]) -> Result<PathBuf> {
    let mut command = command("cargo")?;
    let artifacts = build(command.args(["build", "--package", "control-plane", "--bin", "latchkey"]).args(options))?;
    let program = artifacts.into_iter().find(|artifact| artifact.name == "latchkey");
    program.and_then(|artifact| artifact.executable).context("cargo built no program named latchkey")
}
