//! `cargo xtask bench`: makes release builds and measures them.
//!
//! The benchmarks are in `tests/benches/latchkey`. Environment variables tell them where the components are, as in
//! [`crate::test`].

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{build_edge, cargo, children, postgres, progress::step, tools};

/// Measure the speed and the cost of Latchkey, with real components.
///
/// Prints a table for each section, and writes all samples to a JSON file and charts (SVG) next to it. Alternatives are
/// measured in turn in one run, so their ratios are meaningful even on a busy machine; absolute numbers need an idle
/// one. All sections take about half an hour. docs/PERFORMANCE.md explains the tables.
#[derive(clap::Args)]
pub struct Arguments {
    /// Check in a minute or two that every benchmark runs. The numbers are not meaningful.
    #[arg(long)]
    quick: bool,
    /// Measure only this section; repeat the option for more.
    #[arg(long, value_name = "SECTION")]
    only: Vec<Section>,
    /// The number of rounds. Default: depends on the section.
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// Another build of `latchkey`, such as that of an earlier commit. The section control-plane then measures both in turn.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The JSON file for all samples. The charts are written next to it.
    #[arg(long, value_name = "FILE", default_value = "target/bench/latchkey.json")]
    json: PathBuf,
}

/// What is measured. `tests/benches/latchkey/main.rs` has the same names.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Validations by the Worker, compared with an empty Worker and one in JavaScript.
    Edge,
    /// The size of the Worker, and its cold start.
    Start,
    /// The memory of an isolate whose caches are full.
    Memory,
    /// The time from the acknowledgement of a revocation until every isolate refuses the key.
    Revocation,
    /// Validations, creations and lists by `latchkey serve`, and its memory, as the number of keys grows.
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
        anyhow::bail!("the benchmarks run the Worker in workerd: {missing}");
    }
    step("Building the Worker", || build_edge::build(&build_edge::EDGE_VALIDATOR))?;
    let mut command = cargo::command(step("Building the benchmarks", build_benchmarks)?)?;
    command.env("LATCHKEY_TEST_WRANGLER", "1");
    if wanted.iter().any(|section| section.needs_latchkey()) {
        let latchkey = step("Building the control plane for release", cargo::build_released_latchkey)?;
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
    if let Some(program) = &arguments.against {
        command.arg("--against").arg(env::current_dir()?.join(program));
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
        Some(programs) => {
            step("Starting a temporary Postgres server", || postgres::Cluster::start(&programs)).map(Some)
        }
        None => Ok(None),
    }
}

fn build_benchmarks() -> Result<PathBuf> {
    let arguments = ["bench", "--package", "tests", "--bench", "latchkey", "--no-run"];
    let artifacts = cargo::build(cargo::command("cargo")?.args(arguments))?;
    let program = artifacts.into_iter().find(|artifact| artifact.name == "latchkey" && artifact.executable.is_some());
    program.and_then(|artifact| artifact.executable).context("cargo built no benchmark program")
}
