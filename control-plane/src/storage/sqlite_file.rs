//! The file of a SQLite database: where it is, whether it is one of ours, who serves it, and how to copy it.
//!
//! | beside `latchkey.db` | what it is |
//! | --- | --- |
//! | `latchkey.db-wal`, `-shm` | SQLite's own: changes that are not in the main file yet |
//! | `latchkey.db.lock` | locked by the process that serves the database; the kernel releases it when the process ends |
//! | `latchkey.db.marking` | there for the moment in which a mark is made: `copies.rs` says which |
//! | `latchkey.db.new` | a database that is being created; it is renamed once it is complete |
//! | `latchkey.db.encryption-key` | encrypts secrets in the database, if no setting does: see `encryption/key_file.rs` |

mod copies;

pub use copies::keep_marked;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf, absolute},
};

use anyhow::{Context, bail, ensure};
use reqwest::Url;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{Db, Failure};
use crate::files::{self, remove_if_exists, sync_folder, with_suffix};

/// The file of a SQLite database, which need not exist.
#[derive(Debug)]
pub struct SqliteFile {
    path: PathBuf,
    options: SqliteConnectOptions,
}

/// Held by the one process that serves the database, for as long as it runs.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

impl SqliteFile {
    /// The file that a database URL names. `None` for Postgres and for a database in memory.
    ///
    /// # Errors
    /// If the URL is wrong.
    pub fn from_url(url: &str) -> anyhow::Result<Option<Self>> {
        let Some(options) = files::sqlite_options(url)? else { return Ok(None) };
        let path = real_path(options.get_filename())?;
        Ok(Some(Self { path, options }))
    }

    /// Where it is: absolute, and without symbolic links as far as it exists.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is such a file.
    ///
    /// # Errors
    /// If that cannot be known.
    pub fn exists(&self) -> anyhow::Result<bool> {
        let shown = self.path.display();
        let exists = self.path.try_exists().with_context(|| format!("cannot access {shown}; check database_url"))?;
        ensure!(exists || !self.path.is_symlink(), "{shown} is a symbolic link to a file that does not exist");
        Ok(exists)
    }

    /// Refuses a file that exists and holds no Latchkey database. Such a file is not a first run: it is the main file of a
    /// live database, copied without its `-wal`, or somebody else's.
    ///
    /// # Errors
    /// If it is not a Latchkey database, or cannot be read.
    pub async fn check(&self) -> anyhow::Result<()> {
        const SQL: &str =
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('_sqlx_migrations', 'environments')";
        const SQLITE_NOTADB: &str = "26";
        let shown = self.path.display();
        let metadata = fs::metadata(&self.path).with_context(|| format!("cannot read the database {shown}"))?;
        ensure!(metadata.is_file(), "{shown} is not a file");
        let looked = async {
            let mut connection = self.connect().await?;
            let tables: i64 = sqlx::query_scalar(SQL).fetch_one(&mut connection).await?;
            let is_whole = tables != 2 || copies::is_whole(&mut connection, &self.path).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>((tables, is_whole))
        };
        let why = match looked.await {
            Ok((2, true)) => return Ok(()),
            Ok((2, false)) => bail!(
                "{shown} was copied from a live database without its -wal file, so it lacks the newest changes, and \
                 revoked keys would work again. Restore a backup that `latchkey backup` made, or stop the other \
                 `latchkey serve` and copy the file again. As a last resort, accept the loss with `sqlite3 '{shown}' \
                 'DELETE FROM wal_mark'`"
            ),
            Ok(_) if metadata.len() == 0 => "it is empty",
            Ok(_) => "it has none of Latchkey's tables",
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(SQLITE_NOTADB) => {
                "it is not a SQLite database"
            }
            Err(error) if Failure::of(&error) == Some(Failure::Full) => {
                bail!("no space is left on the disk of the database {shown}; free some space and try again")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read the database {shown}")),
        };
        bail!(
            "{shown} exists but is not a Latchkey database: {why}. If it was copied from a live database, it lacks the \
             changes that are in the -wal file: restore a backup that `latchkey backup` made. To start with a new \
             database, delete {shown}, and {shown}-wal and {shown}-shm if they exist"
        )
    }

    /// Locks the database for the process that serves it. Commands beside it need no lock.
    ///
    /// # Errors
    /// If another process has it.
    pub fn lock(&self) -> anyhow::Result<ServeLock> {
        let shown = self.path.display();
        make_folder(&self.path)?;
        // The folder may have been made just now, so only now its real path is known.
        let file = with_suffix(&real_path(&self.path)?, ".lock");
        // It may belong to root, who ran `migrate`. To lock a file, it is enough to read it.
        let open = File::open(&file)
            .or_else(|_| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file))
            .with_context(|| format!("cannot open the lock file {}", file.display()))?;
        match open.try_lock() {
            Ok(()) => Ok(ServeLock { _file: open }),
            Err(TryLockError::WouldBlock) => bail!(
                "another `latchkey serve` uses the database {shown}; only one process at a time can serve a SQLite \
                 database. Stop the other one, or use Postgres"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the file {}", file.display()))
            }
        }
    }

