use shared::id::{ApiKeyId, EnvironmentId};

use crate::{
    service::{Entity, Error, Result},
    storage::{
        Conn,
        api_keys::{self as rows, ApiKey},
    },
};

/// The key with this id, unless it is revoked.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &ApiKeyId) -> Result<ApiKey> {
    rows::get(conn, environment, id).await?.ok_or(Error::NotFound(Entity::ApiKey))
}
