use axum::{Json, extract::State};
use shared::id::MembershipId;

use super::{Membership, set_inactive};
use crate::{
    api::{EdgePending, Error, access::WriteUsers, path::InPath},
    app::App,
};

/// Reactivate a membership, with the role that it had.
///
/// It answers once the edge has been told.
#[utoipa::path(put, path = "/user_management/organization_memberships/{id}/reactivate", tag = "memberships",
    operation_id = "reactivateOrganizationMembership", security(("management_key" = ["users:write"])),
    params(("id" = MembershipId, Path)),
    responses((status = 200, body = Membership), EdgePending))]
pub async fn reactivate(
    State(app): State<App>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<Json<Membership>, Error> {
    set_inactive(&app, &caller.environment, &id, false).await.map(Json)
}
