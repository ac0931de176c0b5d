//! `latchkey edge sync`: every record of a large database, to an edge that takes them as fast as they come.
//!
//! The real KV takes longer. What is seen here is what the control plane needs, most of it on purpose: a second passes
//! between two bulk writes of 10,000 records.

use std::time::Duration;

use tests::{cost, crowd::Crowd, database::Database, fast_edge::FastEdge, wait::Stopwatch};

use crate::{
    Settings,
    control_plane::{databases, sizes},
    report::{Row, Table, progress},
};

/// A million keys take minutes.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const MEGABYTE: f64 = 1_000_000.0;

/// Measures it.
pub fn measure(settings: &Settings) -> Vec<Table> {
    let mut rows = vec![];
    for (name, open) in databases() {
        for &(keys, size) in sizes(settings.quick) {
            match open() {
                Some(database) => rows.push(sync(&format!("{name}, {size}"), database, keys)),
                None => progress(&format!("    {name} is not there, and left out")),
            }
        }
    }
    vec![Table::new("`latchkey edge sync`", rows)]
}

fn sync(name: &str, database: Database, keys: usize) -> Row {
    progress(&format!("    filling a database: {name}"));
    let crowd = Crowd::of(database, keys);
    let edge = FastEdge::start();
    let latchkey = edge.of(&crowd.latchkey);
    let watch = Stopwatch::start();
    let mut process = latchkey.start(&["edge", "sync"]);
    let (mut peak, mut cpu) = (0, Duration::ZERO);
    process.until(PATIENCE, "latchkey edge sync comes to its end", |process| {
        peak = peak.max(cost::peak_memory_of(process.id()).unwrap_or_default());
        let is_over = process.stdout().contains("Sealed ");
        if !is_over {
            cpu = cost::cpu_of(process.id());
        }
        is_over.then_some(())
    });
    assert!(process.wait(PATIENCE).success(), "{process:?}");
    let seconds = watch.elapsed().as_secs_f64();
    let written = edge.written();
    assert!(written >= keys as u64, "each key has a record: {written}");
    progress(&format!("    {name}: {seconds:.0} s"));
    Row::new(name)
        .with("s", vec![seconds])
        .with("records/s", vec![written as f64 / seconds])
        .with("CPU per record, µs", vec![cpu.as_secs_f64() * 1e6 / written as f64])
        .with("peak memory, MB", vec![peak as f64 / MEGABYTE])
}
