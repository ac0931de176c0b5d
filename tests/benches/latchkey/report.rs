//! The results: tables of rows, each with some measurements, each with all its samples.

use std::{fmt, io::Write};

use serde::Serialize;
use shared::{Rfc3339, Timestamp};
use tests::hand;

use crate::machine::Machine;

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
pub struct Report {
    began_at: Rfc3339,
    /// Its numbers are worth little.
    quick: bool,
    machine: Machine,
    tables: Vec<Table>,
}

/// What is shown together.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Of which section it is.
    section: &'static str,
    /// What it is about.
    pub title: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// What was measured of one thing.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The thing.
    pub name: String,
    /// The measurements.
    pub measurements: Vec<Measurement>,
}

/// One measurement, made several times.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// What was measured, with its unit: the head of a column.
    pub name: String,
    /// The middle one of the samples, …
    pub median: f64,
    /// … the least, …
    pub min: f64,
    /// … and the greatest.
    pub max: f64,
    /// One of each round, in their order.
    pub samples: Vec<f64>,
}

impl Table {
    /// A table with these rows.
    #[must_use]
    pub fn new(title: impl Into<String>, rows: Vec<Row>) -> Self {
        Self { section: "", title: title.into(), rows }
    }
}

impl Row {
    /// A row without measurements.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), measurements: vec![] }
    }

    /// With one more measurement.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, samples: Vec<f64>) -> Self {
        self.measurements.push(Measurement::new(name, samples));
        self
    }

    /// The measurement of this name.
    #[must_use]
    pub fn measurement(&self, name: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|measurement| measurement.name == name)
    }
}

impl Measurement {
    /// # Panics
    /// Without samples.
    #[must_use]
    pub fn new(name: impl Into<String>, samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "a measurement has samples");
        // What is beyond the third decimal place is noise, whatever the unit.
        let samples: Vec<f64> = samples.into_iter().map(|sample| (sample * 1_000.0).round() / 1_000.0).collect();
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        // Of an even number of samples the mean of the two in the middle.
        let median = f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2]);
        Self { name: name.into(), median, min: sorted[0], max: sorted[last], samples }
    }
}

impl Report {
    /// An empty one, of this moment and this machine.
    #[must_use]
    pub fn begin(quick: bool) -> Self {
        let now: Timestamp = hand::now();
        Self { began_at: Rfc3339(now), quick, machine: Machine::this(), tables: vec![] }
    }

    /// Adds the tables of a section.
    pub fn add(&mut self, section: &'static str, tables: Vec<Table>) {
        self.tables.extend(tables.into_iter().map(|table| Table { section, ..table }));
    }

    /// The tables of a section.
    pub fn of<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter(move |table| table.section == section)
    }

    /// All of it, for programs.
    ///
    /// # Panics
    /// Never: every number has a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let pretty = serde_json::to_string_pretty(self).expect("it can be written as JSON");
        let mut json = String::new();
        let mut in_numbers = false;
        // The samples of a measurement go on one line.
        for line in pretty.lines() {
            let is_number = line.trim_start().starts_with(|first: char| first.is_ascii_digit() || first == '-');
            match (in_numbers, is_number) {
                (false, false) => json.extend(["\n", line]),
                (true, true) => json.extend([" ", line.trim_start()]),
                _ => json.push_str(line.trim_start()),
            }
            in_numbers = is_number;
        }
        json.trim_start().to_owned() + "\n"
    }
}

/// What stands before the tables.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if self.quick {
            writeln!(f, "Measured with --quick: these numbers only show that everything can be measured.")?;
        }
        Ok(())
    }
}

/// For people: Markdown, as docs/PERFORMANCE.md has it.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns: Vec<&str> = vec![];
        for measurement in self.rows.iter().flat_map(|row| &row.measurements) {
            if !columns.contains(&measurement.name.as_str()) {
                columns.push(&measurement.name);
            }
        }
        let head = std::iter::once(String::new()).chain(columns.iter().map(ToString::to_string)).collect();
        let mut lines: Vec<Vec<String>> = vec![head];
        for row in &self.rows {
            let cell = |name| row.measurement(name).map_or_else(String::new, ToString::to_string);
            let cells = columns.iter().map(|name| cell(name));
            lines.push(std::iter::once(row.name.clone()).chain(cells).collect());
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
        writeln!(f, "{}\n", self.title)?;
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(f, "| {} |", rules.join(" | "))?;
            }
        }
        Ok(())
    }
}

/// The median, and the spread if there was any.
impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, min, max] = [self.median, self.min, self.max].map(number);
        if self.samples.len() == 1 { write!(f, "{median}") } else { write!(f, "{median} ({min}–{max})") }
    }
}

/// Three digits that count, or all of a whole number: `16,900`, `57.3`, `0.82`.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0..100.0 => 1,
        _ if value.fract() == 0.0 => 0,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// Tells whoever waits what happens.
pub fn progress(line: &str) {
    // When nobody can read it any more, the work goes on all the same.
    let _ = writeln!(std::io::stderr(), "{line}");
}
