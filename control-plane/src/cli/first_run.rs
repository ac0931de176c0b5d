//! The first run: a database without environments gets one, and a management key for it.

use std::path::Path;

use crate::{app::App, cli::secret_file, keys, storage::environments};

/// Creates the first environment and its management key, unless there is an environment. The key goes into the file, if
/// its path is not empty, and otherwise to standard output; it is shown nowhere else, and never again.
pub(super) async fn greet(app: &App, key_file: &str) -> anyhow::Result<()> {
    let key_file = (!key_file.is_empty()).then(|| Path::new(key_file));
    let mut transaction = app.db.write().await?;
    environments::lock_all(transaction.conn()).await?;
    if !environments::list(transaction.conn()).await?.is_empty() {
        drop(transaction);
        if let Some(file) = key_file
            && secret_file::recover(file)?
        {
            print_line!("The first management key is in {}", file.display());
        }
        return Ok(());
    }
    let prefix = "lk_live".parse()?;
    let environment = keys::create_environment(transaction.conn(), "Default", prefix, &app.clock).await?;
    let everything = [shared::scope::ALL.to_owned()];
    let key =
        keys::create_management_key(&mut transaction, &environment.id, "First key", &everything, &app.clock).await?;
    // On disk before the commit: a key that is valid and that nobody has would be worse than a file too many.
    let pending = key_file.map(|file| secret_file::write(file, key.text.expose())).transpose()?;
    transaction.commit().await?;
    print_line!("This is the first run: made the environment {}.", environment.id);
    match (pending, key_file) {
        (Some(pending), Some(file)) => {
            pending.keep()?;
            print_line!("Its management key is in {}", file.display());
        }
        _ => print_line!("Its management key, shown this once: {}", key.text.expose()),
    }
    Ok(())
}
