//! Which real parts there are, as `cargo xtask test` says in the environment.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
};

/// The folder of the workspace.
///
/// # Panics
/// If this package lies in none.
#[must_use]
pub fn workspace() -> PathBuf {
    let own = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&own).parent().expect("this package lies in a workspace").to_owned()
}

/// The program `latchkey`.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn latchkey() -> PathBuf {
    env::var_os("LATCHKEY_BIN").map_or_else(|| program("latchkey", "control-plane"), PathBuf::from)
}

/// The program behind `cargo xtask`.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn xtask() -> PathBuf {
    program("xtask", "xtask")
}

/// A program of the workspace, which lies beside the folder of the test programs.
fn program(name: &str, package: &str) -> PathBuf {
    let test = env::current_exe().expect("this program lies somewhere");
    let folder = test.parent().and_then(Path::parent).expect("test programs lie in target/<profile>/deps");
    let program = folder.join(name);
    assert!(program.is_file(), "there is no {}; `cargo build -p {package}` makes it", program.display());
    program
}

/// The folder of wrangler, workerd, and the Node that they run on, if they and the Workers are there to be used.
#[must_use]
pub fn node_programs() -> Option<PathBuf> {
    if env::var_os("LATCHKEY_TEST_WRANGLER").is_some() {
        return Some(workspace().join("node_modules/.bin"));
    }
    skip("LATCHKEY_TEST_WRANGLER is not set; `cargo xtask test` installs wrangler, builds the Workers and sets it")
}

/// The Python that has the packages of `requirements.txt`, if there is one.
#[must_use]
pub fn python() -> Option<PathBuf> {
    if let Some(python) = env::var_os("LATCHKEY_TEST_PYTHON") {
        return Some(python.into());
    }
    skip("LATCHKEY_TEST_PYTHON names no Python; `cargo xtask test` installs the packages and sets it")
}

/// The description of WorkOS's API, if the environment variable `WORKOS_OPENAPI` names one. It is not part of this project,
/// so its absence is no error anywhere.
#[must_use]
pub fn workos_openapi() -> Option<PathBuf> {
    if let Some(file) = env::var_os("WORKOS_OPENAPI").filter(|file| !file.is_empty()) {
        return Some(workspace().join(file));
    }
    tell("not compared", "the environment variable WORKOS_OPENAPI names no description of WorkOS's API");
    None
}

/// The URL of a Postgres superuser, if there is one.
#[must_use]
pub fn postgres() -> Option<String> {
    if let Ok(url) = env::var("LATCHKEY_TEST_POSTGRES") {
        return Some(url);
    }
    skip("LATCHKEY_TEST_POSTGRES names no Postgres server; `cargo xtask test` starts one")
}

/// The folder of the programs `initdb` and `postgres`, if there is one: for a test that stops its server.
#[must_use]
pub fn postgres_programs() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("LATCHKEY_TEST_POSTGRES_PROGRAMS") {
        return Some(folder.into());
    }
    skip("LATCHKEY_TEST_POSTGRES_PROGRAMS names no folder with initdb and postgres; `cargo xtask test` sets it")
}

/// The program `pgbouncer`, if there is one.
#[must_use]
pub fn pgbouncer() -> Option<PathBuf> {
    if let Some(program) = env::var_os("LATCHKEY_TEST_PGBOUNCER") {
        return Some(program.into());
    }
    skip("LATCHKEY_TEST_PGBOUNCER names no PgBouncer; `cargo xtask test` looks for one and sets it")
}

/// Says what is not tested and how to change that; where everything must be tested, it is an error.
///
/// # Panics
/// With `CI=true` in the environment.
pub fn skip<T>(why: &str) -> Option<T> {
    assert!(!env::var("CI").is_ok_and(|ci| ci == "true"), "nothing may be left out under CI=true: {why}");
    tell("skipped", why);
    None
}

/// Tells what the current test leaves out. Not by `println!`, which libtest hides when a test succeeds.
fn tell(what: &str, why: &str) {
    let test = std::thread::current();
    let _ = writeln!(std::io::stderr(), "{what}: {}: {why}", test.name().unwrap_or("a test"));
}
