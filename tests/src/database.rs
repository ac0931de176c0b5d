//! Databases of which each test has its own.

use tempfile::TempDir;

use crate::{parts, session::Session};

/// A new, empty database, gone when it is dropped.
#[derive(Debug)]
pub struct Database(Kind);

#[derive(Debug)]
enum Kind {
    Sqlite(TempDir),
    Postgres { server: String, name: String },
}

impl Database {
    /// A file, not yet there.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn sqlite() -> Self {
        Self(Kind::Sqlite(tempfile::tempdir().expect("a temporary folder")))
    }

    /// A database of the Postgres server, if there is one.
    ///
    /// # Panics
    /// If it does not make one.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        let server = parts::postgres()?;
        let name = format!("latchkey_test_{:x}", crate::unique());
        execute(&server, &format!("CREATE DATABASE {name}")).expect("the Postgres server makes a database");
        Some(Self(Kind::Postgres { server, name }))
    }

    /// Whether it is one of Postgres.
    #[must_use]
    pub const fn is_postgres(&self) -> bool {
        matches!(self.0, Kind::Postgres { .. })
    }

    /// As `latchkey --database-url` wants it.
    ///
    /// # Panics
    /// If the server's URL names no database.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.0 {
            Kind::Sqlite(folder) => format!("sqlite:{}", folder.path().join("latchkey.db").display()),
            Kind::Postgres { server, name } => {
                let (server, _) = server.rsplit_once('/').expect("the URL ends with the name of a database");
                format!("{server}/{name}")
            }
        }
    }

    /// Does to the rows what no route does.
    ///
    /// # Panics
    /// If the database refuses.
    pub fn execute(&self, sql: &str) {
        self.session().execute(sql);
    }

    /// A connection to it.
    ///
    /// # Panics
    /// If there is none to be had.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::connect(&self.url()).expect("the database accepts connections")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Kind::Postgres { server, name } = &self.0
            && let Err(error) = execute(server, &format!("DROP DATABASE {name} WITH (FORCE)"))
        {
            eprintln!("the database {name} stays: {error}");
        }
    }
}

fn execute(url: &str, sql: &str) -> Result<(), sqlx::Error> {
    Session::connect(url)?.try_execute(sql)
}
