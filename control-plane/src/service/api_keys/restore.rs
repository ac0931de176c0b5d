use shared::{
    Timestamp,
    record::{ApiKeyGrant, Record},
};

use crate::{
    events::changes,
    service::{Change, Transaction},
    storage::{self, api_keys, restore as rows},
};

/// Restores a key to the state of a record of the change feed, and queues it for Workers KV, which may have an older one. `None`
/// if the key has this version by now, or a newer one.
///
/// # Errors
/// If the database fails.
pub async fn restore(
    transaction: &mut Transaction,
    id: &str,
    record: &Record,
    key: &ApiKeyGrant,
    now: Timestamp,
) -> storage::Result<Option<Change>> {
    let before = api_keys::of_ids(transaction.conn(), &[id]).await?;
    if !rows::take_over_api_key(transaction.conn(), id, record, key, now).await? {
        return Ok(None);
    }
    let after = api_keys::of_ids(transaction.conn(), &[id]).await?;
    let (before, after) = before.first().zip(after.first()).ok_or(sqlx::Error::RowNotFound)?;
    let event = changes::api_key_updated(before, after)?;
    Ok(Some(Change::api_key_restored(id, record.version, event)))
}
