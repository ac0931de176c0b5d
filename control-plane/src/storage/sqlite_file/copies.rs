//! Recognizes the main file of a running database that was copied without its `-wal`, as `cp` does.
//!
//! Such a copy lacks the newest changes, and SQLite cannot tell. So while a database is served, the row of the table `wal_mark`
//! differs between the main file and the `-wal`:
//!
//! 1. `in_main` gets a new number, and a checkpoint moves the row into the main file.
//! 2. `in_wal` gets the same number, which stays in the `-wal` until the next checkpoint. Then both steps are repeated.
//!
//! Both files together have equal numbers, and so does every copy that SQLite makes. In a main file alone they differ, except
//! for a moment after a checkpoint. They also differ after a crash between the two steps: then the file `latchkey.db.marking`
//! beside the database has the new number.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sqlx::{Result, SqliteConnection};
use tokio::{sync::watch, time::timeout};

use crate::{
    files::{remove_if_exists, sync_folder, with_suffix},
    storage::{Db, Priority, dialect::SQLITE_CHECKPOINT, opened_file::OpenedFile},
};

/// How often the mark is renewed, if a checkpoint has moved it.
const INTERVAL: Duration = Duration::from_secs(2);
const FINISH: &str = "UPDATE wal_mark SET in_wal = in_main";

/// Keeps the file of a SQLite database marked until `stopped` changes or its sender is gone.
pub async fn keep_marked(db: Db, stopped: watch::Receiver<()>) {
    if let Some(file) = db.opened_file()
        && file.is_on_disk()
    {
        Marker { db: &db, file }.run(stopped, INTERVAL).await;
    }
}

struct Marker<'a> {
    db: &'a Db,
    file: &'a OpenedFile,
}

impl Marker<'_> {
    async fn run(&self, mut stopped: watch::Receiver<()>, interval: Duration) {
        let mut changed_at = None;
        loop {
            // Each checkpoint changes the main file.
            if changed_at.is_none() || changed_at != self.file.changed_at().ok() {
                changed_at = self.mark().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "failed to mark the database file as being served; will retry");
                    None
                });
            }
            if timeout(interval, stopped.changed()).await.is_ok() {
                break;
            }
        }
        if changed_at.is_none() {
            // Otherwise, a copy of the closed file could be refused.
            let _ = self.finish().await;
        }
    }

    /// Returns when the main file was changed by this. `None` if a reader kept SQLite from moving everything.
    async fn mark(&self) -> Result<Option<SystemTime>> {
        const SQL: &str = "INSERT INTO wal_mark (only_row, in_main, in_wal) VALUES (1, $1, 0)
             ON CONFLICT (only_row) DO UPDATE SET in_main = excluded.in_main";
        const NEXT: &str = "SELECT COALESCE(MAX(in_main), 0) + 1 FROM wal_mark";
        let mut reader = self.db.read_as(Priority::Publisher).await?;
        let next: i64 = on_db!(reader.conn(), c => sqlx::query_scalar(NEXT).fetch_one(c).await)?;
        drop(reader);
        // Before the transaction, in which others would wait for the disk. Nobody else marks this database.
        note(self.file.path(), next).map_err(sqlx::Error::Io)?;
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        on_db!(transaction.conn(), c => sqlx::query(SQL).bind(next).execute(c).await.map(drop))?;
        transaction.commit().await?;
        let is_complete = self.db.checkpoint().await?;
        let changed_at = self.file.changed_at().map_err(sqlx::Error::Io)?;
        self.finish().await?;
        Ok(is_complete.then_some(changed_at))
    }

    async fn finish(&self) -> Result<()> {
        self.write(FINISH).await?;
        remove_if_exists(&noted_in(self.file.path())).map_err(sqlx::Error::Io)
    }

    async fn write(&self, sql: &str) -> Result<()> {
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        transaction.run(sql).await?;
        transaction.commit().await
    }
}

