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

use serde::{Deserialize, Serialize};

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

/// Writes a question down, if the environment names a file.
pub(crate) fn note(place: &Place, database: &str, sql: &str, arguments: &dyn Debug) {
    if let Some(file) = &*RECORD {
        file.note(Question {
            place: place.clone(),
            database: database.to_owned(),
            sql: sql.to_owned(),
            arguments: format!("{arguments:?}"),
        });
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
