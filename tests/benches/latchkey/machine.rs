//! On what it was measured, and of what.

use std::{env::consts, fmt, fs, process::Command, thread};

use serde::Serialize;
use tests::parts;

/// The machine and the versions.
#[derive(Debug, Serialize)]
pub struct Machine {
    cores: usize,
    processor: String,
    system: String,
    architecture: &'static str,
    /// How busy it was before anything was measured: the average of one minute.
    load_before: Option<f64>,
    latchkey: &'static str,
    commit: String,
    rustc: String,
    workerd: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let workerd = parts::workspace().join("node_modules/.bin/workerd");
        Self {
            cores: thread::available_parallelism().map_or(0, Into::into),
            processor: processor().unwrap_or_else(unknown),
            system: first_line("uname", &["-sr"]).unwrap_or_else(unknown),
            architecture: consts::ARCH,
            load_before: load(),
            latchkey: env!("CARGO_PKG_VERSION"),
            commit: first_line("git", &["describe", "--always", "--dirty"]).unwrap_or_else(unknown),
            rustc: first_line("rustc", &["--version"]).unwrap_or_else(unknown),
            workerd: first_line(&workerd.to_string_lossy(), &["--version"]).unwrap_or_else(unknown),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, system, architecture, latchkey, commit, rustc, workerd, load_before } = self;
        let load = load_before.map_or_else(String::new, |load| format!(", load {load} before"));
        writeln!(f, "{processor}, {cores} cores, {system}, {architecture}{load}")?;
        write!(f, "Latchkey {latchkey} ({commit}), {rustc}, {workerd}")
    }
}

fn processor() -> Option<String> {
    let told = fs::read_to_string("/proc/cpuinfo").ok();
    let line = told.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("model name")));
    let name = line.map(|line| line.trim_start_matches([' ', '\t', ':']).to_owned());
    name.or_else(|| first_line("sysctl", &["-n", "machdep.cpu.brand_string"]))
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(parts::workspace()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().lines().next()?.to_owned();
    output.status.success().then_some(text)
}
