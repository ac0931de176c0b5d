use anyhow::bail;

use crate::{
    clock::Clock,
    config::Config,
    encryption::EncryptionKey,
    entropy::OsEntropy,
    service::webhooks::{inspect_secrets, reencrypt_secrets},
    storage::Db,
};

pub(super) async fn run(config: &Config, db: &Db) -> anyhow::Result<()> {
    let key = EncryptionKey::from_config(config)?;
    let Some(current) = key.current_id()? else { bail!("there is no encryption key yet, so nothing is encrypted") };
    let previous = key.previous_id()?;
    if let Some(previous) = previous {
        let reencrypted = reencrypt_secrets(db, &key, &mut OsEntropy).await?;
        print_line!("Re-encrypted {reencrypted} secrets, from the key {previous} to {current}.");
    }
    let inspection = inspect_secrets(db.read().await?.conn(), &key, Clock::system().now()).await?;
    let unreadable = inspection.with_unknown.values().sum::<u64>() + inspection.damaged.len() as u64;
    print_line!("Secrets encrypted with the key {current}: {}.", inspection.with_current);
    if unreadable > 0 {
        bail!("secrets that cannot be decrypted: {unreadable}; `latchkey doctor` says which, and what to do");
    }
    if previous.is_some() {
        print_line!(
            "Nothing is encrypted with the other key now. Remove it from encryption_key, and restart every process."
        );
    }
    Ok(())
}
