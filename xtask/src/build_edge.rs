//! `cargo xtask build-edge`: compiles a Worker crate into its directory `build/`.
//!
//! worker-build runs cargo, wasm-bindgen, wasm-opt and esbuild. By default it downloads the last three from their
//! release pages. We pass it pinned versions instead, so that a build needs only the package registries.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};

use crate::{cargo, children, locks, progress, tools};

/// Build the Worker for `wrangler dev` and `wrangler deploy`.
///
/// Compiles edge-validator into edge-validator/build, unless that is up to date. Prints the size of the Wasm, and fails
/// if it is too large.
#[derive(clap::Args)]
pub struct Arguments {}

/// The profile of the workspace manifest that is meant for Workers.
const PROFILE: &str = "edge";
/// The Worker of the product.
pub const EDGE_VALIDATOR: Worker =
    Worker { package: "edge-validator", folder: "edge-validator", largest_gzipped: Some(220_000) };
/// The Worker that runs the checks of `shared` in the real runtime.
pub const RULES_WORKER: Worker =
    Worker { package: "rules-worker", folder: "tests/rules-worker", largest_gzipped: None };

/// A crate that is a Worker.
pub struct Worker {
    package: &'static str,
    folder: &'static str,
    /// A cold machine downloads and compiles the Wasm before it answers, so the one of the product may not grow for ever.
    largest_gzipped: Option<usize>,
}

/// Runs the command.
pub fn main(_: &Arguments) -> Result<()> {
    build(&EDGE_VALIDATOR)
}

/// Builds a Worker unless its build is up to date.
pub fn build(worker: &Worker) -> Result<()> {
    // All that is needed comes before anything is compiled, so that what cannot be had here is known at once.
    tools::install_wasm_target()?;
    tools::install_node_packages()?;
    let (worker_build, wasm_bindgen) = (tools::worker_build()?, tools::wasm_bindgen()?);
    let folder = cargo::workspace()?.join(worker.folder);
    let _lock = locks::wait(&folder.join("Cargo.toml"), &format!("builds {}", worker.package))?;

    let wasm = compile(worker)?;
    let fingerprint = fingerprint(&wasm, &folder)?;
    let stamp = folder.join("build/.stamp");
    if fs::read_to_string(&stamp).is_ok_and(|built| built == fingerprint) {
        progress::say(format!("    {} is up to date", worker.package));
    } else {
        // Should this be interrupted, nothing must say that the half of it is up to date.
        let _ = fs::remove_file(&stamp);
        progress::step(&format!("Bundling {}", worker.package), || bundle(&folder, &worker_build, &wasm_bindgen))?;
        fs::write(&stamp, &fingerprint).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    report_size(worker, &folder.join("build/index_bg.wasm"))
}

/// Compiles the crate to Wasm. worker-build does so again, and then finds nothing to do.
fn compile(worker: &Worker) -> Result<Vec<u8>> {
    let mut command = cargo::command("cargo")?;
    command.args(["build", "--lib", "--package", worker.package, "--profile", PROFILE, "--target", tools::WASM_TARGET]);
    command.envs(BUILD_VARIABLES);
    let artifacts = cargo::build(&mut command)?;
    let is_wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
    let ours = artifacts.into_iter().find(|artifact| artifact.name.replace('_', "-") == worker.package);
    let wasm = ours.and_then(|artifact| artifact.files.into_iter().find(is_wasm));
    let wasm = wasm.with_context(|| format!("{} has no library of the type cdylib", worker.package))?;
    fs::read(&wasm).with_context(|| format!("cannot read {}", wasm.display()))
}

/// worker-build compiles with this variable set, and a macro reads it; so do we, or each would undo the other's work.
const BUILD_VARIABLES: [(&str, &str); 1] = [("WASM_BINDGEN_USE_JS_SYS", "1")];

/// All that the bundle depends upon: the compiled crate, its manifest (which has the options of wasm-opt), and the tools.
fn fingerprint(wasm: &[u8], folder: &Path) -> Result<String> {
    let digest_of = |file: &Path| -> Result<String> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(tools::digest(&bytes))
    };
    Ok(format!(
        "{} {} {} worker-build-{} wasm-bindgen-{}\n",
        tools::digest(wasm),
        digest_of(&folder.join("Cargo.toml"))?,
        digest_of(&cargo::workspace()?.join("package-lock.json"))?,
        tools::WORKER_BUILD_VERSION,
        tools::wasm_bindgen_version()?,
    ))
}

fn bundle(folder: &Path, worker_build: &Path, wasm_bindgen: &Path) -> Result<()> {
    let mut command = cargo::command(worker_build)?;
    command.current_dir(folder).args(["--profile", PROFILE]).envs(BUILD_VARIABLES);
    command.env("WASM_BINDGEN_BIN", wasm_bindgen);
    command.env("WASM_OPT_BIN", tools::node_program("wasm-opt")?);
    command.env("ESBUILD_BIN", tools::node_program("esbuild")?);
    children::run("worker-build", &mut command)
}

fn report_size(worker: &Worker, wasm: &Path) -> Result<()> {
    let bytes = fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    let gzipped = encoder.finish()?.len();
    let kilobytes = |size: usize| format!("{:.1} KB", size as f64 / 1000.0);
    let (raw, name) = (kilobytes(bytes.len()), worker.package);
    progress::say(format!("    {name}: {raw} of Wasm, {} gzipped", kilobytes(gzipped)));
    match worker.largest_gzipped {
        Some(largest) if gzipped > largest => {
            bail!("the Wasm of {name} is too large; the limit is {} gzipped", kilobytes(largest))
        }
        _ => Ok(()),
    }
}
