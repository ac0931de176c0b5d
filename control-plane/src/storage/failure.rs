//! Which errors of the database pass by themselves, and what the caller reads of them.
//!
//! Everything else that a database reports is a defect of ours: a wrong statement, a row that cannot be decoded.

use sqlx::{Error, error::DatabaseError};

/// Why the database cannot do at the moment what it was asked. The request can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It works, and others are ahead: no connection is free, a lock is held, a statement took too long.
    Overloaded,
    /// It is away, starting, or failing over, or the connection to it broke.
    Unavailable,
    /// It refuses writes, as a replica does, or a server that ran out of space.
    ReadOnly,
    /// There is no space left on its disk.
    Full,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Overloaded, Self::Unavailable, Self::ReadOnly, Self::Full];

    /// The failure that an error stands for; `None` if it is a defect of ours.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Database(error) => Self::of_database(error.as_ref()),
            Error::PoolTimedOut => Some(Self::Overloaded),
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed => Some(Self::Unavailable),
            _ => None,
        }
    }

    fn of_database(error: &dyn DatabaseError) -> Option<Self> {
        let code = error.code()?;
        if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
            failure_of_postgres(&code)
        } else if error.message().starts_with("no such table") {
            // Somebody has replaced the file, or cut it off: SQLite has no code of its own for that.
            Some(Self::Unavailable)
        } else {
            code.parse().ok().and_then(failure_of_sqlite)
        }
    }

    /// The stable code that callers compare.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable => "database_unavailable",
            Self::ReadOnly => "database_read_only",
            Self::Full => "database_full",
        }
    }

    /// One sentence for people.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Overloaded => "The database is busy. Try again in a second.",
            Self::Unavailable => {
                "The database cannot be reached at the moment. A change may or may not have been made: repeat the request."
            }
            Self::ReadOnly => "The database accepts no changes at the moment. Try again later.",
            Self::Full => "The disk of the database is full. Try again once the operator has freed space.",
        }
    }
}

/// <https://www.sqlite.org/rescode.html>: the low byte is the code, the others say more of it.
const fn failure_of_sqlite(code: u32) -> Option<Failure> {
    // SQLITE_IOERR_SHMSIZE: no room for the -shm file.
    if code == 4874 {
        return Some(Failure::Full);
    }
    match code & 0xff {
        // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_INTERRUPT
        5 | 6 | 9 => Some(Failure::Overloaded),
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
fn failure_of_postgres(code: &str) -> Option<Failure> {
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
