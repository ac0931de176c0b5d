//! The entries of the feed in the Durable Object's SQLite: a thin shell around the rules of [`shared::feed`].

use std::cell::Cell;

use shared::{
    Timestamp,
    digest::Place,
    feed::{self, BYTES_OF_AN_ENTRY, Entry, Epoch, Mark, PageEntry, Sequence, Status, Store, wire::WireEntry},
    record::Version,
};
use worker::{Error, SqlStorage, SqlStorageValue};

use crate::failure::Failure;

/// Run once each time that the object wakes. Tables are only ever added to: an older Worker may run beside this one.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS feed (
        id      INTEGER PRIMARY KEY CHECK (id = 1),
        epoch   INTEGER NOT NULL,
        state   TEXT NOT NULL,
        head    INTEGER NOT NULL,
        trimmed INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS entries (
        sequence   INTEGER PRIMARY KEY,
        place      BLOB NOT NULL UNIQUE,
        version    INTEGER NOT NULL,
        mark       TEXT NOT NULL,
        kept_until INTEGER NOT NULL,
        name       TEXT NOT NULL,
        sealed     TEXT
    );
    CREATE INDEX IF NOT EXISTS creations ON entries (kept_until) WHERE mark = '\"created\"';";

/// The mark of a creation, as the column holds it. The others are JSON too.
const CREATED: &str = "\"created\"";
/// The columns of an entry, in the order in which they are read.
const COLUMNS: &str = "sequence, place, version, mark, kept_until, name, sealed";

/// What the rules need not know of an entry.
#[derive(Debug, Clone)]
pub struct Body {
    /// The KV key or the scope.
    pub name: String,
    /// The record of a key.
    pub sealed: Option<String>,
}

/// The tables.
#[derive(Debug)]
pub struct Rows<'a> {
    sql: SqlStorage,
    /// What all entries weigh, once that is known. Finding out reads them all, and reading is charged.
    weight: &'a Cell<Option<u64>>,
}

impl<'a> Rows<'a> {
    /// Makes them if there are none.
    pub fn create(state: &worker::State) -> Result<(), Error> {
        state.storage().sql().exec(SCHEMA, None).map(drop)
    }

    /// Opens them.
    pub fn open(state: &worker::State, weight: &'a Cell<Option<u64>>) -> Self {
        Self { sql: state.storage().sql(), weight }
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> u64 {
        self.sql.database_size() as u64
    }

    /// The entry of a place, for the control plane.
    pub fn wire_entry(&self, place: Place) -> Result<Option<WireEntry>, Failure> {
        Ok(self.entry(place)?.map(to_wire))
    }

    /// The entries beyond a number, for the control plane.
    pub fn wire_entries_after(&self, sequence: Sequence, limit: usize) -> Result<Vec<WireEntry>, Failure> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE sequence > ? ORDER BY sequence LIMIT ?");
        let rows = self.rows(&sql, vec![number(sequence)?, number(limit as u64)?])?;
        rows.into_iter().map(|row| read_entry(row).map(to_wire)).collect()
    }

    fn rows(&self, sql: &str, bindings: Vec<SqlStorageValue>) -> Result<Vec<Row>, Error> {
        self.sql.exec(sql, bindings)?.raw().map(|row| row.map(|row| Row(row.into_iter()))).collect()
    }

    fn first(&self, sql: &str, bindings: Vec<SqlStorageValue>) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, bindings)?.into_iter().next())
    }
}

