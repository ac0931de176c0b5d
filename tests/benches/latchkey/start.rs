//! The size of the Worker, and how soon it answers.
//!
//! Of a new process is told when it listens, when it has answered its first request, and how long that request took by
//! itself: workerd makes an isolate, and compiles what it runs, for the first request to it. This is what a cold isolate
//! costs whoever meets it. The first request to a validator finds nothing: it polls the change feed and reads two records
//! from KV.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use flate2::{Compression, read::GzEncoder};
use tests::{
    load::Connection,
    parts,
    wait::{Deadline, Stopwatch},
};

use crate::{
    Settings,
    javascript::JavaScript,
    report::{Row, Table, progress},
    worlds::{Pair, values},
};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether somebody listens.
const GLANCE: Duration = Duration::from_millis(1);

/// Measures it.
pub fn measure(settings: &Settings) -> Vec<Table> {
    vec![sizes(), starts(settings)]
}

fn sizes() -> Table {
    let kilobytes = |size: usize| vec![size as f64 / 1_000.0];
    let rows = ["build/index_bg.wasm", "build/index.js", "src/worker.js", "src/request_id.js"].map(|name| {
        let (raw, gzipped) = size(&parts::workspace().join("edge-validator").join(name));
        Row::new(name).with("KB", kilobytes(raw)).with("gzipped, KB", kilobytes(gzipped))
    });
    Table::new("What is deployed", rows.into())
}

fn size(file: &Path) -> (usize, usize) {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut gzipped = vec![];
    let read = GzEncoder::new(bytes.as_slice(), Compression::best()).read_to_end(&mut gzipped);
    (bytes.len(), read.expect("memory can be read"))
}

/// The moments of one start, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Start {
    listening: f64,
    answered: f64,
    first: f64,
    second: f64,
}

fn starts(settings: &Settings) -> Table {
    let mut pair = Pair::start();
    let key = pair.ours.hand.key(0);
    pair.ours.hand.store(&key);
    let answer = pair.answer(&key.value).text;
    let mut empty = JavaScript::empty(&answer);
    let request = pair.ours.request(&values(&[key])[0]);

    let rounds = settings.rounds(21, 3);
    let mut samples: [Vec<Start>; 3] = [vec![], vec![], vec![]];
    for round in 1..=rounds {
        progress(&format!("    round {round}/{rounds}"));
        empty.process.kill();
        samples[0].push(Start::of(empty.address, &request, &answer, || empty.launch()));
        pair.javascript.process.kill();
        samples[1].push(Start::of(pair.javascript.address, &request, &answer, || pair.javascript.launch()));
        pair.ours.workerd.kill();
        samples[2].push(Start::of(pair.ours.address(0), &request, &answer, || pair.ours.workerd.launch()));
    }
    let names = ["empty Worker", "JavaScript", "ours"];
    let row = |(name, starts): (&str, &Vec<Start>)| {
        let of = |what: fn(&Start) -> f64| starts.iter().map(what).collect::<Vec<f64>>();
        Row::new(name)
            .with("listening after, ms", of(|start| start.listening))
            .with("first answer after, ms", of(|start| start.answered))
            .with("first request, ms", of(|start| start.first))
            .with("second request, ms", of(|start| start.second))
    };
    Table::new("From the start of a process to its first answer", names.into_iter().zip(&samples).map(row).collect())
}

impl Start {
    /// Starts a process, and asks it as soon as it listens.
    fn of(address: SocketAddr, request: &[u8], answer: &str, launch: impl FnOnce()) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let watch = Stopwatch::start();
        launch();
        let deadline = Deadline::after(PATIENCE);
        while TcpStream::connect(address).is_err() {
            assert!(!deadline.is_over(), "nobody listens at {address}");
            thread::sleep(GLANCE);
        }
        let millis = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let listening = millis(watch.elapsed());
        runtime.block_on(async {
            let mut connection = Connection::open(address).await.expect("somebody listens");
            let mut took = [0.0; 2];
            let mut answered = 0.0;
            for (number, took) in took.iter_mut().enumerate() {
                let request_watch = Stopwatch::start();
                let answered_with = connection.exchange(request).await.expect("it is answered");
                assert_eq!((answered_with.status, answered_with.text().as_ref()), (200, answer));
                *took = millis(request_watch.elapsed());
                if number == 0 {
                    answered = millis(watch.elapsed());
                }
            }
            Self { listening, answered, first: took[0], second: took[1] }
        })
    }
}
