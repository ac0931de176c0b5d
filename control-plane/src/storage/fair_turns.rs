//! Turns that callers share. Next is the caller that has the fewest at the moment and, of several, the one whose last turn
//! began, or whose first request came, longest ago.
//!
//! So a caller waits for one turn of each other caller, however many requests they have.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, task_local, time::timeout};

use super::Result;

/// Who asks. Requests of one caller have the same number.
pub type Caller = u64;
/// What runs by itself.
const BACKGROUND: Caller = 0;

task_local! {
    static CALLER: Caller;
}

/// Runs what a caller has asked for. All that it asks the database for counts as this caller's. A task that it spawns does
/// not, unless it is wrapped, too.
pub async fn as_caller<T>(caller: Caller, work: impl Future<Output = T>) -> T {
    CALLER.scope(caller, work).await
}

/// Whose work this is.
pub fn current_caller() -> Caller {
    CALLER.try_with(|caller| *caller).unwrap_or(BACKGROUND)
}

/// So many turns at a time.
#[derive(Debug, Clone)]
pub struct FairTurns(Arc<Mutex<State>>);

/// A turn. It ends when it is dropped.
#[derive(Debug)]
pub struct FairTurn {
    caller: Caller,
    /// `None` if it was never taken.
    turns: Option<FairTurns>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// How many turns have begun and how many callers have come, to tell what was earlier.
    counter: u64,
    /// Those that have turns or wait for them.
    callers: HashMap<Caller, Share>,
    /// Those that wait, the next one first.
    order: BTreeSet<(usize, u64, Caller)>,
}

#[derive(Debug)]
struct Share {
    active: usize,
    /// When the last turn began or, before the first one, when the caller came.
    since: u64,
    waiting: VecDeque<oneshot::Sender<FairTurn>>,
}

impl FairTurns {
    /// So many at a time.
    pub fn new(count: usize) -> Self {
        let state = State { free: count, counter: 0, callers: HashMap::new(), order: BTreeSet::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a turn, for so long at the most.
    pub async fn turn(&self, limit: Duration) -> Result<FairTurn> {
        timeout(limit, self.wait()).await.map_err(|_| sqlx::Error::PoolTimedOut)
    }

    /// Waits for a turn.
    pub async fn wait(&self) -> FairTurn {
        let caller = current_caller();
        loop {
            let waiting = {
                let mut state = self.lock();
                if state.free > 0 {
                    state.free -= 1;
                    state.begin(caller);
                    return FairTurn { caller, turns: Some(self.clone()) };
                }
                state.wait(caller)
            };
            if let Ok(turn) = waiting.await {
                return turn;
            }
        }
    }

    /// How many there are that nobody has.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.lock().free
    }

    /// Nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Changes the share of a caller, and the order with it.
    fn change<T>(&mut self, caller: Caller, change: impl FnOnce(&mut Share) -> T) -> T {
        let since = self.counter;
        let share = self.callers.entry(caller).or_insert_with(|| Share { active: 0, since, waiting: VecDeque::new() });
        self.order.remove(&(share.active, share.since, caller));
        let changed = change(share);
        if !share.waiting.is_empty() {
            self.order.insert((share.active, share.since, caller));
        } else if share.active == 0 {
            self.callers.remove(&caller);
        }
        changed
    }

    fn begin(&mut self, caller: Caller) {
        self.counter += 1;
        let since = self.counter;
        self.change(caller, |share| {
            share.active += 1;
            share.since = since;
        });
    }

    fn end(&mut self, caller: Caller) {
        self.change(caller, |share| share.active -= 1);
    }

    fn wait(&mut self, caller: Caller) -> oneshot::Receiver<FairTurn> {
        self.counter += 1;
        let (sender, receiver) = oneshot::channel();
        self.change(caller, |share| {
            share.waiting.retain(|sender| !sender.is_closed());
            share.waiting.push_back(sender);
        });
        receiver
    }

    fn next(&mut self) -> Option<(Caller, oneshot::Sender<FairTurn>)> {
        let (.., caller) = *self.order.first()?;
        let sender = self.change(caller, |share| share.waiting.pop_front())?;
        Some((caller, sender))
    }
}

impl Drop for FairTurn {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        let mut state = turns.lock();
        while let Some((caller, sender)) = state.next() {
            state.begin(caller);
            let Err(mut unwanted) = sender.send(Self { caller, turns: Some(turns.clone()) }) else {
                return state.end(self.caller);
            };
            // Nobody waits for it any more.
            unwanted.turns = None;
            state.end(caller);
        }
        state.end(self.caller);
        state.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join, join_all};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Who had turns, in their order, if these callers ask in this order while there is no turn left.
    async fn order(count: usize, callers: &[Caller]) -> Vec<Caller> {
        let turns = FairTurns::new(count);
        let running = join_all((0..count).map(|_| as_caller(1, turns.turn(LONG)))).await;
        let order = Mutex::new(vec![]);
        let ask = async |caller| {
            let turn = as_caller(caller, turns.turn(LONG)).await.unwrap();
            order.lock().unwrap().push(caller);
            tokio::task::yield_now().await;
            drop(turn);
        };
        join(join_all(callers.iter().map(|caller| ask(*caller))), async { drop(running) }).await;
        order.into_inner().unwrap()
    }

    #[tokio::test]
    async fn caller_with_one_request_waits_behind_one_of_each_other_caller() {
        let mut callers = vec![1; 100];
        callers.extend([2, 3]);
        assert_eq!(order(1, &callers).await[..3], [2, 1, 3]);
    }

    #[tokio::test]
    async fn caller_with_a_queue_waits_behind_one_request_of_each_that_comes_again_and_again() {
        let turns = FairTurns::new(1);
        let running = turns.turn(LONG).await.unwrap();
        let order = Mutex::new(vec![]);
        let ask = async |caller, count| {
            for _ in 0..count {
                let _turn = as_caller(caller, turns.turn(LONG)).await.unwrap();
                order.lock().unwrap().push(caller);
                tokio::task::yield_now().await;
            }
        };
        let queue = join_all([1; 10].map(|caller| ask(caller, 1)));
        let others = join_all([2, 3].map(|caller| ask(caller, 100)));
        join(join(queue, others), async { drop(running) }).await;
        let order = order.into_inner().unwrap();
        let last = order.iter().rposition(|caller| *caller == 1).unwrap();
        assert!(last < 30, "{order:?}");
    }

    #[tokio::test]
    async fn callers_with_queues_take_turns() {
        let callers = [[1; 10], [2; 10]].concat();
        let order = order(1, &callers).await;
        assert_eq!(order, [2, 1].repeat(10));
    }

    #[tokio::test]
    async fn caller_has_all_turns_that_nobody_else_wants() {
        let turns = FairTurns::new(3);
        let _all = join_all((0..3).map(|_| turns.turn(LONG))).await;
        assert!(turns.turn(Duration::ZERO).await.is_err());
    }

    #[tokio::test]
    async fn turn_that_nobody_waits_for_any_more_is_not_lost() {
        let turns = FairTurns::new(1);
        let running = turns.turn(LONG).await.unwrap();
        for _ in 0..3 {
            assert!(turns.turn(Duration::ZERO).await.is_err());
        }
        drop(running);
        drop(turns.turn(Duration::ZERO).await.unwrap());
        let state = turns.lock();
        assert_eq!((state.free, state.callers.len()), (1, 0));
    }
}
