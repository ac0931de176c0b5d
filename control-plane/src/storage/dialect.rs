//! The few words that only one of the two databases understands.

use sqlx::{error::DatabaseError, postgres::PgDatabaseError};

use super::{Conn, Failure};

/// A SQLite transaction that will write says so at once. Otherwise two of them can both read, and then one must fail.
pub const SQLITE_BEGIN: &str = "BEGIN IMMEDIATE";

/// Moves what is in the `-wal` into the main file, and waits for nobody. Returns whether it could not, the number of pages in the
/// `-wal`, and how many of them are in the main file.
pub const SQLITE_CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The isolation level of every transaction on Postgres. We set it, because a database or a role can have another default,
/// under which transactions fail that only had to wait.
pub const POSTGRES_BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The same of a transaction that only reads. It exists because a pooler may hand the connection to another client at the
/// end of each transaction, and so at the end of each statement outside of one.
pub const POSTGRES_BEGIN_READ_ONLY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";

/// Whether SQLite says that another process has locked the file. <https://www.sqlite.org/rescode.html#busy>
pub fn is_sqlite_busy(error: &sqlx::Error) -> bool {
    let is_postgres = |error: &dyn DatabaseError| error.try_downcast_ref::<PgDatabaseError>().is_some();
    let error = error.as_database_error().filter(|error| !is_postgres(*error));
    let code = error.and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

const SQLITE_BUSY: u32 = 5;

/// <https://www.sqlite.org/rescode.html>: the low byte is the code, the others say more of it.
pub const fn failure_of_sqlite(code: u32) -> Option<Failure> {
    // SQLITE_IOERR_SHMSIZE: no room for the -shm file.
    if code == 4874 {
        return Some(Failure::Full);
    }
    match code & 0xff {
        // SQLITE_LOCKED, SQLITE_INTERRUPT
        SQLITE_BUSY | 6 | 9 => Some(Failure::Overloaded),
        // SQLITE_READONLY
        8 => Some(Failure::ReadOnly),
        // SQLITE_FULL
        13 => Some(Failure::Full),
        // SQLITE_PERM, SQLITE_NOMEM, SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_CANTOPEN, SQLITE_PROTOCOL, SQLITE_NOLFS,
        // SQLITE_AUTH, SQLITE_NOTADB: of the disk, its file system, and the rights on them.
        3 | 7 | 10 | 11 | 14 | 15 | 22 | 23 | 26 => Some(Failure::Unavailable),
        _ => None,
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub fn failure_of_postgres(code: &str) -> Option<Failure> {
    match code {
        // read_only_sql_transaction
        "25006" => Some(Failure::ReadOnly),
        // disk_full
        "53100" => Some(Failure::Full),
        // serialization_failure, deadlock_detected, lock_not_available, object_in_use, query_canceled (statement_timeout),
        // too_many_connections, transaction_timeout
        "40001" | "40P01" | "55P03" | "55006" | "57014" | "53300" | "25P04" => Some(Failure::Overloaded),
        // idle_in_transaction_session_timeout, insufficient_privilege, invalid_catalog_name, invalid_schema_name,
        // undefined_table (it cannot be seen, or is just being restored), object_not_in_prerequisite_state (no connections
        // are allowed), feature_not_supported (the result of a statement has changed, with its table), and prepared
        // statements that a pooler has lost or has given to another client (see the setting `database_pooler`)
        "25P03" | "42501" | "3D000" | "3F000" | "42P01" | "55000" | "0A000" | "26000" | "42P05" => {
            Some(Failure::Unavailable)
        }
        _ => match code.get(..2) {
            // connection exception, invalid authorization, insufficient resources, operator intervention, system error,
            // configuration file error, internal error (damaged data)
            Some("08" | "28" | "53" | "57" | "58" | "F0" | "XX") => Some(Failure::Unavailable),
            _ => None,
        },
    }
}

impl Conn<'_> {
    /// Chooses between two texts that ask the same question.
    pub(super) const fn either(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite { .. } => sqlite,
            Self::Postgres { .. } => postgres,
        }
    }
}

/// One text, with the words in parentheses put as the database of the connection understands them.
macro_rules! sql {
    ($conn:expr, $($part:tt)+) => {
        $conn.either(
            concat!($($crate::storage::dialect::in_sqlite!($part)),+),
            concat!($($crate::storage::dialect::in_postgres!($part)),+),
        )
    };
}

macro_rules! in_sqlite {
    ($text:literal) => {
        $text
    };
    // A text that several questions begin with.
    ((text $name:ident)) => {
        $name!()
    };
    // SQLite's writer is alone.
    ((for update)) => {
        ""
    };
    ((for update skip locked)) => {
        ""
    };
    ((for share)) => {
        ""
    };
    // The elements of a JSON array, each in the column `value`.
    ((elements of $parameter:literal)) => {
        concat!("json_each(", $parameter, ")")
    };
    // A question for the elements of a JSON array of texts.
    ((texts of $parameter:literal)) => {
        concat!("SELECT value FROM json_each(", $parameter, ")")
    };
    // Follows a column that is to be one of those of a short list. Postgres would guess that it is long, and read all.
    ((one of $list:literal)) => {
        concat!(" IN (", $list, ")")
    };
    ((bytes of hex $hex:literal)) => {
        concat!("unhex(", $hex, ")")
    };
}

macro_rules! in_postgres {
    ($text:literal) => {
        $text
    };
    ((text $name:ident)) => {
        $name!()
    };
    ((for update)) => {
        " FOR UPDATE"
    };
    ((for update skip locked)) => {
        " FOR UPDATE SKIP LOCKED"
    };
    ((for share)) => {
        " FOR SHARE"
    };
    ((elements of $parameter:literal)) => {
        concat!("json_array_elements(CAST(", $parameter, " AS json))")
    };
    ((texts of $parameter:literal)) => {
        concat!("SELECT json_array_elements_text(CAST(", $parameter, " AS json))")
    };
    ((one of $list:literal)) => {
        concat!(" = ANY (ARRAY(", $list, "))")
    };
    ((bytes of hex $hex:literal)) => {
        concat!("decode(", $hex, ", 'hex')")
    };
}

pub(super) use {in_postgres, in_sqlite, sql};