    /// Creates the database with all its tables. It appears in its place once it is complete, so that a process that is
    /// killed meanwhile leaves none.
    ///
    /// # Errors
    /// If it exists, or cannot be created.
    pub async fn create(&self, _lock: &ServeLock) -> anyhow::Result<()> {
        let shown = self.path.display();
        ensure!(!self.exists()?, "{shown} already exists");
        // SQLite would play it into the new file.
        let wal = with_suffix(&self.path, "-wal");
        ensure!(
            !fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0),
            "{shown} does not exist, but {shown}-wal holds changes of it: the database was moved or deleted. Put it \
             back or, to start with a new database, delete {shown}-wal and {shown}-shm"
        );
        remove_if_exists(&wal)?;
        remove_if_exists(&with_suffix(&self.path, "-shm"))?;
        let new = with_suffix(&self.path, ".new");
        let files = ["", "-wal", "-shm"].map(|suffix| with_suffix(&new, suffix));
        for leftover in &files {
            remove_if_exists(leftover)?;
        }
        // SQLite writes into a file that is empty, and gives the files beside it the same mode.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let url = Url::from_file_path(&new).ok().context("the path of the database cannot be written as a URL")?;
        let db = Db::open(&url.as_str().replacen("file:", "sqlite:", 1)).await?;
        db.migrate().await?;
        // With the last connection, SQLite moves the -wal into the main file.
        db.close().await;
        ensure!(!files[1].exists(), "SQLite did not remove {}", files[1].display());
        fs::rename(&new, &self.path)?;
        sync_folder(&self.path)?;
        Ok(())
    }

    /// Copies the database, as it is at one moment, to a new file that only its owner may read. Writers go on meanwhile.
    /// Returns the size of the copy.
    ///
    /// # Errors
    /// If the file exists, or the copy cannot be written or does not pass SQLite's check.
    pub async fn back_up(&self, to: &Path) -> anyhow::Result<u64> {
        let to = absolute(to)?;
        let shown = to.display();
        // Reserves the name. It stays empty until the copy is complete.
        let reserved = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
        match reserved {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("{shown} exists; a backup never overwrites a file, so choose another name")
            }
            reserved => drop(
                reserved.with_context(|| format!("cannot create {shown}; its directory must exist and be writable"))?,
            ),
        }
        let partial = with_suffix(&to, ".partial");
        let copied = self.copy_to(&partial).await.and_then(|size| {
            fs::rename(&partial, &to)?;
            sync_folder(&to)?;
            Ok(size)
        });
        if copied.is_err() {
            let _ = fs::remove_file(&partial);
            let _ = fs::remove_file(&to);
        }
        copied.with_context(|| format!("the backup to {shown} failed"))
    }

    async fn copy_to(&self, partial: &Path) -> anyhow::Result<u64> {
        // SQLite writes into a file that is empty, so that its mode is ours.
        remove_if_exists(partial)?;
        let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial)?;
        let name = partial.to_str().context("the path of the backup is not valid UTF-8")?;
        let mut connection = self.connect().await?;
        sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await?;
        connection.close().await?;

        let options = SqliteConnectOptions::new().filename(partial).disable_statement_logging();
        let mut connection = options.connect().await?;
        copies::unmark(&mut connection).await?;
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
        connection.close().await?;
        ensure!(verdict == "ok", "the backup failed SQLite's check: {verdict}");
        copy.sync_all()?;
        Ok(copy.metadata()?.len())
    }

    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let options = self.options.clone().filename(&self.path).create_if_missing(false);
        options.disable_statement_logging().connect().await
    }
}

/// One path for each file, however it is spelled. Of a file that does not exist yet, that of its folder counts.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let path = absolute(path)?;
    if let Ok(real) = fs::canonicalize(&path) {
        return Ok(real);
    }
    match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => Ok(folder.join(name)),
        _ => Ok(path),
    }
}

