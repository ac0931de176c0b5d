//! `cargo xtask test`: runs every test, with real components.
//!
//! Environment variables tell the tests which components exist. A test whose component is missing returns immediately.
//!
//! | variable | value |
//! | --- | --- |
//! | `LATCHKEY_BIN` | the binary `latchkey` |
//! | `LATCHKEY_TEST_POSTGRES` | the URL of a superuser; each test creates its own database |
//! | `LATCHKEY_TEST_POSTGRES_PROGRAMS` | the directory of `initdb` and `postgres`, for tests that stop their server |
//! | `LATCHKEY_TEST_PGBOUNCER` | the binary `pgbouncer` |
//! | `LATCHKEY_TEST_WRANGLER` | `1` if the built Workers, wrangler, workerd and the other npm packages can be used |
//! | `LATCHKEY_TEST_PYTHON` | a Python with the packages of `tests/requirements.txt` |
//! | `LATCHKEY_TEST_DEEP` | `1` to let searches and simulations run for about an hour |

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{ChildStdout, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::{
    build_edge,
    cargo::{self, Artifact},
    children::Child,
    pgbouncer, postgres,
    progress::{Stopwatch, step},
    python, tools,
};

/// Run every test, with real components, and list what ran.
///
/// Runs the tests of every crate, the tests of the whole system (in `wrangler dev`, on SQLite and Postgres), and the
/// examples in the documentation. Builds what they need and starts a temporary Postgres server. Tests that need
/// something that is missing on this machine are skipped; the end of the output says what, and how to install it. If
/// CI=true, this is an error instead.
#[derive(clap::Args)]
pub struct Arguments {
    /// Run only the tests that need neither Wrangler nor Postgres nor Python.
    #[arg(long)]
    quick: bool,
    /// Search longer for violations of the revocation bound, for about an hour.
    #[arg(long)]
    deep: bool,
    /// Run only tests whose names contain one of these strings.
    filter: Vec<String>,
    /// Arguments for each test program, such as `--nocapture`.
    #[arg(last = true)]
    test_arguments: Vec<String>,
}

/// The tests of this package start whole systems, which two cores bear two at a time.
const SYSTEM_TESTS: (&str, &str) = ("tests", "--test-threads=2");

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let parts = if arguments.quick { Parts::none() } else { Parts::prepare()? };
    let latchkey = step("Building the control plane", cargo::build_latchkey)?;
    let programs = step("Building the tests", build_tests)?;
    let run = Run { arguments, parts, latchkey };

    let mut suites = Vec::new();
    for program in &programs {
        suites.push(run.program(program)?);
    }
    suites.push(run.documentation()?);
    report(&suites, &run.parts.left_out)
}

/// The real parts that the tests use.
#[derive(Default)]
struct Parts {
    edge: bool,
    postgres: Option<postgres::Cluster>,
    postgres_programs: Option<PathBuf>,
    pgbouncer: Option<PathBuf>,
    python: Option<PathBuf>,
    /// What is not tested, and why.
    left_out: Vec<String>,
}

impl Parts {
    fn none() -> Parts {
        let left_out = vec!["tests that need Wrangler, Postgres or Python, because of --quick".to_owned()];
        Parts { left_out, ..Parts::default() }
    }

    fn prepare() -> Result<Parts> {
        let mut parts = Parts::default();
        let node = tools::missing_node()?;
        parts.left_out.extend(node.as_ref().map(|missing| format!("all tests of the edge: {missing}")));
        let postgres = postgres::programs();
        if postgres.is_none() {
            parts.left_out.push(format!("all tests on Postgres: {}", postgres::ADVICE));
        }
        parts.pgbouncer = pgbouncer::program();
        if parts.pgbouncer.is_none() {
            parts.left_out.push(format!("tests of PgBouncer: {}", pgbouncer::ADVICE));
        }
        let python = python::missing()?;
        parts.left_out.extend(python.as_ref().map(|missing| format!("the fuzzer and the Python client: {missing}")));
        let must_be_complete = env::var("CI").is_ok_and(|value| value == "true");
        if must_be_complete && !parts.left_out.is_empty() {
            bail!("with CI=true no test may be skipped, but these would be: {}", parts.left_out.join("; "));
        }

        if node.is_none() {
            step("Building the Worker", || build_edge::build(&build_edge::EDGE_VALIDATOR))?;
            step("Building the Worker that tests the rules", || build_edge::build(&build_edge::RULES_WORKER))?;
            parts.edge = true;
        }
        if python.is_none() {
            parts.python = Some(python::with_packages()?);
        }
        if let Some(programs) = postgres {
            parts.postgres =
                Some(step("Starting a temporary Postgres server", || postgres::Cluster::start(&programs))?);
            parts.postgres_programs = Some(programs);
        }
        Ok(parts)
    }
}

/// One run of the tests.
struct Run<'a> {
    arguments: &'a Arguments,
    parts: Parts,
    latchkey: PathBuf,
}

fn build_tests() -> Result<Vec<Artifact>> {
    let artifacts = cargo::build(cargo::command("cargo")?.args(["test", "--workspace", "--no-run"]))?;
    let mut programs: Vec<Artifact> =
        artifacts.into_iter().filter(|artifact| artifact.is_test && artifact.executable.is_some()).collect();
    // The tests of whole systems come last: what the others find is easier to understand.
    programs.sort_by_key(|program| (is_of_systems(program), program.package.clone(), program.source.clone()));
    Ok(programs)
}

