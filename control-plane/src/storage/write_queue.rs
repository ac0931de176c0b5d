//! In which order writes get their turn.
//!
//! ```text
//! other writes ──► one at a time ─┐
//! revocations ───► one at a time ─┼──► the writer (SQLite has one)
//! the publisher ──────────────────┘
//! ```
//!
//! A write keeps its place in its lane until it has ended, so at most one of a lane waits in front of the writer or has it.
//! Therefore the publisher waits behind at most one other write and one revocation, and a revocation behind at most one other
//! write and the revocations before it, however many other writes are queued. In a lane, callers take turns
//! ([`super::fair_turns`]): a caller waits behind one write of each other caller. On Postgres the lanes bound how many
//! connections their writes take, and the urgent ones have connections of their own.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Result,
    fair_turns::{FairTurn, FairTurns},
};

/// How urgent a write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Brings committed changes to the edge.
    Publisher,
    /// Takes something away: a key, a permission, a membership.
    Revocation,
    /// Everything else.
    Normal,
}

/// Who waits for a turn to write.
#[derive(Debug)]
pub struct WriteQueue {
    normal: FairTurns,
    revocations: FairTurns,
    writer: Arc<Semaphore>,
    timeout: Duration,
}

/// A turn to use a connection. The next one begins when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _writer: Option<OwnedSemaphorePermit>,
    _lane: Option<FairTurn>,
}

impl Turn {
    /// A turn that is not to write.
    pub const fn to_read(turn: FairTurn) -> Self {
        Self { _writer: None, _lane: Some(turn) }
    }
}

impl WriteQueue {
    /// One write at a time.
    pub fn exclusive(timeout: Duration) -> Self {
        Self::new(1, 1, 1, timeout)
    }

    /// So many writes of each lane at a time.
    pub fn shared(normal: usize, revocations: usize, timeout: Duration) -> Self {
        Self::new(normal, revocations, Semaphore::MAX_PERMITS, timeout)
    }

    fn new(normal: usize, revocations: usize, writer: usize, timeout: Duration) -> Self {
        let writer = Arc::new(Semaphore::new(writer));
        Self { normal: FairTurns::new(normal), revocations: FairTurns::new(revocations), writer, timeout }
    }

    /// Waits for a turn.
    pub async fn turn(&self, priority: Priority) -> Result<Turn> {
        let lane = match priority {
            Priority::Publisher => None,
            Priority::Revocation => Some(&self.revocations),
            Priority::Normal => Some(&self.normal),
        };
        let wait = async {
            let lane = match lane {
                Some(lane) => Some(lane.wait().await),
                None => None,
            };
            // It is never closed.
            let writer = Arc::clone(&self.writer).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
            Ok(Turn { _writer: Some(writer), _lane: lane })
        };
        tokio::time::timeout(self.timeout, wait).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::join_all;

    use super::*;
    use crate::storage::as_caller;

    /// Every lane waits while one write runs; then each writes down when it had its turn.
    async fn order(queue: &[Priority]) -> Vec<Priority> {
        let writes = WriteQueue::exclusive(Duration::from_secs(60));
        let order = Mutex::default();
        let running = writes.turn(Priority::Normal).await.unwrap();
        let write = async |priority| {
            let _turn = writes.turn(priority).await.unwrap();
            Mutex::<Vec<Priority>>::lock(&order).unwrap().push(priority);
        };
        // The first poll of each puts it into its lane, in this order.
        let all = join_all(queue.iter().map(|priority| write(*priority)));
        let first = async { drop(running) };
        futures::future::join(all, first).await;
        order.into_inner().unwrap()
    }

    #[tokio::test]
    async fn revocation_waits_behind_no_queued_write() {
        let mut queue = vec![Priority::Normal; 100];
        queue.push(Priority::Revocation);
        assert_eq!(order(&queue).await[0], Priority::Revocation);
    }

    #[tokio::test]
    async fn publisher_waits_behind_one_revocation_at_most() {
        let mut queue = vec![Priority::Normal; 100];
        queue.extend([Priority::Revocation; 100]);
        queue.push(Priority::Publisher);
        let position = order(&queue).await.iter().position(|priority| *priority == Priority::Publisher);
        assert_eq!(position, Some(1));
    }

    #[tokio::test]
    async fn revocation_waits_behind_one_revocation_of_each_other_caller() {
        let writes = WriteQueue::exclusive(Duration::from_secs(60));
        let running = as_caller(1, writes.turn(Priority::Revocation)).await.unwrap();
        let order = Mutex::default();
        let revoke = async |caller| {
            let _turn = as_caller(caller, writes.turn(Priority::Revocation)).await.unwrap();
            Mutex::<Vec<u64>>::lock(&order).unwrap().push(caller);
        };
        let all = join_all([[1; 100].as_slice(), &[2]].concat().into_iter().map(revoke));
        futures::future::join(all, async { drop(running) }).await;
        assert_eq!(order.into_inner().unwrap()[0], 2);
    }

    #[tokio::test]
    async fn normal_writes_get_a_turn_between_revocations() {
        let mut queue = vec![Priority::Revocation; 100];
        queue.push(Priority::Normal);
        let position = order(&queue).await.iter().position(|priority| *priority == Priority::Normal);
        assert_eq!(position, Some(1));
    }

    #[tokio::test]
    async fn turn_that_does_not_come_is_an_overload() {
        let writes = WriteQueue::exclusive(Duration::from_millis(1));
        let _running = writes.turn(Priority::Normal).await.unwrap();
        for priority in [Priority::Normal, Priority::Revocation, Priority::Publisher] {
            let error = writes.turn(priority).await.unwrap_err();
            assert_eq!(super::super::Failure::of(&error), Some(super::super::Failure::Overloaded));
        }
    }
}
