//! Installs what a build needs: the Wasm target, the npm packages, and two cargo tools.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{cargo, children, locks, progress};

/// The version of worker-build that we use.
pub const WORKER_BUILD_VERSION: &str = "0.8.7";
/// What the Worker is compiled for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";
const OLDEST_NODE: u32 = 18;

/// What is missing of Node and npm on this machine, with how to get it; `None` if both are there.
///
/// This Node only installs the npm packages; one of them is the newer Node that wrangler wants.
pub fn missing_node() -> Result<Option<String>> {
    let advice = format!(
        "install Node {OLDEST_NODE} or newer with npm: https://nodejs.org, `apt-get install nodejs npm`, or `brew install node`"
    );
    let version = |program: &str| children::capture(program, cargo::command(program)?.arg("--version"));
    let node = match version("node") {
        Ok(node) => node,
        Err(cause) => return Ok(Some(format!("Node does not run ({cause:#}); {advice}"))),
    };
    let major = node.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        return Ok(Some(format!("Node {} is too old; {advice}", node.trim())));
    }
    if let Err(cause) = version("npm") {
        return Ok(Some(format!("npm does not run ({cause:#}); {advice}")));
    }
    children::go_on()?;
    Ok(None)
}

/// Installs the npm packages of `package-lock.json` unless that was done before.
pub fn install_node_packages() -> Result<()> {
    let root = cargo::workspace()?;
    let lock_file = root.join("package-lock.json");
    let _lock = locks::wait(&lock_file, "installs the npm packages")?;
    let wanted = digest(&fs::read(&lock_file).context("cannot read package-lock.json")?);
    // `npm ci` begins by deleting the folder, so the stamp is there only if it reached its end.
    let stamp = root.join("node_modules/.latchkey-stamp");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if let Some(missing) = missing_node()? {
        bail!(missing);
    }
    progress::step("Installing Wrangler and the other npm packages", || {
        children::run("npm ci", cargo::command("npm")?.args(["ci", "--loglevel=error"]))?;
        fs::write(&stamp, &wanted).with_context(|| format!("cannot write {}", stamp.display()))
    })
}

/// A program of one of the npm packages.
pub fn node_program(name: &str) -> Result<PathBuf> {
    Ok(cargo::workspace()?.join("node_modules/.bin").join(name))
}

/// A command that runs such a program, under the Node that is one of the packages.
pub fn node_command(name: &str) -> Result<Command> {
    let program = node_program(name)?;
    let mut folders: Vec<PathBuf> = program.parent().map(Path::to_owned).into_iter().collect();
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = cargo::command(&program)?;
    command.env("PATH", env::join_paths(folders)?);
    Ok(command)
}

/// Adds the Wasm target to the Rust toolchain unless it is there.
pub fn install_wasm_target() -> Result<()> {
    let libraries = ["--print", "target-libdir", "--target", WASM_TARGET];
    let folder = children::capture("rustc", cargo::command("rustc")?.args(libraries))?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    progress::step("Adding the Wasm target to Rust", || {
        children::run("rustup", cargo::command("rustup")?.args(["target", "add", WASM_TARGET])).with_context(|| {
            format!("Rust cannot compile to Wasm; check that `rustup target add {WASM_TARGET}` succeeds")
        })
    })
}

/// The path of worker-build, installed on first use.
pub fn worker_build() -> Result<PathBuf> {
    cargo_tool("worker-build", WORKER_BUILD_VERSION, "worker-build", &["--locked"])
}

/// The path of wasm-bindgen, installed on first use, of the one version that understands what we compile.
pub fn wasm_bindgen() -> Result<PathBuf> {
    // Its package comes without a lock file.
    cargo_tool("wasm-bindgen-cli", &wasm_bindgen_version()?, "wasm-bindgen", &[])
}

/// The version of the wasm-bindgen library in `Cargo.lock`.
pub fn wasm_bindgen_version() -> Result<String> {
    let lock = fs::read_to_string(cargo::workspace()?.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let mut lines = lock.lines().skip_while(|line| *line != r#"name = "wasm-bindgen""#).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = ")).map(|text| text.trim_matches('"'));
    Ok(version.context("Cargo.lock has no wasm-bindgen")?.to_owned())
}

/// Installs a tool with cargo into the cache folder unless it is there, and returns the path of its program.
fn cargo_tool(package: &str, version: &str, program: &str, options: &[&str]) -> Result<PathBuf> {
    let folder = cache()?.join("tools").join(format!("{package}-{version}"));
    let program = folder.join("bin").join(program);
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let _lock = locks::wait(&folder, &format!("installs {package}"))?;
    if program.is_file() {
        return Ok(program);
    }
    progress::step(&format!("Installing {package} {version} (once; takes a minute or two)"), || {
        let mut command = cargo::command("cargo")?;
        // A shared target folder would keep the leftovers of its build.
        command.env_remove("CARGO_TARGET_DIR").args(["install", "--debug", package, "--version"]);
        command.arg(format!("={version}")).arg("--root").arg(&folder).args(options);
        children::run(&format!("cargo install {package}"), &mut command)
    })?;
    Ok(program)
}

/// The folder for what every clone can share: `$LATCHKEY_CACHE_DIR`, or `latchkey` in the user's cache folder.
pub fn cache() -> Result<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("LATCHKEY_CACHE_DIR") {
        return Ok(std::path::absolute(folder)?);
    }
    let home = || variable("HOME").context("HOME is not set; set LATCHKEY_CACHE_DIR to a directory for tools");
    let caches = match variable("XDG_CACHE_HOME") {
        Some(folder) => folder,
        None if cfg!(target_os = "macos") => home()?.join("Library/Caches"),
        None => home()?.join(".cache"),
    };
    Ok(caches.join("latchkey"))
}

/// A fingerprint of some bytes, in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
