use axum::{Json, extract::State};
use shared::id::MembershipId;

use super::{Membership, read};
use crate::{
    api::{Error, access::ReadUsers, path::InPath},
    app::App,
};

/// Get a membership.
#[utoipa::path(get, path = "/user_management/organization_memberships/{id}", tag = "memberships",
    operation_id = "getOrganizationMembership", security(("management_key" = ["users:read"])),
    params(("id" = MembershipId, Path)),
    responses((status = 200, body = Membership)))]
pub async fn get(
    State(app): State<App>,
    ReadUsers(caller): ReadUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<Json<Membership>, Error> {
    read(app.db.read().await?.conn(), &caller.environment, &id).await.map(Json)
}
