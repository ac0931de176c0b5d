//! Roles: what users may do in their organizations. An environment has roles for all of its organizations, and each
//! organization can have roles of its own.

pub mod of_environment;
pub mod of_organization;

use crate::{
    http::{Error, extract::access::Caller},
    objects::roles::Role,
    service::{
        commit,
        roles::{self, PermissionsUpdate},
    },
    state::AppState,
    storage::roles::Of,
};
use axum::Json;

/// Changes the permissions of a role, whichever way, and shows the role.
async fn update_permissions(
    state: &AppState,
    caller: &Caller,
    of: Of<'_>,
    slug: &str,
    update: PermissionsUpdate,
) -> Result<Json<Role>, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), update.priority()).await?;
    let (role, change) =
        roles::update_permissions(&mut transaction, &caller.environment, of, slug, update, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(role.into()))
}