/// The file that has the number of a mark that is being made.
fn noted_in(database: &Path) -> PathBuf {
    with_suffix(database, ".marking")
}

fn note(database: &Path, number: i64) -> io::Result<()> {
    let mut file = File::create(noted_in(database))?;
    file.write_all(number.to_string().as_bytes())?;
    file.sync_all()?;
    sync_folder(database)
}

/// Whether a database has all its changes, as far as the mark tells.
pub(super) async fn is_whole(connection: &mut SqliteConnection, database: &Path) -> Result<bool> {
    if !is_markable(connection).await? {
        return Ok(true);
    }
    let marks: Option<(i64, i64)> =
        sqlx::query_as("SELECT in_main, in_wal FROM wal_mark").fetch_optional(&mut *connection).await?;
    let Some((in_main, in_wal)) = marks else { return Ok(true) };
    let noted = fs::read_to_string(noted_in(database)).ok();
    if in_main == in_wal || noted.is_some_and(|noted| noted == in_main.to_string()) {
        return Ok(true);
    }
    // Without that file, a -wal with frames that belong to the database shows that nothing was left out. The last connection
    // will move them into the main file, so the mark is completed now.
    let (_, frames, _): (bool, i64, i64) = sqlx::query_as(SQLITE_CHECKPOINT).fetch_one(&mut *connection).await?;
    if frames > 0 {
        sqlx::query(FINISH).execute(connection).await?;
    }
    Ok(frames > 0)
}

/// Removes the mark of the database that this one is a copy of.
pub(super) async fn unmark(connection: &mut SqliteConnection) -> Result<()> {
    if is_markable(connection).await? {
        sqlx::query("DELETE FROM wal_mark").execute(connection).await?;
    }
    Ok(())
}

