//! The few words that only one of the two databases understands.

use sqlx::{error::DatabaseError, postgres::PgDatabaseError};

use super::Conn;

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
    // For a row that others refer to, and that is changed but not deleted. The whole lock would make a transaction wait that only
    // writes a row which refers to it, and that one may hold what is needed next: Postgres looks up the reference of a row again
    // when the same transaction writes the row a second time.
    ((for no key update)) => {
        ""
    };
    ((for update of memberships)) => {
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
    ((json object $fields:literal)) => {
        concat!("json_object(", $fields, ")")
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
    ((for no key update)) => {
        " FOR NO KEY UPDATE"
    };
    ((for update of memberships)) => {
        " FOR UPDATE OF m"
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
    ((json object $fields:literal)) => {
        concat!("CAST(json_build_object(", $fields, ") AS TEXT)")
    };
}

pub(super) use {in_postgres, in_sqlite, sql};
