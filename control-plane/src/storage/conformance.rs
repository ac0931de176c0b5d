//! Every question, asked of both databases: they must answer alike.

mod api_key_settings;
mod api_keys;
mod database;
mod edge_sync;
mod environments;
mod expiry_policies;
mod feed;
mod idempotency;
mod management_keys;
mod organizations;
mod outbox;
mod paging;
mod permissions;
mod query_plans;
mod reseal;
mod reseed;
mod usage;
mod webhook_replays;

use shared::Timestamp;

/// When every test begins.
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Asks one question on a connection that only reads.
macro_rules! ask {
    ($db:expr, $function:path $(, $argument:expr)*) => {
        $function($db.read().await.unwrap().conn() $(, $argument)*).await.unwrap()
    };
}

/// Does one thing in a transaction of its own.
macro_rules! change {
    ($db:expr, $function:path $(, $argument:expr)*) => {{
        let mut transaction = $db.write().await.unwrap();
        let done = $function(transaction.conn() $(, $argument)*).await.unwrap();
        transaction.commit().await.unwrap();
        done
    }};
}

use {ask, change};
