//! Writes down each text that the tests ask a database, and where it stands in the source, if the environment names a
//! file for that. `conformance/query_plans.rs` reads it.

use std::{
    collections::HashSet,
    env,
    fmt::Debug,
    fs::{File, OpenOptions},
    io::Write,
    sync::{LazyLock, Mutex},
};

use futures::{future::BoxFuture, stream::BoxStream};
use serde::{Deserialize, Serialize};
use sqlx::{Database, Describe, Either, Error, Execute, Executor, SqlStr, error::BoxDynError};

/// The environment variable with the name of the file.
pub(crate) const FILE: &str = "LATCHKEY_TEST_QUESTIONS";

/// A text that was asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Question {
    pub place: Place,
    /// As sqlx calls the database.
    pub database: String,
    pub sql: String,
    /// The arguments, as `Debug` shows them: they tell the types that sqlx gave them.
    pub arguments: String,
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Place {
    pub file: String,
    pub line: u32,
    /// Module and function, as `outbox::claim`.
    pub function: String,
}

impl Place {
    /// `inside` is the whole name of something inside the function.
    pub(crate) fn new(file: &str, line: u32, inside: &str) -> Self {
        let mut path: Vec<&str> = inside.split("::").filter(|part| !part.starts_with('{')).collect();
        path.pop();
        let function = path.split_off(path.len().saturating_sub(2)).join("::");
        Self { file: file.to_owned(), line, function }
    }

    /// The name of the file, and the line.
    pub(crate) fn of_file(&self) -> (String, u32) {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        (name.to_owned(), self.line)
    }
}

/// A connection whose questions are written down.
#[derive(Debug)]
pub(crate) struct Recorded<C> {
    pub connection: C,
    pub place: Place,
}

impl<'c, C: Executor<'c>> Executor<'c> for Recorded<C>
where
    <C::Database as Database>::Arguments: Debug,
{
    type Database = C::Database;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<
        'e,
        Result<Either<<Self::Database as Database>::QueryResult, <Self::Database as Database>::Row>, Error>,
    >
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        self.connection.fetch_many(Taken::new(query, self.place))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<Self::Database as Database>::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        self.connection.fetch_optional(Taken::new(query, self.place))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Self::Database as Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<Self::Database as Database>::Statement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Self::Database>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

/// A query, taken apart to look at its text.
struct Taken<DB: Database> {
    sql: SqlStr,
    arguments: Option<Result<Option<DB::Arguments>, BoxDynError>>,
    persistent: bool,
}

impl<DB: Database> Taken<DB> {
    fn new<'q>(mut query: impl Execute<'q, DB>, place: Place) -> Self
    where
        DB::Arguments: Debug,
    {
        let (persistent, arguments) = (query.persistent(), query.take_arguments());
        let sql = query.sql();
        if let (Some(file), Ok(Some(arguments))) = (&*RECORD, &arguments) {
            file.note(Question {
                place,
                database: DB::NAME.to_owned(),
                sql: sql.as_str().to_owned(),
                arguments: format!("{arguments:?}"),
            });
        }
        Self { sql, arguments: Some(arguments), persistent }
    }
}

impl<DB: Database> Execute<'_, DB> for Taken<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// The file, if there is one.
static RECORD: LazyLock<Option<Record>> = LazyLock::new(|| {
    let name = env::var_os(FILE)?;
    let file = OpenOptions::new().create(true).append(true).open(name).unwrap();
    Some(Record { known: Mutex::default(), file })
});

struct Record {
    known: Mutex<HashSet<(Place, String, String)>>,
    file: File,
}

impl Record {
    /// Writes a question down, once.
    fn note(&self, question: Question) {
        let Question { place, database, sql, .. } = &question;
        let mut known = self.known.lock().unwrap();
        if known.insert((place.clone(), database.clone(), sql.clone())) {
            let line = serde_json::to_string(&question).unwrap() + "\n";
            (&self.file).write_all(line.as_bytes()).unwrap();
        }
    }
}
