//! `cargo xtask bench`: what Latchkey costs and how fast it is, measured on real parts.
//!
//! Each *section* measures one thing and returns tables. Whatever is compared is measured in turn, round by round, in one
//! run on one machine ([`rounds`]), because a ratio of two numbers of one round says more than either number.
//! docs/PERFORMANCE.md explains the tables and what they do not say.
//!
//! | module | what it measures |
//! | --- | --- |
//! | [`edge`] | validations by the Worker, beside a Worker that does nothing and one that was written in JavaScript |
//! | [`start`] | the size of the Worker, and how soon it answers |
//! | [`memory`] | what an isolate takes that remembers as much as it may |
//! | [`revocation`] | how soon after its acknowledgement a revocation is known everywhere |
//! | [`control_plane`] | what `latchkey serve` answers in a second, and its memory, with ever more keys |
//! | [`sync`] | how long `latchkey edge sync` takes, and its memory |
//!
//! [`report`] has the types of the results; [`plots`] draws two of them.

#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that cannot go on must stop, and say why")]

mod control_plane;
mod edge;
mod javascript;
mod machine;
mod memory;
mod plots;
mod report;
mod revocation;
mod rounds;
mod start;
mod sync;
mod worlds;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::report::{Report, Table};

/// One thing that is measured.
struct Section {
    /// What `--only` calls it. `xtask/src/bench.rs` has the same names.
    name: &'static str,
    /// Measures it.
    measure: fn(&Settings) -> Vec<Table>,
}

/// In the order of the report.
const SECTIONS: &[Section] = &[
    Section { name: "edge", measure: edge::measure },
    Section { name: "start", measure: start::measure },
    Section { name: "memory", measure: memory::measure },
    Section { name: "revocation", measure: revocation::measure },
    Section { name: "control-plane", measure: control_plane::measure },
    Section { name: "sync", measure: sync::measure },
];

/// What the command line says.
#[derive(Debug)]
pub struct Settings {
    /// Whether this is only to see that everything can be measured. Its numbers are worth little.
    pub quick: bool,
    rounds: Option<usize>,
    only: Vec<String>,
    json: PathBuf,
}

impl Settings {
    /// The first of two numbers, or the second if this is quick.
    #[must_use]
    pub const fn thorough_or_quick(&self, thorough: usize, quick: usize) -> usize {
        if self.quick { quick } else { thorough }
    }

    /// How often everything is measured: what the command line says, or else one of these.
    #[must_use]
    pub fn rounds(&self, thorough: usize, quick: usize) -> usize {
        self.rounds.unwrap_or_else(|| self.thorough_or_quick(thorough, quick))
    }

    fn from_command_line() -> Self {
        let json = PathBuf::from("target/bench/latchkey.json");
        let mut settings = Self { quick: false, rounds: None, only: vec![], json };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
            match argument.as_str() {
                "--quick" => settings.quick = true,
                "--rounds" => settings.rounds = Some(value().parse().expect("a number of rounds")),
                "--only" => settings.only.push(value()),
                "--json" => settings.json = value().into(),
                // cargo says this to every benchmark.
                "--bench" => {}
                other => panic!("unknown argument {other}; `cargo xtask bench --help` has those that there are"),
            }
        }
        for name in &settings.only {
            assert!(SECTIONS.iter().any(|section| section.name == name), "there is no section {name}");
        }
        settings
    }
}

fn main() {
    let settings = Settings::from_command_line();
    let is_wanted = |section: &&Section| settings.only.is_empty() || settings.only.iter().any(|it| it == section.name);
    let mut report = Report::begin(settings.quick);
    for section in SECTIONS.iter().filter(is_wanted) {
        report::progress(&format!("==> {}", section.name));
        report.add(section.name, (section.measure)(&settings));
    }
    println!("{report}");
    write(&settings.json, &report.to_json());
    let folder = settings.json.parent().unwrap_or(Path::new("."));
    for (name, drawing) in plots::draw(&report) {
        write(&folder.join(name), &drawing);
    }
}

fn write(file: &Path, text: &str) {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    report::progress(&format!("    wrote {}", file.display()));
}
