use axum::{extract::State, http::StatusCode};
use shared::error::ErrorBody;

use crate::{
    api::{
        Error,
        access::WritePermissions,
        path::{InPath, PermissionSlug},
    },
    app::App,
    storage::{api_keys, outbox, permissions},
};

/// Delete a permission, and take it from every key that has it.
#[utoipa::path(delete, path = "/authorization/permissions/{slug}", tag = "permissions",
    params(("slug" = String, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, body = ErrorBody)))]
pub async fn delete(
    State(app): State<App>,
    WritePermissions(caller): WritePermissions,
    InPath(PermissionSlug(slug)): InPath<PermissionSlug>,
) -> Result<StatusCode, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    if !permissions::delete(transaction.conn(), environment, &slug).await? {
        return Err(Error::not_found("Permission", &slug));
    }
    let changed = api_keys::remove_permission(transaction.conn(), environment, &slug, now).await?;
    outbox::add_all(transaction.conn(), outbox::Kind::ApiKey, &changed, now).await?;
    transaction.commit().await?;
    app.publisher.notify();
    Ok(StatusCode::NO_CONTENT)
}
