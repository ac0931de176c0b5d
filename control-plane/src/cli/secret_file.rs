//! Files that hold a secret: readable by their owner only, and never overwritten.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::files::{sync_folder, with_suffix};

/// A secret that is on disk under another name. [`Pending::keep`] gives the file its name; dropped, the file is gone.
///
/// So the secret can be written before the transaction commits that makes it valid, and appears only after it.
pub(super) struct Pending<'a> {
    file: &'a Path,
    partial: PathBuf,
    is_kept: bool,
}

/// Writes the secret beside the file.
pub(super) fn write<'a>(file: &'a Path, secret: &str) -> anyhow::Result<Pending<'a>> {
    let shown = file.display();
    anyhow::ensure!(
        !file.try_exists().with_context(|| format!("cannot access {shown}; its directory must be readable"))?,
        "{shown} exists and is not overwritten; move it or choose another name"
    );
    let partial = partial(file);
    // Whatever is in it was never valid, or its transaction would have been followed by `recover`.
    if partial.try_exists()? {
        fs::remove_file(&partial)?;
    }
    let pending = Pending { file, partial, is_kept: false };
    let create = || {
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&pending.partial)?;
        writeln!(open, "{secret}")?;
        open.sync_all()?;
        sync_folder(file)
    };
    create().with_context(|| format!("cannot write the key to {shown}; its directory must exist and be writable"))?;
    Ok(pending)
}

impl Pending<'_> {
    /// Gives the file its name, after the secret has become valid.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        self.is_kept = true;
        rename(&self.partial, self.file)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Gives its name to the file of a process that ended between its commit and [`Pending::keep`]. Whether there was one.
pub(super) fn recover(file: &Path) -> anyhow::Result<bool> {
    let partial = partial(file);
    if file.try_exists()? || !partial.try_exists()? {
        return Ok(false);
    }
    rename(&partial, file)?;
    Ok(true)
}

fn rename(partial: &Path, file: &Path) -> anyhow::Result<()> {
    let rename = || {
        fs::rename(partial, file)?;
        sync_folder(file)
    };
    rename().with_context(|| format!("cannot rename {}, which holds the key, to {}", partial.display(), file.display()))
}

fn partial(file: &Path) -> PathBuf {
    with_suffix(file, ".partial")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secret_appears_only_once_it_is_kept_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        drop(write(&file, "never valid").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let pending = write(&file, "mk_x").unwrap();
        assert!(!file.exists());
        pending.keep().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "mk_x\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn existing_file_and_absent_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "precious").unwrap();
        assert!(write(&file, "mk_x").err().unwrap().to_string().contains("exists"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let error = write(&folder.path().join("absent/key"), "mk_x").err().unwrap();
        assert!(error.to_string().contains("absent/key"), "{error}");
    }

    #[test]
    fn secret_of_a_process_that_was_killed_is_recovered_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert!(!recover(&file).unwrap());
        std::mem::forget(write(&file, "mk_one").unwrap());
        std::mem::forget(write(&file, "mk_two").unwrap());
        assert!(recover(&file).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "mk_two\n");
        assert!(!recover(&file).unwrap());
    }
}
