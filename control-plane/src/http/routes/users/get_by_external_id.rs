use axum::{Json, extract::State};

use crate::{
    http::{
        Error,
        extract::{
            access::ReadUsers,
            path::{InPath, UserExternalId},
        },
    },
    objects::users::User,
    service::users,
    state::AppState,
};

/// Get a user by their external id.
///
/// Finds the user by your own id for them.
#[utoipa::path(get, path = "/user_management/users/external_id/{external_id}", tag = "users",
    operation_id = "getUserByExternalId", security(("management_key" = ["users:read"])),
    params(("external_id" = String, Path)),
    responses((status = 200, body = User)))]
pub async fn get_by_external_id(
    State(state): State<AppState>,
    ReadUsers(caller): ReadUsers,
    InPath(UserExternalId(external_id)): InPath<UserExternalId>,
) -> Result<Json<User>, Error> {
    let mut reader = state.database.read().await?;
    let user = users::get_by_external_id(reader.conn(), &caller.environment, &external_id).await?;
    Ok(Json(user.into()))
}
