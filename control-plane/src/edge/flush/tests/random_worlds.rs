//! Two processes that flush, writes that are refused, lost, or land late, processes that are killed, in any order:
//! whatever happens, a key that is not in the outbox has its newest record at the edge, and nothing under way that
//! could put an older one over it.

use proptest::{prelude::*, test_runner::Config};
use shared::id::ApiKeyId;
use tokio::{sync::mpsc, task::JoinHandle};

use super::*;
use crate::testing::world::{Pair, id_of};

#[derive(Debug, Clone)]
enum Step {
    Create,
    Change(usize),
    Flush(usize),
    Answer(usize, Answer),
    Kill(usize),
    Land(usize),
    Advance(u64),
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Ok,
    AllButOne,
    Refused,
    Lost,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answer = prop_oneof![
        3 => Just(Answer::Ok),
        2 => Just(Answer::AllButOne),
        1 => Just(Answer::Refused),
        2 => Just(Answer::Lost),
    ];
    let step = prop_oneof![
        1 => Just(Step::Create),
        3 => (0..3_usize).prop_map(Step::Change),
        5 => (0..2_usize).prop_map(Step::Flush),
        5 => ((0..2_usize), answer).prop_map(|(process, answer)| Step::Answer(process, answer)),
        1 => (0..2_usize).prop_map(Step::Kill),
        2 => (0..4_usize).prop_map(Step::Land),
        3 => prop_oneof![1..5_u64, 5..70_u64].prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(Config { cases: 32, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_change_is_lost_and_no_older_record_stays(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (db, _folder) = crate::storage::testing::sqlite().await;
            let mut play = Play::new(World::new(db).await);
            for step in steps {
                play.step(step).await;
                play.check().await;
            }
            play.end().await;
        });
    }
}

struct Play {
    world: World,
    keys: Vec<ApiKeyId>,
    processes: [Option<Process>; 2],
    writes: mpsc::UnboundedReceiver<Write>,
    late: Vec<Late>,
}

/// A flush that waits for the answer of KV.
struct Process {
    write: Write,
    task: JoinHandle<()>,
    since: Timestamp,
}

/// A write that may land until then.
struct Late {
    pairs: Vec<Pair>,
    until: Timestamp,
}

impl Play {
    fn new(world: World) -> Self {
        let writes = world.kv.intercept();
        Self { world, keys: vec![], processes: [None, None], writes, late: vec![] }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Create => {
                let name = format!("key {}", self.keys.len());
                self.keys.push(self.world.create_key(&name).await);
            }
            Step::Change(key) if key < self.keys.len() => {
                self.world.change_key(&self.keys[key]).await;
            }
            Step::Flush(process) if self.processes[process].is_none() => self.flush(process).await,
            Step::Answer(process, answer) => self.answer(process, answer).await,
            Step::Kill(process) => self.kill(process).await,
            Step::Land(late) if late < self.late.len() => {
                let late = self.late.swap_remove(late);
                self.world.kv.land(late.pairs);
            }
            Step::Advance(seconds) => self.advance(Duration::from_secs(seconds)).await,
            Step::Change(_) | Step::Flush(_) | Step::Land(_) => {}
        }
    }

    async fn flush(&mut self, process: usize) {
        let mut flusher = self.world.flusher();
        let mut task = tokio::spawn(async move {
            flusher.flush().await.unwrap();
        });
        tokio::select! {
            write = self.writes.recv() => {
                let write = write.unwrap();
                self.processes[process] = Some(Process { write, task, since: self.world.clock.now() });
            }
            done = &mut task => done.unwrap(),
        }
    }

    async fn answer(&mut self, process: usize, answer: Answer) {
        let Some(Process { write, task, since }) = self.processes[process].take() else { return };
        let mut pairs = write.pairs.clone();
        match answer {
            Answer::Ok => {
                self.world.kv.land(pairs);
                write.answer_ok(&[]);
            }
            Answer::AllButOne => {
                let failed = pairs.remove(0);
                self.world.kv.land(pairs);
                write.answer_ok(&[&failed.key]);
                self.late.push(Late { pairs: vec![failed], until: after(since, SETTLE) });
            }
            Answer::Refused => drop(write.answer_error(429, None)),
            Answer::Lost => {
                write.break_off();
                self.late.push(Late { pairs, until: after(since, SETTLE) });
            }
        }
        task.await.unwrap();
    }

    /// Kills a process and starts the next one, which takes up what the other left.
    async fn kill(&mut self, process: usize) {
        if let Some(Process { write, task, since }) = self.processes[process].take() {
            task.abort();
            self.late.push(Late { pairs: write.forget(), until: after(since, SETTLE) });
        }
        let mut transaction = self.world.db.write().await.unwrap();
        outbox::make_all_due(transaction.conn(), self.world.clock.now()).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// No call outlasts its time-out, and no write lands later than its time.
    async fn advance(&mut self, pause: Duration) {
        let then = after(self.world.clock.now(), pause);
        for process in 0..self.processes.len() {
            if self.processes[process].as_ref().is_some_and(|process| after(process.since, kv::TIMEOUT) <= then) {
                self.answer(process, Answer::Lost).await;
            }
        }
        for Late { pairs, .. } in self.late.extract_if(.., |late| late.until <= then) {
            self.world.kv.land(pairs);
        }
        self.world.advance(pause);
    }

    async fn check(&self) {
        let waiting = self.waiting().await;
        let at_edge = self.world.versions_at_edge().await;
        for (id, version) in self.world.versions().await {
            if waiting.contains(&id) {
                continue;
            }
            assert_eq!(at_edge.get(&id), Some(&version), "{id} was published");
            for under_way in self.under_way() {
                assert!(under_way.get(&id).is_none_or(|other| *other >= version), "{id} may become older again");
            }
        }
    }

    async fn waiting(&self) -> Vec<String> {
        let ids: Vec<&str> = self.keys.iter().map(ApiKeyId::as_str).collect();
        outbox::waiting(self.world.db.read().await.unwrap().conn(), &ids).await.unwrap()
    }

    /// The versions of each write that may land.
    fn under_way(&self) -> Vec<BTreeMap<String, shared::record::Version>> {
        let unanswered = self.processes.iter().flatten().map(|process| &process.write.pairs);
        let writes = unanswered.chain(self.late.iter().map(|late| &late.pairs));
        writes.map(|pairs| pairs.iter().map(|pair| self.version_of(pair)).collect()).collect()
    }

    fn version_of(&self, pair: &Pair) -> (String, shared::record::Version) {
        let (environment, digest) = shared::digest::KvKey::parse_api_key(&pair.key).unwrap();
        let kv_key = shared::digest::KvKey::api_key(&environment, &digest);
        let record = self.world.secrets().open(&kv_key, &pair.value).unwrap();
        (id_of(&record), record.version)
    }

    /// All comes to rest, and the edge has what the database has.
    async fn end(mut self) {
        self.advance(SETTLE).await;
        self.world.kv.behave();
        for _ in 0..3 {
            drain(&self.world).await;
            self.world.advance(SETTLE);
        }
        assert_eq!(self.world.backlog().await.depth, 0);
        assert_eq!(self.world.versions_at_edge().await, self.world.versions().await);
    }
}
