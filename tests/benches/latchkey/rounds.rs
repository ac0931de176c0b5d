//! Measuring several servers in turn: A B C A B C …, so that whatever else the machine does falls upon all of them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tests::{
    cost,
    load::{self, CONNECTIONS, Load, Outcome},
};

use crate::{
    Settings,
    report::{Row, progress},
};

/// A server, and what it is asked.
#[derive(Debug)]
pub struct Subject {
    /// What its row is called.
    pub name: &'static str,
    /// Where it answers.
    pub address: SocketAddr,
    /// The process that does the work.
    pub process: u32,
    /// What it is asked.
    pub load: Arc<Load>,
    /// What it is compared with: the heads of the columns, and the names of the other rows.
    pub rivals: &'static [(&'static str, &'static str)],
}

/// What one round was of one subject.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Of the server, for one request, in microseconds.
    cpu: f64,
    /// How much of one processor the load generator took.
    generator: f64,
}

/// Before each measurement: connections are made, leases renewed, caches warm again.
const LEAD_IN: Duration = Duration::from_millis(200);
/// Of one subject in one round. Many short rounds rather than a few long ones: what disturbs a machine comes and goes
/// within seconds, and so mostly falls upon a whole round or upon none of it.
const DURATION: Duration = Duration::from_millis(800);
/// In place of that, in a test.
const TRIAL: Duration = Duration::from_millis(100);
/// Before the first round: what is compiled while it runs is compiled then.
const WARM_UP: Duration = Duration::from_secs(4);

/// Asks each subject in turn, for some rounds, and returns a row for each.
///
/// # Panics
/// If an answer is not the expected one.
#[must_use]
pub fn in_turn(subjects: &[Subject], settings: &Settings) -> Vec<Row> {
    let rounds = settings.rounds(21, 2);
    let duration = if settings.trial { TRIAL } else { DURATION };
    for subject in subjects {
        ask(subject, if settings.quick { LEAD_IN } else { WARM_UP });
    }
    let mut samples: Vec<Vec<Sample>> = vec![vec![]; subjects.len()];
    for round in 1..=rounds {
        for (subject, samples) in subjects.iter().zip(&mut samples) {
            ask(subject, LEAD_IN);
            let sample = Sample::take(subject, duration);
            let Sample { rate, cpu, .. } = sample;
            let name = subject.name;
            progress(&format!(
                "    round {round}/{rounds}  {name:40} {rate:>8.0} requests/s  {cpu:>6.1} µs of CPU each"
            ));
            samples.push(sample);
        }
    }
    subjects.iter().zip(&samples).map(|(subject, its)| row(subject, its, subjects, &samples)).collect()
}

fn ask(subject: &Subject, duration: Duration) -> Outcome {
    let outcome = load::run(subject.address, &subject.load, CONNECTIONS, duration);
    outcome.assert_as_expected(subject.name);
    outcome
}

impl Sample {
    fn take(subject: &Subject, duration: Duration) -> Self {
        let before = cost::cpu_of(subject.process);
        let outcome = ask(subject, duration);
        let spent = cost::cpu_of(subject.process).saturating_sub(before);
        Self {
            rate: outcome.rate(),
            p50: f64::from(outcome.quantile(0.5)),
            p99: f64::from(outcome.quantile(0.99)),
            cpu: spent.as_secs_f64() * 1e6 / outcome.latencies.len() as f64,
            generator: 100.0 * outcome.cpu.as_secs_f64() / outcome.elapsed.as_secs_f64(),
        }
    }
}

fn row(subject: &Subject, its: &[Sample], subjects: &[Subject], samples: &[Vec<Sample>]) -> Row {
    let of = |what: fn(&Sample) -> f64| its.iter().map(what).collect::<Vec<f64>>();
    let mut row = Row::new(subject.name)
        .with("requests/s", of(|sample| sample.rate))
        .with("CPU per request, µs", of(|sample| sample.cpu))
        .with("p50, µs", of(|sample| sample.p50))
        .with("p99, µs", of(|sample| sample.p99));
    // Whatever disturbs can only add to what a request costs, so the least is nearest to the truth.
    let least = |samples: &[Sample]| samples.iter().map(|sample| sample.cpu).fold(f64::INFINITY, f64::min);
    for (column, rival) in subject.rivals {
        let number = subjects.iter().position(|subject| subject.name == *rival);
        let rivals = &samples[number.unwrap_or_else(|| panic!("nothing is called {rival}"))];
        // Ratios of one round each, and not of two medians: both were measured within seconds.
        let ratios = its.iter().zip(rivals).map(|(it, rival)| it.rate / rival.rate).collect();
        row = row
            .with(format!("requests/s ÷ {column}"), ratios)
            .with(format!("least CPU ÷ {column}"), vec![least(its) / least(rivals)]);
    }
    row.with("load generator, % of a core", of(|sample| sample.generator))
}
