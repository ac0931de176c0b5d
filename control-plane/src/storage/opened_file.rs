use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::Result;

/// Which file was opened. SQLite goes on with it when it is deleted or replaced, and what is written then is lost.
#[derive(Debug)]
pub struct OpenedFile {
    path: PathBuf,
    /// Device and inode. `None` of a database in memory.
    identity: Option<(u64, u64)>,
}

impl OpenedFile {
    /// The file at this path, which was just opened.
    pub fn at(path: PathBuf) -> Self {
        let identity = identity(&path);
        Self { path, identity }
    }

    /// Fails if the file is not where it was.
    pub fn check(&self) -> Result<()> {
        let found = identity(&self.path);
        let message = match found {
            _ if self.identity.is_none() || found == self.identity => return Ok(()),
            None => "the database file was deleted; put it back, or stop `latchkey serve` and restore a backup",
            Some(_) => {
                "the database file was replaced; put the original back before another command opens the new one. To \
                 use the new one, keep a copy of it, stop `latchkey serve`, and delete the -wal and -shm files next to \
                 it"
            }
        };
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::NotFound, message)))
    }

    /// Whether there is a file at all, and not a database in memory.
    pub fn is_on_disk(&self) -> bool {
        self.identity.is_some()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the main file was changed last.
    pub fn changed_at(&self) -> io::Result<SystemTime> {
        std::fs::metadata(&self.path)?.modified()
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use crate::storage::{Failure, testing};

    #[tokio::test]
    async fn file_that_was_deleted_or_replaced_takes_no_writes_until_it_is_back() {
        let (db, folder) = testing::sqlite().await;
        let [file, elsewhere] = ["test.db", "elsewhere.db"].map(|name| folder.path().join(name));
        std::fs::rename(&file, &elsewhere).unwrap();
        for _ in 0..2 {
            let error = db.write().await.unwrap_err();
            assert_eq!(Failure::of(&error), Some(Failure::Unavailable));
            assert_eq!(db.check_writes().await, Err(Failure::Unavailable));
            std::fs::write(&file, "another file").unwrap();
        }
        std::fs::rename(&elsewhere, &file).unwrap();
        db.write().await.unwrap().commit().await.unwrap();
    }
}
