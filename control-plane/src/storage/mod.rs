//! Storage: every SQL text of the server, one text for each question, on SQLite and on Postgres.
//!
//! A question is a function that takes a [`Conn`]. "Not found" is `Ok(None)`; what it means is for the caller to say.
//! What only one of the two databases understands is in `dialect.rs`.

/// Runs one text on whichever database the connection is of. The body is compiled once for each.
macro_rules! on_db {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            $crate::storage::Conn::Sqlite { connection: $c, guard } => {
                let $c = statements!($c, guard);
                guard.watch(async { $body }).await
            }
            $crate::storage::Conn::Postgres { connection: $c, guard } => {
                let $c = statements!($c, guard);
                guard.watch(async { $body }).await
            }
        }
    };
}

#[cfg(not(test))]
macro_rules! statements {
    ($connection:ident, $guard:ident) => {
        $crate::storage::executor::Statements { connection: $connection, is_named: $guard.named_statements }
    };
}
/// The tests write down where a statement stands in the source.
#[cfg(test)]
macro_rules! statements {
    ($connection:ident, $guard:ident) => {
        $crate::storage::executor::Statements {
            connection: $connection,
            is_named: $guard.named_statements,
            place: {
                const fn here() {}
                $crate::storage::testing::recording::Place::new(file!(), line!(), std::any::type_name_of_val(&here))
            },
        }
    };
}

pub mod api_key_settings;
pub mod api_keys;
#[cfg(test)]
mod conformance;
mod conn;
mod connection;
mod db;
mod dialect;
pub mod edge_sync;
pub mod environments;
pub mod events;
mod executor;
pub mod expiry_events;
pub mod expiry_policies;
mod failure;
mod fair_turns;
pub mod feed;
mod health;
pub mod idempotency;
mod json_text;
pub mod management_keys;
pub mod memberships;
mod migrations;
mod opened_file;
pub mod organizations;
pub mod outbox;
mod page;
pub mod permissions;
mod pools;
mod postgres;
mod probe;
mod refusal;
pub mod reseal;
pub mod reseed;
pub mod restore;
mod result;
pub mod roles;
mod sqlite;
pub mod sqlite_file;
#[cfg(test)]
pub(crate) mod testing;
pub mod usage;
pub mod user_api_keys;
pub mod users;
pub mod webhook_deliveries;
pub mod webhook_endpoints;
pub mod webhook_replays;
mod write_queue;

pub use conn::Conn;
pub use db::{Db, Reader, Writer};
pub use failure::Failure;
pub use fair_turns::{Caller, FairTurns, as_caller, current_caller};
pub use json_text::JsonText;
pub use migrations::Schema;
pub use page::{Page, PageRequest, Position};
pub use pools::OpenOptions;
pub use result::Result;
pub use write_queue::Priority;
