//! The first run: a database without environments gets one, and a management key for it.

use std::path::Path;

use shared::Timestamp;

use crate::{
    cli::secret_file,
    entropy::OsEntropy,
    events::Actor,
    service::{Database, commit_without_waiting, environments, management_keys},
    storage::{Priority, environments as rows},
};

/// Creates the first environment and its management key, unless there is an environment. The key goes into the file, if
/// its path is not empty, and otherwise to standard output; it is shown nowhere else, and never again.
pub(super) async fn greet(database: &Database, now: Timestamp, key_file: &str) -> anyhow::Result<()> {
    let key_file = (!key_file.is_empty()).then(|| Path::new(key_file));
    let mut transaction = database.begin(Actor::Operator, Priority::Normal).await?;
    rows::lock_all(transaction.conn()).await?;
    if !rows::list(transaction.conn()).await?.is_empty() {
        drop(transaction);
        if let Some(file) = key_file
            && secret_file::recover(file)?
        {
            print_line!("The first management key is in {}", file.display());
        }
        return Ok(());
    }
    let prefix = "lk_live".parse()?;
    let entropy = &mut OsEntropy;
    let (environment, creation) = environments::create(&mut transaction, "Default", prefix, now, entropy).await?;
    let (id, everything) = (&environment.id, [shared::scope::ALL.to_owned()]);
    let (key, change) = management_keys::create(&mut transaction, id, "First key", &everything, now, entropy).await?;
    // On disk before the commit: a key that is valid and that nobody has would be worse than a file too many.
    let pending = key_file.map(|file| secret_file::write(file, key.text.expose())).transpose()?;
    commit_without_waiting(transaction, creation.and(change), now).await?;
    print_line!("First run: created the environment {}.", environment.id);
    match (pending, key_file) {
        (Some(pending), Some(file)) => {
            pending.keep()?;
            print_line!("Its management key is in {}", file.display());
        }
        _ => print_line!("Its management key, shown only once: {}", key.text.expose()),
    }
    Ok(())
}
