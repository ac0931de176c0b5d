//! Changing a key: what all the calls do that change what is said of one.

use shared::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId},
    record::Version,
};

use super::ShownApiKey;
use crate::{
    api::Error,
    app::App,
    edge::{acknowledge::Committed, changes::Subject},
    storage::{
        Priority, Writer,
        api_keys::{self, ApiKey},
        expiry_policies::{self, ExpiryPolicy},
        key_terms::{self, Terms},
        outbox::Kind,
    },
};

/// A key that is not revoked, locked until the transaction ends.
pub async fn lock(transaction: &mut Writer, environment: &EnvironmentId, id: &ApiKeyId) -> Result<ApiKey, Error> {
    let key = key_terms::lock(transaction.conn(), environment, id).await?;
    key.ok_or_else(|| Error::not_found("API key"))
}

/// How long the keys of this key's organization may live.
pub async fn policy(transaction: &mut Writer, key: &ApiKey) -> Result<ExpiryPolicy, Error> {
    let policy = expiry_policies::get(transaction.conn(), &key.environment_id, &key.organization_id).await?;
    Ok(policy.unwrap_or_default())
}

/// Whether somebody was told that the edge has the last change of a key, or there is nobody to tell.
pub const fn is_told(app: &App, key: &ApiKey) -> bool {
    key.acknowledged || app.edge.is_none()
}

/// What an earlier call committed, for whoever takes up its wait.
pub fn earlier(id: &ApiKeyId, version: Version) -> Committed {
    Committed { subject: Subject::Key(Kind::ApiKey, id.to_string()), version, priority: Priority::Revocation }
}

/// Writes what is said of a key from now on, if that is anything new, and shows the key once the edge has it. A call that
/// repeats one which was not told so changes nothing, and waits all the same.
pub async fn write(
    app: &App,
    mut transaction: Writer,
    before: ApiKey,
    terms: &Terms,
    now: Timestamp,
) -> Result<ShownApiKey, Error> {
    if *terms == before.terms() {
        // It would hold the row, and on SQLite the file, while this waits.
        drop(transaction);
        if !is_told(app, &before) {
            app.acknowledge(&earlier(&before.id, before.version)).await?;
        }
        return Ok(ShownApiKey::new(before, now));
    }
    let version = key_terms::change(transaction.conn(), &before.id, terms, now).await?;
    let after = api_keys::get(transaction.conn(), &before.environment_id, &before.id).await?;
    let after = after.ok_or_else(|| Error::not_found("API key"))?;
    let committed = app.commit_change(transaction, Kind::ApiKey, before.id.as_str(), version).await?;
    app.acknowledge(&committed).await?;
    Ok(ShownApiKey::new(after, now))
}
