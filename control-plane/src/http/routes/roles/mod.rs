//! Roles: what users may do in their organizations. An environment has roles for all of its organizations, and each
//! organization can have roles of its own.

pub mod of_environment;
pub mod of_organization;
mod view;

use axum::Json;
use shared::id::EnvironmentId;

use self::view::Role;
use crate::{
    http::Error,
    service::{
        commit,
        roles::{self, PermissionsUpdate},
    },
    state::AppState,
    storage::roles::Of,
};

/// Changes the permissions of a role, whichever way, and shows the role.
async fn update_permissions(
    state: &AppState,
    environment: &EnvironmentId,
    of: Of<'_>,
    slug: &str,
    update: PermissionsUpdate,
) -> Result<Json<Role>, Error> {
    let (mut transaction, now) = state.begin(update.priority()).await?;
    let (role, change) = roles::update_permissions(&mut transaction, environment, of, slug, update, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(role.into()))
}