fn is_of_systems(program: &Artifact) -> bool {
    program.package.file_name().is_some_and(|folder| folder == SYSTEM_TESTS.0)
}

/// What became of the tests of one program.
struct Suite {
    name: String,
    counts: Counts,
    succeeded: bool,
    elapsed: String,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Run<'_> {
    /// Runs one test program in the folder of its package, as `cargo test` does. By itself, so that it can be timed, and
    /// because cargo has no way to give one package fewer threads.
    fn program(&self, program: &Artifact) -> Result<Suite> {
        let executable: &PathBuf = program.executable.as_ref().context("a test has no executable")?;
        let package = program.package.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{package} {}", program.source.display());
        println!("     Running {name} ({})", executable.display());

        let mut command = self.command(executable)?;
        command.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package);
        command.args(&self.arguments.filter);
        if is_of_systems(program) {
            command.arg(SYSTEM_TESTS.1);
        }
        command.args(&self.arguments.test_arguments);
        run_suite(name, &mut command)
    }

    fn documentation(&self) -> Result<Suite> {
        let mut command = self.command("cargo")?;
        command.args(["test", "--workspace", "--doc", "--no-fail-fast", "--"]);
        command.args(&self.arguments.filter).args(&self.arguments.test_arguments);
        run_suite("examples in the documentation".to_owned(), &mut command)
    }

    /// A command that is told which parts are there, and of none that is not.
    fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = cargo::command(program)?;
        command.env("LATCHKEY_BIN", &self.latchkey);
        command.env_remove("LATCHKEY_TEST_WRANGLER").env_remove("LATCHKEY_TEST_POSTGRES");
        command.env_remove("LATCHKEY_TEST_PYTHON").env_remove("LATCHKEY_TEST_DEEP");
        command.env_remove("LATCHKEY_TEST_POSTGRES_PROGRAMS").env_remove("LATCHKEY_TEST_PGBOUNCER");
        if self.arguments.deep {
            command.env("LATCHKEY_TEST_DEEP", "1");
        }
        if self.parts.edge {
            command.env("LATCHKEY_TEST_WRANGLER", "1");
        }
        if let Some(python) = &self.parts.python {
            command.env("LATCHKEY_TEST_PYTHON", python);
        }
        if let Some(cluster) = &self.parts.postgres {
            command.env("LATCHKEY_TEST_POSTGRES", &cluster.url);
        }
        if let Some(folder) = &self.parts.postgres_programs {
            command.env("LATCHKEY_TEST_POSTGRES_PROGRAMS", folder);
        }
        if let Some(program) = &self.parts.pgbouncer {
            command.env("LATCHKEY_TEST_PGBOUNCER", program);
        }
        if !self.parts.left_out.is_empty() {
            // With CI=true a test would take it for an error that its part is missing; but here that is meant.
            command.env_remove("CI");
        }
        Ok(command)
    }
}

/// Runs a command that prints what libtest prints, shows that, and counts along.
fn run_suite(name: String, command: &mut Command) -> Result<Suite> {
    let watch = Stopwatch::start();
    let mut child = Child::start(&name, command.stdout(Stdio::piped()), Signal::SIGTERM)?;
    let output = child.take_stdout().context("cannot read the output of a test")?;
    let counter = thread::spawn(move || show_and_count(output));
    let status = child.wait()?;
    let counts = counter.join().unwrap_or_default();
    Ok(Suite { name, counts, succeeded: status.success(), elapsed: watch.elapsed() })
}

fn show_and_count(output: ChildStdout) -> Counts {
    let mut counts = Counts::default();
    let mut terminal = std::io::stdout();
    // Tests print what they like, also what is no text.
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        counts.add(&String::from_utf8_lossy(&line));
        // Nobody may be reading; the tests are run all the same.
        let _ = terminal.write_all(&line).and_then(|()| terminal.write_all(b"\n"));
    }
    counts
}

impl Counts {
    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; …`; others count nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let number = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Says what ran and what did not. An error if anything failed.
fn report(suites: &[Suite], left_out: &[String]) -> Result<()> {
    println!("\nSummary:");
    println!("  {:>6} {:>6} {:>7} {:>9}", "passed", "failed", "ignored", "time");
    for Suite { name, counts, succeeded, elapsed } in suites {
        let Counts { passed, failed, ignored } = counts;
        if passed + failed + ignored > 0 || !succeeded {
            let mark = if *succeeded { "" } else { "   FAILED" };
            println!("  {passed:>6} {failed:>6} {ignored:>7} {elapsed:>9}  {name}{mark}");
        }
    }
    for reason in left_out {
        println!("Skipped: {reason}");
    }
    let failed = suites.iter().filter(|suite| !suite.succeeded).count();
    if failed > 0 {
        bail!("{failed} of the suites above failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn counts_add_up_over_result_lines_and_over_nothing_else() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s");
        counts.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9s");
        counts.add("test 7 passed; 7 failed");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (13, 2, 1));
    }
}
