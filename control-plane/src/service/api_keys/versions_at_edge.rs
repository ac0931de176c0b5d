use shared::record::Version;

use crate::{
    edge::lookup::{AtEdge, Lookup},
    service::{Database, Result},
    storage::{api_keys::ApiKey, outbox},
};

/// Which version of a key is where.
#[derive(Debug)]
pub struct VersionsAtEdge {
    /// The version in the database.
    pub database: Version,
    /// Whether the last change is not in the change feed yet.
    pub propagating: bool,
    /// The versions at the edge.
    pub at_edge: AtEdge,
}

/// Finds out which version of a key the edge has. `None` without an edge. No connection to the database is held meanwhile.
///
/// # Errors
/// If the database fails.
pub async fn versions_at_edge(
    database: &Database,
    lookup: Option<&Lookup>,
    key: &ApiKey,
) -> Result<Option<VersionsAtEdge>> {
    let (Some(lookup), Some(kv_key)) = (lookup, key.kv_key()) else { return Ok(None) };
    let unfed = outbox::unfed_of(database.read().await?.conn(), &[key.id.as_str()]).await?;
    let at_edge = lookup.look(&kv_key).await;
    Ok(Some(VersionsAtEdge { database: key.version, propagating: !unfed.is_empty(), at_edge }))
}
