//! Which errors of the database pass by themselves, and what the caller reads of them.
//!
//! Everything else that a database reports is a defect of ours: a wrong statement, a row that cannot be decoded.

use sqlx::{Error, error::DatabaseError};

use super::dialect;

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
            dialect::failure_of_postgres(&code)
        } else if error.message().starts_with("no such table") {
            // Somebody has replaced the file, or cut it off: SQLite has no code of its own for that.
            Some(Self::Unavailable)
        } else {
            code.parse().ok().and_then(dialect::failure_of_sqlite)
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
