use shared::id::{ApiKeyId, EnvironmentId};

use crate::{
    service::{Entity, Error, Result},
    storage::{
        Conn, api_keys as rows,
        usage::{self, Span, Total},
    },
};

/// Requires that a key with this id exists, or existed before it was revoked.
///
/// # Errors
/// If there never was one, or the database fails.
pub async fn require_known(conn: Conn<'_>, environment: &EnvironmentId, id: &ApiKeyId) -> Result<()> {
    if rows::ever_was(conn, environment, id).await? { Ok(()) } else { Err(Error::NotFound(Entity::ApiKey)) }
}

/// How often a key was validated, by interval and outcome.
///
/// # Errors
/// If the database fails.
pub async fn usage(conn: Conn<'_>, environment: &EnvironmentId, id: &ApiKeyId, span: Span) -> Result<Vec<Total>> {
    Ok(usage::of_key(conn, environment, id, span).await?)
}
