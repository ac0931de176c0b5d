//! `cargo xtask bench`: builds what is measured as it is released, and measures it.
//!
//! The measuring itself is in `tests/benches/latchkey`. It learns from the environment where the parts are, as the tests
//! do ([`crate::test`] has the names).

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{build_edge, cargo, children, postgres, progress::step, tools};

/// Measure how fast Latchkey is and what it costs, on real parts.
///
/// Prints one table for each section, and writes all samples to a JSON file and drawings (SVG) beside it. What is compared
/// is measured in turn, in one run, so that ratios mean something even on a busy machine; absolute numbers want a quiet
/// one. All of it takes about half an hour. docs/PERFORMANCE.md explains the tables.
#[derive(clap::Args)]
pub struct Arguments {
    /// See in a minute or two that everything can be measured. The numbers are worth little.
    #[arg(long)]
    quick: bool,
    /// Measure only this section; may be given several times.
    #[arg(long, value_name = "SECTION")]
    only: Vec<Section>,
    /// Measure everything so often, in place of what each section thinks right.
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// Where all samples go. The drawings are written beside it.
    #[arg(long, value_name = "FILE", default_value = "target/bench/latchkey.json")]
    json: PathBuf,
}

/// What is measured. `tests/benches/latchkey/main.rs` has the same names.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Validations by the Worker, beside one that does nothing and one in JavaScript.
    Edge,
    /// The size of the Worker, and how soon it answers after its start.
    Start,
    /// What an isolate takes that remembers as many keys as it may.
    Memory,
    /// How soon after its acknowledgement a revocation is known to every isolate.
    Revocation,
    /// Validations, creations and lists by `latchkey serve`, and its memory, with ever more keys.
    ControlPlane,
    /// `latchkey edge sync` of a million keys.
    Sync,
}

impl Section {
    fn needs_postgres(self) -> bool {
        matches!(self, Self::ControlPlane | Self::Sync)
    }

    fn needs_latchkey(self) -> bool {
        self.needs_postgres()
    }
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let wanted = if arguments.only.is_empty() { Section::value_variants() } else { &arguments.only };
    if let Some(missing) = tools::missing_node()? {
        anyhow::bail!("the Worker is measured in workerd: {missing}");
    }
    step("Building the Worker", || build_edge::build(&build_edge::EDGE_VALIDATOR))?;
    let mut command = cargo::command(step("Building the benchmarks", build_benchmarks)?)?;
    command.env("LATCHKEY_TEST_WRANGLER", "1");
    if wanted.iter().any(|section| section.needs_latchkey()) {
        let latchkey = step("Building the control plane as it is released", cargo::build_released_latchkey)?;
        command.env("LATCHKEY_BIN", latchkey);
    }
    let needs_postgres = wanted.iter().any(|section| section.needs_postgres());
    let postgres = if needs_postgres { cluster()? } else { None };
    if let Some(cluster) = &postgres {
        command.env("LATCHKEY_TEST_POSTGRES", &cluster.url);
    }

    command.arg("--bench");
    if arguments.quick {
        command.arg("--quick");
    }
    if let Some(rounds) = arguments.rounds {
        command.args(["--rounds", &rounds.to_string()]);
    }
    for section in wanted {
        let value = section.to_possible_value().context("every section has a name")?;
        command.args(["--only", value.get_name()]);
    }
    command.arg("--json").arg(env::current_dir()?.join(&arguments.json));
    children::run_shown("the benchmarks", &mut command)
}

/// Postgres, unless the environment already names one. Without it, what needs it is left out and named.
fn cluster() -> Result<Option<postgres::Cluster>> {
    match postgres::programs() {
        _ if env::var_os("LATCHKEY_TEST_POSTGRES").is_some() => Ok(None),
        Some(programs) => step("Starting a throw-away Postgres", || postgres::Cluster::start(&programs)).map(Some),
        None => Ok(None),
    }
}

fn build_benchmarks() -> Result<PathBuf> {
    let arguments = ["bench", "--package", "tests", "--bench", "latchkey", "--no-run"];
    let artifacts = cargo::build(cargo::command("cargo")?.args(arguments))?;
    let program = artifacts.into_iter().find(|artifact| artifact.name == "latchkey" && artifact.executable.is_some());
    program.and_then(|artifact| artifact.executable).context("cargo built no benchmarks")
}
