use axum::{Json, extract::State};
use shared::id::MembershipId;

use super::{Membership, Wanted, change, not_found, read};
use crate::{
    api::{EdgePending, Error, access::WriteUsers, path::InPath},
    app::App,
    storage::{memberships, roles},
};

/// Reactivate a membership, with the role that it had.
///
/// It answers once the edge has been told.
#[utoipa::path(put, path = "/user_management/organization_memberships/{id}/reactivate", tag = "memberships",
    params(("id" = MembershipId, Path)),
    responses((status = 200, body = Membership), EdgePending))]
pub async fn reactivate(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<Json<Membership>, Error> {
    let environment = &caller.environment;
    let mut transaction = app.db.write().await?;
    let before = memberships::lock(transaction.conn(), environment, &id).await?.ok_or_else(|| not_found(&id))?;
    let role = roles::hold(transaction.conn(), &before.role_id).await?.ok_or_else(|| not_found(&id))?;
    change(&app, transaction, &before, Wanted { role: &role, inactive: false }, app.clock.now()).await?;
    read(app.db.read().await?.conn(), environment, &id).await.map(Json)
}
