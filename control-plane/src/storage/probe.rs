//! Finds out whether the database takes writes, for `GET /ready`.

use std::time::Duration;

use tokio::time::timeout;

use super::{Conn, Db, Failure, Priority, Result};
use crate::clock::Stopwatch;

/// How long a probe may take, so that whoever asks has the answer within a second.
const TIMEOUT: Duration = Duration::from_millis(800);
/// For how long the outcome of a probe is good, however often it is asked for.
const VALID: Duration = Duration::from_millis(200);

impl Db {
    /// Whether the database takes writes. If one was committed a moment ago, nothing is asked for it; otherwise a row is written.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn check_writes(&self) -> std::result::Result<(), Failure> {
        if self.0.health.is_writing() {
            return Ok(());
        }
        let unanswered = self.0.health.known_failure().unwrap_or(Failure::Unavailable);
        timeout(TIMEOUT, self.probed()).await.unwrap_or(Err(unanswered))
    }

    /// Writes a row and takes it back: whether the database takes writes, without changing anything.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn try_to_write(&self) -> Result<()> {
        let mut transaction = self.write_as(Priority::Publisher).await?;
        write(transaction.conn(), SMALL).await
    }

    async fn probed(&self) -> std::result::Result<(), Failure> {
        let mut last = self.0.last_probe.0.lock().await;
        if let Some((at, outcome)) = *last
            && at.elapsed() < VALID
        {
            return outcome;
        }
        // Noted beforehand, in case nobody waits for the end.
        *last = Some((Stopwatch::start(), Err(self.0.health.known_failure().unwrap_or(Failure::Unavailable))));
        let outcome = self.probe().await.map_err(|error| Failure::of(&error).unwrap_or(Failure::Unavailable));
        *last = Some((Stopwatch::start(), outcome));
        outcome
    }

    async fn probe(&self) -> Result<()> {
        // Where a write has failed, a small one may still fit where others do not.
        let size = if self.0.health.known_failure().is_some() { LARGE } else { SMALL };
        let mut transaction = self.write_as(Priority::Publisher).await?;
        write(transaction.conn(), size).await?;
        transaction.commit().await
    }
}

/// As long as sixteen pages of SQLite: more than any request adds.
pub(super) const LARGE: i64 = 65_536;
const SMALL: i64 = 0;

pub(super) async fn write(conn: Conn<'_>, size: i64) -> Result<()> {
    let sql = conn.either(
        "INSERT INTO write_probe (only_row, filler) VALUES (1, zeroblob($1))
         ON CONFLICT (only_row) DO UPDATE SET filler = excluded.filler",
        "INSERT INTO write_probe (only_row, filler) VALUES (1, decode(repeat('00', CAST($1 AS INTEGER)), 'hex'))
         ON CONFLICT (only_row) DO UPDATE SET filler = excluded.filler",
    );
    on_db!(conn, c => sqlx::query(sql).bind(size).execute(c).await.map(drop))
}
