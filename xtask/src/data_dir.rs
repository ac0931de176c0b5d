//! The data directory of `cargo xtask dev`, whose contents survive a restart.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{locks, random};

/// An opened folder; no other run can open it as long as this lives.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
    /// The secret that control plane and Worker share, made once.
    pub edge_secret: String,
}

impl DataDir {
    /// Creates the folder if it is missing, and locks it.
    pub fn open(path: &Path) -> Result<DataDir> {
        let path = std::path::absolute(path)?;
        // Secrets and databases lie in it, so it is for our user's eyes only.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join("logs"))
            .with_context(|| format!("cannot create {}", path.display()))?;
        let lock = lock(&path)?;
        let edge_secret = edge_secret(&path)?;
        Ok(DataDir { path, _lock: lock, edge_secret })
    }

    /// The folder itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log of one of the children.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(name)
    }

    /// What wrangler remembers: the local KV.
    pub fn edge_state(&self) -> PathBuf {
        self.path.join("edge")
    }

    /// The SQLite database.
    pub fn database_url(&self) -> String {
        // The path is part of a URL; these two characters would mean something else there.
        let path = self.path.join("latchkey.db").display().to_string().replace('%', "%25").replace('?', "%3F");
        format!("sqlite:{path}")
    }

    /// The Worker's secrets, in a file rather than on a command line that everyone can list.
    pub fn write_worker_secrets(&self) -> Result<PathBuf> {
        let file = self.path.join("worker.env");
        write_privately(&file, &format!("LATCHKEY_EDGE_SECRET={}\n", self.edge_secret))?;
        Ok(file)
    }
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    if !locks::try_lock(&file, &path)? {
        bail!(
            "another `cargo xtask dev` uses {}; stop it, or choose another directory with `--data-dir`",
            folder.display()
        );
    }
    Ok(file)
}

fn edge_secret(folder: &Path) -> Result<String> {
    let path = folder.join("edge-secret");
    if let Ok(secret) = fs::read_to_string(&path) {
        return Ok(secret.trim().to_owned());
    }
    let secret = random::secret()?;
    write_privately(&path, &secret)?;
    Ok(secret)
}

/// Writes a file that only our user may read. It appears whole or not at all.
fn write_privately(path: &Path, text: &str) -> Result<()> {
    let unfinished = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
