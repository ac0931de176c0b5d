use axum::{Json, extract::State};
use shared::{error::FieldError, id::UserId};
use utoipa::IntoParams;

use crate::{
    http::{
        Error,
        extract::{
            access::ReadUsers,
            query::{ListParams, Query},
        },
        list::List,
    },
    objects::users::User,
    service::users,
    state::AppState,
    storage::users::Filter,
};

/// The query parameters of a list of users, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `filter` reads the parameters")]
pub struct UserParams {
    /// An e-mail address: return only the user who has it, regardless of case.
    email: Option<String>,
    /// The id of an organization: return only its members.
    organization_id: Option<String>,
}

/// List users.
///
/// Returns the users of the environment, newest first by default. `email` and `organization_id` filter them.
#[utoipa::path(get, path = "/user_management/users", tag = "users",
    operation_id = "listUsers", security(("management_key" = ["users:read"])),
    params(ListParams, UserParams),
    responses((status = 200, body = List<User>)))]
pub async fn list(
    State(state): State<AppState>,
    ReadUsers(caller): ReadUsers,
    query: Query,
) -> Result<Json<List<User>>, Error> {
    let wanted = query.page::<UserId>()?;
    let filter = filter(&query)?;
    let mut reader = state.database.read().await?;
    let page = users::list(reader.conn(), &caller.environment, &filter, &wanted.page).await?;
    Ok(Json(List::new(&wanted, page, |row| row.id.as_str(), User::from)))
}

fn filter(query: &Query) -> Result<Filter, Error> {
    // Older clients send `organization`.
    let organization = query.get("organization_id").or_else(|| query.get("organization"));
    let organization = organization.map(|text| {
        text.parse().map_err(|_| FieldError::new("organization_id", "invalid", "must be the id of an organization"))
    });
    let email = query.get("email").map(str::to_owned);
    if email.as_ref().is_some_and(|email| email.contains('\0')) {
        return Err(FieldError::new("email", "invalid", "must be an e-mail address").into());
    }
    Ok(Filter { email, organization: organization.transpose()? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn users_are_found_by_address_and_by_organization(db: Db) {
            let server = Server::new(db).await;
            let organization = server.organization().await;
            let mut all = vec![];
            for name in ["a", "b", "c"] {
                let user = server.user(json!({"email": format!("{name}@example.com")})).await;
                all.insert(0, user.clone());
                if name != "b" {
                    server.membership(&organization, &user, None).await;
                }
                server.advance(1);
            }
            let list = async |query: &str| ids_of(&server.get(&format!("/user_management/users{query}")).await.expect(200));
            assert_eq!(list("").await, all);
            assert_eq!(list("?order=asc&limit=2").await, [all[2].clone(), all[1].clone()]);
            assert_eq!(list(&format!("?order=asc&limit=2&after={}", all[1])).await, [all[0].clone()]);
            assert_eq!(list("?email=B%40EXAMPLE.com").await, [all[1].clone()]);
            assert_eq!(list("?email=b%40EXAMPLE.com&order=asc").await, [all[1].clone()]);
            let members = [all[0].clone(), all[2].clone()];
            assert_eq!(list(&format!("?organization_id={organization}")).await, members);
            assert_eq!(list(&format!("?organization={organization}&order=asc&limit=1")).await, [all[2].clone()]);
            assert_eq!(list(&format!("?organization={organization}&limit=1&after={}", all[0])).await, [all[2].clone()]);
            assert_eq!(list(&format!("?organization_id={organization}&email=a@example.com")).await, [all[2].clone()]);
            assert_eq!(list(&format!("?organization_id={organization}&email=b@example.com&order=asc")).await.len(), 0);
            assert_eq!(server.get("/user_management/users?organization_id=x").await.fields(), ["organization_id"]);
            assert_eq!(server.get("/user_management/users?email=%00").await.fields(), ["email"]);
        }
    }
}
