//! How soon after its acknowledgement a revocation is known everywhere: the time until the last isolate refuses.
//!
//! Every isolate is asked steadily, as one in use is, about each key that is being revoked until it refuses it. Keys are
//! revoked at moments that have nothing to do with when isolates poll, through one more isolate that is not asked: it would
//! know of a change at once, because it passed through it. Nor do the isolates poll together: each is first asked at a
//! moment of its own, as it is where they start one by one.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tests::{
    hand::HandKey,
    load::Connection,
    wait::{eventually, moment},
};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use crate::{
    Settings,
    report::{Row, Table, progress},
    worlds::{LEASE_MILLIS, Ours},
};

/// How many isolates there are.
const ISOLATES: [usize; 3] = [1, 8, 32];
/// Between two questions to one isolate. All samples are so much coarser than they look.
const PACE: Duration = Duration::from_millis(10);
/// Two revocations are at most so far apart.
const APART_MILLIS: u64 = 800;
/// Within so long the isolates are asked first: as often they poll.
const SPREAD_MILLIS: u64 = LEASE_MILLIS as u64 / 2;
const BOUND: Duration = Duration::from_millis(LEASE_MILLIS as u64);
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures it.
pub fn measure(settings: &Settings) -> Vec<Table> {
    let revocations = settings.rounds(200, 10);
    let counts = &ISOLATES[..settings.thorough_or_quick(3, if settings.trial { 1 } else { 2 })];
    let rows = counts.iter().map(|&isolates| {
        progress(&format!("    {revocations} revocations before {isolates} isolates"));
        row(isolates, until_all_refuse(isolates, revocations))
    });
    vec![Table::new("From the acknowledgement of a revocation to the last isolate that refuses", rows.collect())]
}

fn row(isolates: usize, mut seconds: Vec<f64>) -> Row {
    let samples = seconds.clone();
    seconds.sort_by(f64::total_cmp);
    let quantile = |share: f64| vec![seconds[((seconds.len() - 1) as f64 * share).round() as usize]];
    let name = if isolates == 1 { "1 isolate".to_owned() } else { format!("{isolates} isolates") };
    let row = Row::new(name).with("p50, s", quantile(0.5)).with("p99, s", quantile(0.99));
    row.with("longest, s", quantile(1.0)).with(ALL, samples)
}

/// The name of the measurement that has every sample.
pub const ALL: &str = "all, s";

/// The seconds that each revocation took.
fn until_all_refuse(isolates: usize, revocations: usize) -> Vec<f64> {
    let ours = Ours::start(isolates + 1);
    let mut keys: Vec<HandKey> = (0..=revocations as u64).map(|number| ours.hand.key(number)).collect();
    keys.iter().for_each(|key| ours.hand.store(key));
    let mut requests: Vec<Vec<u8>> = keys.iter().map(|key| ours.request(&key.value)).collect();
    let steady = requests.pop().expect("there is one more key than revocations");
    let addresses: Vec<SocketAddr> = (1..=isolates).map(|number| ours.address(number)).collect();
    let asking = Arc::new(Asking { requests, steady, state: Mutex::default() });
    let asker = {
        let asking = Arc::clone(&asking);
        thread::spawn(move || asking.ask(&addresses))
    };
    let until = |what, is_so: &dyn Fn(&State) -> bool| {
        eventually(PATIENCE, what, || {
            let state = asking.state();
            // What went wrong there is told when it is joined.
            if asker.is_finished() || is_so(&state) { Ok(()) } else { Err("not all do") }
        });
    };
    until("every isolate knows every key", &|state| state.ready == isolates);
    for key in keys[..revocations].iter_mut().take_while(|_| !asker.is_finished()) {
        thread::sleep(Duration::from_millis(tests::unique() % APART_MILLIS));
        asking.state().revocations.push(Revocation { acknowledged: None, refused: vec![None; isolates] });
        ours.hand.revoke(key);
        let now = moment();
        asking.state().acknowledge(now);
    }
    until("every isolate refuses every key", &|state| {
        state.revocations.iter().all(|revocation| revocation.refused.iter().all(Option::is_some))
    });
    asking.state().is_over = true;
    asker.join().expect("every answer was one that may be given");
    asking.state().revocations.iter().map(Revocation::seconds).collect()
}

/// What became of a key that is being revoked.
struct Revocation {
    acknowledged: Option<Instant>,
    /// When the answer came by which each isolate refused it.
    refused: Vec<Option<Instant>>,
}

impl Revocation {
    /// From the acknowledgement to the last isolate; nothing, if all of them knew it before.
    fn seconds(&self) -> f64 {
        let (acknowledged, last) = (self.acknowledged, self.refused.iter().flatten().max());
        let after = acknowledged.zip(last).map(|(acknowledged, last)| last.saturating_duration_since(acknowledged));
        after.expect("it was acknowledged, and refused").as_secs_f64()
    }
}

#[derive(Default)]
struct State {
    /// The isolates that know every key.
    ready: usize,
    /// Of the first keys, in their order.
    revocations: Vec<Revocation>,
    is_over: bool,
}

impl State {
    fn acknowledge(&mut self, now: Instant) {
        if let Some(last) = self.revocations.last_mut() {
            last.acknowledged = Some(now);
        }
    }

    /// The keys whose revocation this isolate may not know yet.
    fn open_for(&self, isolate: usize) -> Vec<usize> {
        let is_open = |number: &usize| self.revocations[*number].refused[isolate].is_none();
        (0..self.revocations.len()).filter(is_open).collect()
    }
}

/// The steady load.
struct Asking {
    /// About each key.
    requests: Vec<Vec<u8>>,
    /// About one that stays good.
    steady: Vec<u8>,
    state: Mutex<State>,
}

impl Asking {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all isolates until it is over.
    fn ask(self: Arc<Self>, addresses: &[SocketAddr]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut isolates = JoinSet::new();
            for (number, address) in addresses.iter().enumerate() {
                isolates.spawn(Arc::clone(&self).ask_one(number, *address));
            }
            for outcome in isolates.join_all().await {
                outcome.expect("every isolate answers");
            }
        });
    }

    async fn ask_one(self: Arc<Self>, isolate: usize, address: SocketAddr) -> std::io::Result<()> {
        tokio::time::sleep(Duration::from_millis(tests::unique() % SPREAD_MILLIS)).await;
        let mut connection = Connection::open(address).await?;
        for request in self.requests.iter().chain([&self.steady]) {
            assert!(is_accepted(&mut connection, request).await?, "a good key was refused");
        }
        self.state().ready += 1;
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0.. {
            let _ = pace.tick().await;
            let open = {
                let state = self.state();
                if state.is_over {
                    break;
                }
                state.open_for(isolate)
            };
            let Some(&number) = open.get(turn % open.len().max(1)) else {
                assert!(is_accepted(&mut connection, &self.steady).await?, "a good key was refused");
                continue;
            };
            let sent = moment();
            let is_accepted = is_accepted(&mut connection, &self.requests[number]).await?;
            let revocation = &mut self.state().revocations[number];
            if is_accepted {
                let late = revocation.acknowledged.and_then(|acknowledged| sent.checked_duration_since(acknowledged));
                assert!(
                    late.is_none_or(|late| late <= BOUND),
                    "accepted, asked for {late:?} after the acknowledgement"
                );
            } else {
                revocation.refused[isolate] = Some(moment());
            }
        }
        Ok(())
    }
}

async fn is_accepted(connection: &mut Connection, request: &[u8]) -> std::io::Result<bool> {
    let answer = connection.exchange(request).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(!answer.text().starts_with(r#"{"api_key":null"#))
}
