use std::{io, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::Mutex, time::timeout};

use super::Failure;
use crate::clock::Stopwatch;

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// For how long the reason is good for which the server lets nobody in.
const REFUSAL_VALID: Duration = Duration::from_secs(1);

/// Why Postgres lets nobody in. A pool goes on trying until its time is over, and then says only that.
#[derive(Debug)]
pub struct Refusal {
    connect: Box<PgConnectOptions>,
    /// It is locked while the server is asked, so that there is one at a time.
    last: Mutex<Option<(Stopwatch, Option<Failure>)>>,
}

impl Refusal {
    /// The refusal of the server at this address, which nobody has asked yet.
    pub fn new(connect: PgConnectOptions) -> Self {
        Self { connect: Box::new(connect), last: Mutex::default() }
    }

    /// Asks the server, unless it was asked a moment ago. `None` if it lets us in.
    pub async fn ask(&self) -> Option<Failure> {
        let mut last = self.last.lock().await;
        if let Some((at, failure)) = *last
            && at.elapsed() < REFUSAL_VALID
        {
            return failure;
        }
        let connected = timeout(TIMEOUT, PgConnection::connect_with(&self.connect)).await;
        let failure = match connected.unwrap_or(Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))) {
            Ok(connection) => {
                // Nobody waits for its end.
                drop(connection);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "Postgres refused a connection");
                Some(Failure::of(&error).unwrap_or(Failure::Unavailable))
            }
        };
        *last = Some((Stopwatch::start(), failure));
        failure
    }
}
