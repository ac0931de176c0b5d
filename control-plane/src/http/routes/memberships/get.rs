use axum::{Json, extract::State};
use shared::id::MembershipId;

use crate::{
    http::{
        Error,
        extract::{access::ReadUsers, path::InPath},
    },
    objects::memberships::Membership,
    service::memberships,
    state::AppState,
};

/// Get a membership.
///
/// Also finds inactive memberships.
#[utoipa::path(get, path = "/user_management/organization_memberships/{id}", tag = "memberships",
    operation_id = "getOrganizationMembership", security(("management_key" = ["users:read"])),
    params(("id" = MembershipId, Path)),
    responses((status = 200, body = Membership)))]
pub async fn get(
    State(state): State<AppState>,
    ReadUsers(caller): ReadUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<Json<Membership>, Error> {
    let member = memberships::get(state.database.read().await?.conn(), &caller.environment, &id).await?;
    Ok(Json(member.into()))
}
