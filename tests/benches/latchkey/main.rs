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
//! [`report`] has the types of the results; [`plots`] draws two of them; [`worlds`] and [`javascript`] set up what is
//! measured.
//!
//! Without `--bench`, which is how `cargo test` starts this, it only sees that the sections can be measured, in seconds.

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

use tests::parts;

use crate::report::{Report, Table};

/// One thing that is measured.
struct Section {
    /// What `--only` calls it. `xtask/src/bench.rs` has the same names.
    name: &'static str,
    /// Measures it.
    measure: fn(&Settings) -> Vec<Table>,
    /// Whether the tests try it: it needs workerd and nothing else, and can be quick.
    tried: bool,
}

/// In the order of the report.
const SECTIONS: &[Section] = &[
    Section { name: "edge", measure: edge::measure, tried: true },
    Section { name: "start", measure: start::measure, tried: true },
    Section { name: "memory", measure: memory::measure, tried: true },
    Section { name: "revocation", measure: revocation::measure, tried: true },
    Section { name: "control-plane", measure: control_plane::measure, tried: false },
    Section { name: "sync", measure: sync::measure, tried: false },
];

/// What the command line says.
#[derive(Debug, Default)]
pub struct Settings {
    /// Whether this is only to see that everything can be measured. Its numbers are worth little.
    pub quick: bool,
    /// Whether this is a test: then it is quicker still, and its numbers are worth nothing.
    pub trial: bool,
    rounds: Option<usize>,
    only: Vec<String>,
    /// Another build of `latchkey`, to compare with.
    pub against: Option<PathBuf>,
    json: Option<PathBuf>,
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
        if self.trial { 1 } else { self.rounds.unwrap_or_else(|| self.thorough_or_quick(thorough, quick)) }
    }

    fn from_command_line() -> Self {
        let mut settings = Self::default();
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
            match argument.as_str() {
                "--quick" => settings.quick = true,
                "--rounds" => settings.rounds = Some(value().parse().expect("a number of rounds")),
                "--only" => settings.only.push(value()),
                "--against" => settings.against = Some(value().into()),
                "--json" => settings.json = Some(value().into()),
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
    if env::args().any(|argument| argument == "--bench") {
        bench();
    } else {
        test();
    }
}

fn bench() {
    let settings = Settings::from_command_line();
    let is_wanted = |section: &Section| settings.only.is_empty() || settings.only.iter().any(|it| it == section.name);
    // After each section, so that what was measured is not lost with what cannot be.
    let _ = measure(&settings, is_wanted, |report| {
        let Some(json) = &settings.json else { return };
        write(json, &report.to_json());
        let folder = json.parent().unwrap_or(Path::new("."));
        for (name, drawing) in plots::draw(report) {
            write(&folder.join(name), &drawing);
        }
    });
}

fn measure(settings: &Settings, is_wanted: impl Fn(&Section) -> bool, measured: impl Fn(&Report)) -> Report {
    let mut report = Report::begin(settings.quick);
    print!("{report}");
    for section in SECTIONS.iter().filter(|section| is_wanted(section)) {
        report::progress(&format!("==> {}", section.name));
        report.add(section.name, (section.measure)(settings));
        report.of(section.name).for_each(|table| print!("\n{table}"));
        measured(&report);
    }
    report
}

/// Behaves as a test program with one test, which fails when one of the measurements cannot be made.
fn test() {
    const NAME: &str = "every_section_can_be_measured";
    let filters: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_meant = filters.is_empty() || filters.iter().any(|filter| NAME.contains(filter));
    if is_meant && parts::node_programs().is_some() {
        let settings = Settings { quick: true, trial: true, ..Settings::default() };
        let report = measure(&settings, |section| section.tried, |_| ());
        assert!(plots::draw(&report).iter().all(|(_, drawing)| drawing.ends_with("</svg>\n")));
    }
    let passed = usize::from(is_meant);
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {} filtered out", 1 - passed);
}

fn write(file: &Path, text: &str) {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    report::progress(&format!("    wrote {}", file.display()));
}
