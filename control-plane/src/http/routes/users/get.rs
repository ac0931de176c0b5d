use axum::{Json, extract::State};
use shared::id::UserId;

use crate::{
    http::{
        Error,
        extract::{access::ReadUsers, path::InPath},
    },
    objects::users::User,
    service::users,
    state::AppState,
};

/// Get a user.
///
/// Finds the user by their id in Latchkey.
#[utoipa::path(get, path = "/user_management/users/{id}", tag = "users",
    operation_id = "getUser", security(("management_key" = ["users:read"])),
    params(("id" = UserId, Path)),
    responses((status = 200, body = User)))]
pub async fn get(
    State(state): State<AppState>,
    ReadUsers(caller): ReadUsers,
    InPath(id): InPath<UserId>,
) -> Result<Json<User>, Error> {
    let user = users::get(state.database.read().await?.conn(), &caller.environment, &id).await?;
    Ok(Json(user.into()))
}
