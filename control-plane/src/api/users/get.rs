use axum::{Json, extract::State};
use shared::id::UserId;

use super::User;
use crate::{
    api::{Error, access::ReadUsers, path::InPath},
    app::App,
    storage::users,
};

/// Get a user.
#[utoipa::path(get, path = "/user_management/users/{id}", tag = "users",
    operation_id = "getUser", security(("management_key" = ["users:read"])),
    params(("id" = UserId, Path)),
    responses((status = 200, body = User)))]
pub async fn get(
    State(app): State<App>,
    ReadUsers(caller): ReadUsers,
    InPath(id): InPath<UserId>,
) -> Result<Json<User>, Error> {
    let user = users::get(app.db.read().await?.conn(), &caller.environment, &id).await?;
    user.map(|row| Json(row.into())).ok_or_else(|| Error::not_found("User"))
}
