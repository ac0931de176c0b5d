use axum::{Json, extract::State};

use super::User;
use crate::{
    api::{
        Error,
        access::ReadUsers,
        path::{InPath, UserExternalId},
    },
    app::App,
    storage::users,
};

/// Get a user by what the product calls it.
#[utoipa::path(get, path = "/user_management/users/external_id/{external_id}", tag = "users",
    operation_id = "getUserByExternalId", security(("management_key" = ["users:read"])),
    params(("external_id" = String, Path)),
    responses((status = 200, body = User)))]
pub async fn get_by_external_id(
    State(app): State<App>,
    ReadUsers(caller): ReadUsers,
    InPath(UserExternalId(external_id)): InPath<UserExternalId>,
) -> Result<Json<User>, Error> {
    let user = users::by_external_id(app.db.read().await?.conn(), &caller.environment, &external_id).await?;
    user.map(|row| Json(row.into())).ok_or_else(|| Error::not_found("User"))
}