impl Store for Rows<'_> {
    type Body = Body;
    type Error = Failure;

    fn status(&self) -> Result<Option<Status>, Failure> {
        let row = self.first("SELECT epoch, state, head, trimmed FROM feed", vec![])?;
        row.map(|mut row| {
            Ok(Status {
                epoch: Epoch(u32::try_from(row.integer()?).map_err(|_| damaged())?),
                state: from_json(&row.text()?)?,
                head: row.sequence()?,
                trimmed: row.sequence()?,
            })
        })
        .transpose()
    }

    fn set_status(&mut self, status: Status) -> Result<(), Failure> {
        let Status { epoch, state, head, trimmed } = status;
        self.sql.exec(
            "INSERT INTO feed (id, epoch, state, head, trimmed) VALUES (1, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, state = excluded.state, head = excluded.head,
                trimmed = excluded.trimmed",
            vec![i64::from(epoch.0).into(), to_json(&state)?.into(), number(head)?, number(trimmed)?],
        )?;
        Ok(())
    }

    fn entry(&self, place: Place) -> Result<Option<Entry<Body>>, Failure> {
        let row = self.first(&format!("SELECT {COLUMNS} FROM entries WHERE place = ?"), vec![blob(place)])?;
        row.map(read_entry).transpose()
    }

    fn put(&mut self, entry: Entry<Body>) -> Result<(), Failure> {
        let Entry { sequence, place, version, mark, kept_until, body } = entry;
        let weight = self.weight()? + mark.weight();
        let written = self.sql.exec(
            "INSERT INTO entries (sequence, place, version, mark, kept_until, name, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (place) DO UPDATE SET sequence = excluded.sequence, version = excluded.version,
                mark = excluded.mark, kept_until = excluded.kept_until, sealed = excluded.sealed",
            vec![
                number(sequence)?,
                blob(place),
                SqlStorageValue::try_from_i64(version.0)?,
                to_json(&mark)?.into(),
                SqlStorageValue::try_from_i64(kept_until.as_millis())?,
                body.name.into(),
                body.sealed.into(),
            ],
        );
        written?;
        // That of one that it replaced still counts; after the next trimming it does not.
        self.weight.set(Some(weight));
        Ok(())
    }

    fn after(&self, sequence: Sequence, weight: u64) -> Result<Vec<PageEntry>, Failure> {
        // Each weighs at least 1.
        let sql = "SELECT sequence, place, version, mark FROM entries WHERE sequence > ? ORDER BY sequence LIMIT ?";
        let rows = self.sql.exec(sql, vec![number(sequence)?, number(weight)?])?.raw();
        feed::up_to_weight(rows.map(|row| Row(row?.into_iter()).page_entry()), weight)
    }

    fn weight(&self) -> Result<u64, Failure> {
        if let Some(known) = self.weight.get() {
            return Ok(known);
        }
        // As `Mark::weight` has it; marks of keys are shorter than that. A number that is bound is no integer to SQLite.
        let sql = format!("SELECT COALESCE(SUM(1 + length(mark) / {BYTES_OF_AN_ENTRY}), 0) FROM entries");
        let row = self.first(&sql, vec![])?;
        let weight = row.ok_or_else(damaged)?.sequence()?;
        self.weight.set(Some(weight));
        Ok(weight)
    }

    fn lowest_kept_beyond(&self, moment: Timestamp) -> Result<Option<Sequence>, Failure> {
        let sql = "SELECT sequence FROM entries WHERE kept_until > ? ORDER BY sequence LIMIT 1";
        self.first(sql, vec![moment.as_millis().into()])?.map(|mut row| row.sequence()).transpose()
    }

    fn remove_below(&mut self, sequence: Sequence) -> Result<Option<Sequence>, Failure> {
        let sql = "SELECT sequence FROM entries WHERE sequence < ? ORDER BY sequence DESC LIMIT 1";
        let highest = self.first(sql, vec![number(sequence)?])?.map(|mut row| row.sequence()).transpose()?;
        if highest.is_some() {
            self.sql.exec("DELETE FROM entries WHERE sequence < ?", vec![number(sequence)?])?;
        }
        Ok(highest)
    }

    fn remove_creations_until(&mut self, moment: Timestamp) -> Result<(), Failure> {
        let sql = "DELETE FROM entries WHERE mark = '\"created\"' AND kept_until <= ?";
        self.sql.exec(sql, vec![moment.as_millis().into()])?;
        Ok(())
    }
}

/// The values of a row that were not read yet.
struct Row(std::vec::IntoIter<SqlStorageValue>);

impl Row {
    fn integer(&mut self) -> Result<i64, Failure> {
        match self.0.next() {
            Some(SqlStorageValue::Integer(number)) => Ok(number),
            _ => Err(damaged()),
        }
    }

    fn sequence(&mut self) -> Result<Sequence, Failure> {
        self.integer()?.try_into().map_err(|_| damaged())
    }

    fn text(&mut self) -> Result<String, Failure> {
        self.optional_text()?.ok_or_else(damaged)
    }

    fn optional_text(&mut self) -> Result<Option<String>, Failure> {
        match self.0.next() {
            Some(SqlStorageValue::String(text)) => Ok(Some(text)),
            Some(SqlStorageValue::Null) => Ok(None),
            _ => Err(damaged()),
        }
    }

    fn page_entry(&mut self) -> Result<PageEntry, Failure> {
        Ok(PageEntry {
            sequence: self.sequence()?,
            place: match self.0.next() {
                Some(SqlStorageValue::Blob(bytes)) => Place(bytes.try_into().map_err(|_| damaged())?),
                _ => return Err(damaged()),
            },
            version: Version(self.integer()?),
            mark: match self.text()?.as_str() {
                CREATED => Mark::Created,
                json => from_json(json)?,
            },
        })
    }
}

fn read_entry(mut row: Row) -> Result<Entry<Body>, Failure> {
    let PageEntry { sequence, place, version, mark } = row.page_entry()?;
    let kept_until = Timestamp::from_millis(row.integer()?);
    Ok(Entry {
        sequence,
        place,
        version,
        mark,
        kept_until,
        body: Body { name: row.text()?, sealed: row.optional_text()? },
    })
}

fn to_wire(entry: Entry<Body>) -> WireEntry {
    let Entry { sequence, version, mark, body: Body { name, sealed }, .. } = entry;
    WireEntry { sequence, name, version, mark, sealed }
}

fn number(number: u64) -> Result<SqlStorageValue, Failure> {
    Ok(SqlStorageValue::try_from_i64(i64::try_from(number).map_err(|_| damaged())?)?)
}

fn blob(place: Place) -> SqlStorageValue {
    SqlStorageValue::Blob(place.0.to_vec())
}

fn to_json(value: &impl serde::Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(value)?)
}

fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Error> {
    Ok(serde_json::from_str(json)?)
}

fn damaged() -> Failure {
    Error::RustError("a row of the change feed cannot be read".to_owned()).into()
}
