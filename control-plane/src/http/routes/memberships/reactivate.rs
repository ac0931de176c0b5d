use axum::{Json, extract::State};
use shared::id::MembershipId;

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteUsers, path::InPath},
    },
    objects::memberships::Membership,
    service::{commit, memberships},
    state::AppState,
    storage::Priority,
};

/// Reactivate a membership.
///
/// The membership keeps its role, and the user's API keys are accepted again. Returns once the edge has the change.
#[utoipa::path(put, path = "/user_management/organization_memberships/{id}/reactivate", tag = "memberships",
    operation_id = "reactivateOrganizationMembership", security(("management_key" = ["users:write"])),
    params(("id" = MembershipId, Path)),
    responses((status = 200, body = Membership), EdgePending))]
pub async fn reactivate(
    State(state): State<AppState>,
    WriteUsers(caller): WriteUsers,
    InPath(id): InPath<MembershipId>,
) -> Result<Json<Membership>, Error> {
    let (environment, inactive) = (&caller.environment, false);
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (member, change) = memberships::set_inactive(&mut transaction, environment, &id, inactive, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(member.into()))
}