/// Whether it has the table, which databases of older versions lack.
async fn is_markable(connection: &mut SqliteConnection) -> Result<bool> {
    const SQL: &str = "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = 'wal_mark'";
    sqlx::query_scalar(SQL).fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use sqlx::Connection;

    use super::{super::SqliteFile, *};
    use crate::storage::testing;

    fn file_at(path: &Path) -> SqliteFile {
        SqliteFile::from_url(&format!("sqlite:{}", path.display())).unwrap().unwrap()
    }

    /// What is said of the database that is copied under another name.
    async fn verdict(folder: &Path, suffixes: &[&str]) -> Result<(), String> {
        let [from, to] = ["test.db", "copy.db"].map(|name| folder.join(name));
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(with_suffix(&to, suffix));
        }
        for suffix in suffixes {
            fs::copy(with_suffix(&from, suffix), with_suffix(&to, suffix)).unwrap();
        }
        file_at(&to).check().await.map_err(|error| format!("{error:#}"))
    }

    fn marker(db: &Db) -> Marker<'_> {
        Marker { db, file: db.opened_file().unwrap() }
    }

    /// Ends as a process does that is killed between the two steps.
    async fn mark_halfway(db: &Db) {
        let marker = marker(db);
        note(marker.file.path(), 8).unwrap();
        marker.write("INSERT INTO wal_mark VALUES (1, 8, 7)").await.unwrap();
    }

    #[tokio::test]
    async fn main_file_of_a_served_database_is_refused_without_its_wal() {
        let (db, folder) = testing::sqlite().await;
        let folder = folder.path();
        db.checkpoint().await.unwrap();
        assert_eq!(verdict(folder, &[""]).await, Ok(()), "it is not served");
        for _ in 0..2 {
            assert!(marker(&db).mark().await.unwrap().is_some());
            let refused = verdict(folder, &[""]).await.unwrap_err();
            assert!(refused.contains("without its -wal file"), "{refused}");
            assert_eq!(verdict(folder, &["", "-wal"]).await, Ok(()));
            // The next change goes to the -wal.
            db.checkpoint().await.unwrap();
            assert_eq!(verdict(folder, &[""]).await, Ok(()), "it has all changes");
        }
        marker(&db).mark().await.unwrap();
        db.close().await;
        assert_eq!(verdict(folder, &[""]).await, Ok(()), "it was closed");
    }

    #[tokio::test]
    async fn database_of_a_process_that_was_killed_between_the_steps_is_accepted() {
        let (db, folder) = testing::sqlite().await;
        mark_halfway(&db).await;
        let original = folder.path().join("test.db");
        file_at(&original).check().await.unwrap();
        // The last connection moves everything into the main file and removes the -wal.
        db.close().await;
        assert!(!with_suffix(&original, "-wal").exists());
        file_at(&original).check().await.unwrap();
        let db = Db::open(&format!("sqlite:{}", original.display())).await.unwrap();
        marker(&db).mark().await.unwrap();
        db.close().await;
        assert!(!noted_in(&original).exists());
        assert_eq!(verdict(folder.path(), &[""]).await, Ok(()));
    }

    #[tokio::test]
    async fn copy_of_all_files_of_a_process_that_was_killed_between_the_steps_is_accepted_again_and_again() {
        let (db, folder) = testing::sqlite().await;
        mark_halfway(&db).await;
        assert_eq!(verdict(folder.path(), &["", "-wal"]).await, Ok(()));
        let copy = file_at(&folder.path().join("copy.db"));
        assert!(!with_suffix(copy.path(), "-wal").exists(), "the last connection has moved it");
        copy.check().await.unwrap();
    }

    #[tokio::test]
    async fn copy_is_refused_in_the_place_of_the_original_and_beside_another_wal() {
        let (db, folder) = testing::sqlite().await;
        let [original, copy] = ["test.db", "other.db"].map(|name| folder.path().join(name));
        marker(&db).mark().await.unwrap();
        fs::copy(&original, &copy).unwrap();
        fs::write(with_suffix(&copy, "-wal"), "junk").unwrap();
        assert!(file_at(&copy).check().await.is_err());
        db.close().await;
        // This keeps the inode of the original.
        fs::copy(&copy, &original).unwrap();
        assert!(file_at(&original).check().await.is_err());
    }

    #[tokio::test]
    async fn backup_is_accepted_whatever_the_mark_was() {
        let (db, folder) = testing::sqlite().await;
        mark_halfway(&db).await;
        let to = folder.path().join("backup.db");
        file_at(&folder.path().join("test.db")).back_up(&to).await.unwrap();
        file_at(&to).check().await.unwrap();
    }

    #[tokio::test]
    async fn database_without_the_table_is_whole() {
        let (db, folder) = testing::sqlite().await;
        marker(&db).write("DROP TABLE wal_mark").await.unwrap();
        let to = folder.path().join("backup.db");
        let file = file_at(&folder.path().join("test.db"));
        file.back_up(&to).await.unwrap();
        db.close().await;
        for path in [file.path(), &to] {
            file_at(path).check().await.unwrap();
        }
    }

    #[tokio::test]
    async fn mark_is_not_complete_while_a_reader_keeps_the_checkpoint_from_moving_it() {
        let (db, folder) = testing::sqlite().await;
        let mut reader = file_at(&folder.path().join("test.db")).connect().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM environments").execute(&mut reader).await.unwrap();
        assert_eq!(marker(&db).mark().await.unwrap(), None);
        reader.close().await.unwrap();
        assert!(marker(&db).mark().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn database_is_marked_again_after_a_checkpoint_and_whole_at_the_end() {
        let (db, folder) = testing::sqlite().await;
        let (stop, stopped) = watch::channel(());
        let marker = marker(&db);
        let marking = marker.run(stopped, Duration::from_millis(1));
        let looking = async {
            for _ in 0..2 {
                while verdict(folder.path(), &[""]).await.is_ok() {}
                db.checkpoint().await.unwrap();
            }
            drop(stop);
        };
        timeout(Duration::from_secs(30), futures::future::join(marking, looking)).await.unwrap();
        db.close().await;
        assert_eq!(verdict(folder.path(), &[""]).await, Ok(()));
    }
}
