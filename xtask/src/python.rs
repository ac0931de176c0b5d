//! Python, and the packages of `tests/requirements.txt`: a client library and a fuzzer. Only tests use them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{cargo, children, locks, progress, tools};

/// What the packages want, at least.
const OLDEST_PYTHON: &str = "(3, 11)";
const ADVICE: &str = "install Python 3.11 or newer with venv: https://www.python.org, \
    `apt-get install python3 python3-venv`, or `brew install python`";

/// What is missing of Python on this machine, with how to get it; `None` if it is there.
pub fn missing() -> Result<Option<String>> {
    // Debian has Python without these modules.
    let check = format!("import ensurepip, sys, venv; assert sys.version_info >= {OLDEST_PYTHON}, sys.version");
    let checked = children::capture("python3", cargo::command("python3")?.args(["-c", &check]));
    children::go_on()?;
    Ok(checked.err().map(|cause| format!("Python is missing, too old or incomplete ({cause:#}); {ADVICE}")))
}

/// The Python that has the packages, installed on first use.
pub fn with_packages() -> Result<PathBuf> {
    let requirements = cargo::workspace()?.join("tests/requirements.txt");
    let wanted = fs::read(&requirements).context("cannot read tests/requirements.txt")?;
    let folder = tools::cache()?.join("tools").join(format!("python-{:.16}", tools::digest(&wanted)));
    let program = folder.join("bin/python");
    // Written last, so the folder is whole if it is there; unless the Python went that it was made with.
    let stamp = folder.join("installed");
    let is_whole = || stamp.is_file() && program.is_file();
    if is_whole() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let _lock = locks::wait(&folder, "installs Python packages")?;
    if !is_whole() {
        progress::step("Installing Python packages (once)", || install(&folder, &program, &requirements))?;
        fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(program)
}

fn install(folder: &Path, program: &Path, requirements: &Path) -> Result<()> {
    let mut venv = cargo::command("python3")?;
    children::run("python3 -m venv", venv.args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = cargo::command(program)?;
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
    children::run("pip install", pip.arg(requirements))
}
