//! How a statement reaches its connection.

use std::fmt::Debug;

use futures::{future::BoxFuture, stream::BoxStream};
use sqlx::{Database, Describe, Either, Error, Execute, Executor, SqlStr, error::BoxDynError};

#[cfg(test)]
use super::testing::recording::{self, Place};

/// A connection whose statements have no name on the server, if it may be another server's connection tomorrow: behind a
/// pooler, a name that one client gave is not there for it later, or is there for another client. The tests write down what is asked.
#[derive(Debug)]
pub struct Statements<C> {
    pub connection: C,
    pub is_named: bool,
    #[cfg(test)]
    pub place: Place,
}

impl<'c, C: Executor<'c>> Executor<'c> for Statements<C>
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
        let statement = self.statement(query);
        self.connection.fetch_many(statement)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<Self::Database as Database>::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let statement = self.statement(query);
        self.connection.fetch_optional(statement)
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

impl<'c, C: Executor<'c>> Statements<C>
where
    <C::Database as Database>::Arguments: Debug,
{
    fn statement<'q>(&self, mut query: impl Execute<'q, C::Database>) -> Statement<C::Database> {
        let (is_named, arguments) = (self.is_named && query.persistent(), query.take_arguments());
        let sql = query.sql();
        #[cfg(test)]
        if let Ok(Some(arguments)) = &arguments {
            recording::note(&self.place, <C::Database as Database>::NAME, sql.as_str(), arguments);
        }
        Statement { sql, arguments: Some(arguments), is_named }
    }
}

struct Statement<DB: Database> {
    sql: SqlStr,
    arguments: Option<Result<Option<DB::Arguments>, BoxDynError>>,
    is_named: bool,
}

impl<DB: Database> Execute<'_, DB> for Statement<DB> {
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
        self.is_named
    }
}