fn make_folder(file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the directory {}; check database_url", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::storage::{environments, testing};

    fn file_at(path: &Path) -> SqliteFile {
        SqliteFile::from_url(&format!("sqlite:{}", path.display())).unwrap().unwrap()
    }

    async fn refusal(file: &SqliteFile) -> String {
        format!("{:#}", file.check().await.unwrap_err())
    }

    #[test]
    fn url_without_a_file_is_none_or_refused() {
        for url in ["postgres://db/x", "sqlite::memory:", "sqlite:x?mode=memory", "mysql:x"] {
            assert!(SqliteFile::from_url(url).unwrap().is_none(), "{url}");
        }
        assert!(SqliteFile::from_url("sqlite:").is_err());
    }

    #[tokio::test]
    async fn created_database_is_complete_and_leaves_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_at(&folder.path().join("in a folder/odd%20name#.db"));
        assert!(!file.exists().unwrap());
        let lock = file.lock().unwrap();
        fs::write(with_suffix(file.path(), ".new"), "left by a process that was killed").unwrap();
        file.create(&lock).await.unwrap();
        file.check().await.unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let mut names: Vec<_> =
            fs::read_dir(file.path().parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["odd name#.db", "odd name#.db.lock"]);
        assert!(file.create(&lock).await.is_err(), "it exists");
    }

    #[tokio::test]
    async fn file_that_is_no_database_of_ours_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_at(&folder.path().join("x.db"));
        fs::write(file.path(), "").unwrap();
        assert!(refusal(&file).await.contains("it is empty"));
        fs::write(file.path(), "no database, but long enough to have the header of one".repeat(100)).unwrap();
        assert!(refusal(&file).await.contains("is not a SQLite database"));
        fs::remove_file(file.path()).unwrap();
        let mut other =
            SqliteConnectOptions::new().filename(file.path()).create_if_missing(true).connect().await.unwrap();
        sqlx::query("CREATE TABLE environments (x)").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let refused = refusal(&file).await;
        assert!(refused.contains("none of Latchkey's tables") && refused.contains("latchkey backup"), "{refused}");
    }

    #[tokio::test]
    async fn main_file_of_a_live_database_is_refused_without_its_wal() {
        let (db, folder) = testing::sqlite().await;
        let copy = folder.path().join("copy.db");
        fs::copy(folder.path().join("test.db"), &copy).unwrap();
        assert!(refusal(&file_at(&copy)).await.contains("lacks the changes that are in the -wal file"));
        file_at(&folder.path().join("test.db")).check().await.unwrap();
        db.close().await;
    }

    #[test]
    fn database_is_locked_once_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, "").unwrap();
        symlink(folder.path(), folder.path().join("here")).unwrap();
        symlink(&path, folder.path().join("y.db")).unwrap();
        let names = ["x.db", "y.db", "here/x.db", "./x.db"].map(|name| folder.path().join(name));
        for first in &names {
            let lock = file_at(first).lock().unwrap();
            for second in &names {
                let refused = format!("{:#}", file_at(second).lock().unwrap_err());
                assert!(refused.contains("another `latchkey serve`"), "{refused}");
            }
            drop(lock);
        }
    }

    #[tokio::test]
    async fn backup_holds_what_is_in_the_wal_and_only_its_owner_may_read_it() {
        let (db, folder) = testing::sqlite().await;
        let tenant = testing::Tenant::new(&db, shared::Timestamp::from_millis(1_800_000_000_000)).await;
        let to = folder.path().join("a backup.db");
        let file = file_at(&folder.path().join("test.db"));
        let size = file.back_up(&to).await.unwrap();
        let metadata = fs::metadata(&to).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (size, 0o600));
        assert!(!with_suffix(&to, ".partial").exists());

        let restored = file_at(&to);
        restored.check().await.unwrap();
        let restored = Db::open(&format!("sqlite:{}", to.display())).await.unwrap();
        assert!(restored.is_migrated().await.unwrap());
        let environments = environments::list(restored.read().await.unwrap().conn()).await.unwrap();
        assert_eq!(environments.len(), 1);
        assert_eq!(environments[0].id, tenant.environment);
    }

    #[tokio::test]
    async fn backup_overwrites_nothing_and_leaves_nothing_when_it_fails() {
        let (_db, folder) = testing::sqlite().await;
        let file = file_at(&folder.path().join("test.db"));
        let to = folder.path().join("backup.db");
        fs::write(&to, "precious").unwrap();
        let refused = format!("{:#}", file.back_up(&to).await.unwrap_err());
        assert!(refused.contains("never overwrites"), "{refused}");
        assert_eq!(fs::read_to_string(&to).unwrap(), "precious");

        let absent = file_at(&folder.path().join("absent.db"));
        let to = folder.path().join("other.db");
        assert!(absent.back_up(&to).await.is_err());
        assert!(!to.exists() && !with_suffix(&to, ".partial").exists());
        assert!(!absent.path().exists());
    }
}
