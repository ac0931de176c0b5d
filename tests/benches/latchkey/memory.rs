//! What an isolate takes that remembers as many records as it may.
//!
//! Cloudflare gives an isolate 128 MB. The memory of the process is not the isolate's alone: workerd itself is in it, and
//! so the empty Worker is measured as well.

use std::{sync::Arc, time::Duration};

use tests::{
    cost,
    hand::HandKey,
    load::{self, CONNECTIONS, Load},
};

use crate::{
    Settings,
    javascript::JavaScript,
    report::{Row, Table, progress},
    worlds::{Pair, values},
};

/// As many records as an isolate keeps.
const RECORDS: u64 = 10_000;
/// So many are asked about, because some are asked about more than once before the last one is.
const KEYS: u64 = RECORDS + 2_000;
const SLICE: Duration = Duration::from_millis(500);
/// It takes about four.
const SLICES_MAX: usize = 240;
const MEGABYTE: f64 = 1_000_000.0;

/// Measures it.
pub fn measure(settings: &Settings) -> Vec<Table> {
    let rounds = settings.rounds(3, 1);
    let samples: Vec<[Taken; 3]> = (1..=rounds)
        .map(|round| {
            progress(&format!("    round {round}/{rounds}"));
            take()
        })
        .collect();
    let row = |name, number: usize| {
        let of = |what: fn(&Taken) -> f64| samples.iter().map(|taken| what(&taken[number])).collect::<Vec<f64>>();
        Row::new(name)
            .with("process before, MB", of(|taken| taken.before))
            .with("process with them, MB", of(|taken| taken.after))
    };
    let of = |what: fn(&Wasm) -> f64| samples.iter().filter_map(|taken| taken[2].wasm.as_ref().map(what)).collect();
    let ours = row("ours", 2)
        .with("Wasm before, MB", of(|wasm| wasm.before))
        .with("Wasm with them, MB", of(|wasm| wasm.after))
        .with("records", of(|wasm| wasm.records));
    let rows = vec![row("empty Worker", 0), row("JavaScript", 1), ours];
    vec![Table::new("Memory of an isolate that remembers 10,000 keys", rows)]
}

/// What one round found of one Worker, in megabytes.
#[derive(Debug)]
struct Taken {
    before: f64,
    after: f64,
    wasm: Option<Wasm>,
}

/// The memory of the Wasm instance, and how many records are in it.
#[derive(Debug)]
struct Wasm {
    before: f64,
    after: f64,
    records: f64,
}

/// In new processes: neither memory of Wasm nor that of a process ever shrinks.
fn take() -> [Taken; 3] {
    let pair = Pair::start();
    let keys: Vec<HandKey> = (0..KEYS).map(|number| pair.ours.hand.key(number)).collect();
    keys.iter().for_each(|key| pair.ours.hand.store(key));
    let load = pair.load(&values(&keys));
    let empty = JavaScript::empty(&pair.answer(&keys[0].value).text);
    let ((ours, our_process), (theirs, their_process)) = (pair.ours(), pair.theirs());
    let resident = |process| cost::memory_of(process) as f64 / MEGABYTE;

    let before = [empty.process.id(), their_process, our_process].map(resident);
    let (wasm, _) = status(&pair);
    let ask = |address, load: &Arc<Load>| {
        load::run(address, load, CONNECTIONS, SLICE).assert_as_expected("filling the cache");
    };
    ask(empty.address, &load);
    let mut slices = 0;
    let (wasm_after, records) = loop {
        ask(ours, &load);
        let (memory, records) = status(&pair);
        if records >= RECORDS as f64 {
            break (memory, records);
        }
        slices += 1;
        assert!(slices < SLICES_MAX, "only {records} records");
    };
    // It cannot be asked how many it has, so it is given twice the time.
    for _ in 0..=2 * slices + 1 {
        ask(theirs, &load);
    }
    let after = [empty.process.id(), their_process, our_process].map(resident);
    let taken = |number: usize, wasm| Taken { before: before[number], after: after[number], wasm };
    [taken(0, None), taken(1, None), taken(2, Some(Wasm { before: wasm, after: wasm_after, records }))]
}

/// The memory of the Wasm instance in megabytes, and how many records are in it.
fn status(pair: &Pair) -> (f64, f64) {
    let status = pair.ours.hand.ingress.get("/_edge/status").expect(200);
    let field = |name: &str| status[name].as_f64().unwrap_or_else(|| panic!("no `{name}` in {status}"));
    (field("memory") / MEGABYTE, field("records"))
}
