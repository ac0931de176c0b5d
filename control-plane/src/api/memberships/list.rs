use std::collections::HashMap;

use axum::{Json, extract::State};
use shared::{
    error::{ErrorBody, FieldError},
    id::{MembershipId, OrganizationId, UserId},
};
use utoipa::{IntoParams, ToSchema};

use super::Membership;
use crate::{
    api::{
        Error,
        access::ReadUsers,
        list::{List, ListParams, Query},
        path::named,
    },
    app::App,
    storage::{
        Page,
        memberships::{self, Filter, Of},
        organizations, users,
    },
};

/// What else a list of memberships can be asked for, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `filter` reads the parameters")]
pub struct MembershipParams {
    /// Only those of this organization. This or `user_id` must be given.
    organization_id: Option<String>,
    /// Only those of this user.
    user_id: Option<String>,
    /// Only those with these statuses, with commas between them; `active` if left out.
    #[param(inline, style = Form, explode = false)]
    statuses: Option<Vec<ListedStatus>>,
}

/// A status that a list can be asked for.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "likewise")]
pub enum ListedStatus {
    /// Its keys work.
    Active,
    /// Its keys are refused for the time being.
    Inactive,
    /// No membership is pending here.
    Pending,
}

/// List the memberships of an organization or of a user.
#[utoipa::path(get, path = "/user_management/organization_memberships", tag = "memberships",
    operation_id = "listOrganizationMemberships", security(("management_key" = ["users:read"])),
    params(ListParams, MembershipParams),
    responses(
        (status = 200, body = List<Membership>),
        (status = 400, description = "Neither a user nor an organization was named", body = ErrorBody),
        (status = 404, description = "There is no such user or organization", body = ErrorBody),
    ))]
pub async fn list(
    State(app): State<App>,
    ReadUsers(caller): ReadUsers,
    query: Query,
) -> Result<Json<List<Membership>>, Error> {
    let wanted = query.page::<MembershipId>()?;
    let filter = filter(&query)?;
    let environment = &caller.environment;
    let mut db = app.db.read().await?;
    if let Of::Organization(id) | Of::Both(id, _) = &filter.of
        && organizations::get(db.conn(), environment, id).await?.is_none()
    {
        return Err(Error::not_found("Organization"));
    }
    let page = memberships::list(db.conn(), environment, &filter, &wanted.page).await?;
    let ids: Vec<&str> = page.items.iter().map(|row| row.user_id.as_str()).collect();
    let users = users::of_ids(db.conn(), environment, &ids).await?;
    let users: HashMap<UserId, users::User> = users.into_iter().map(|user| (user.id.clone(), user)).collect();
    // One whose user was deleted between the two questions is gone as well.
    let with_user = |row: memberships::Membership| users.get(&row.user_id).cloned().map(|user| (row, user));
    let items = page.items.into_iter().filter_map(with_user).collect();
    let page = Page { items, has_before: page.has_before, has_after: page.has_after };
    Ok(Json(wanted.answer(page, |(row, _)| row.id.as_str(), |(row, user)| Membership::new(row, user))))
}

fn filter(query: &Query) -> Result<Filter, Error> {
    let organization = query.get("organization_id").map(named::<OrganizationId>).transpose()?;
    let user = query.get("user_id").map(named::<UserId>).transpose()?;
    let of = match (organization, user) {
        (Some(organization), Some(user)) => Of::Both(organization, user),
        (Some(organization), None) => Of::Organization(organization),
        (None, Some(user)) => Of::User(user),
        (None, None) => {
            let message = "Name a user by `user_id`, an organization by `organization_id`, or both.";
            return Err(Error::bad_request("missing_user_id_or_organization_id", message));
        }
    };
    let statuses = query.all("statuses");
    if statuses.iter().any(|status| !["active", "inactive", "pending"].contains(status)) {
        return Err(FieldError::new("statuses", "invalid", "must be `active`, `inactive` or `pending`").into());
    }
    let active = statuses.is_empty() || statuses.contains(&"active");
    Ok(Filter { of, active, inactive: statuses.contains(&"inactive") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn they_are_listed_by_organization_by_user_and_by_status(db: Db) {
            let server = Server::new(db).await;
            let organizations = [server.organization().await, server.organization().await];
            let users = [server.user(json!({})).await, server.user(json!({})).await];
            let mut all = vec![];
            for (organization, user) in [(0, 0), (0, 1), (1, 0)] {
                server.advance(1);
                all.push(server.membership(&organizations[organization], &users[user], None).await);
            }
            let path = "/user_management/organization_memberships";
            server.put(&format!("{path}/{}/deactivate", all[1]), json!({})).await.expect(200);
            let list = async |query: String| ids_of(&server.get(&format!("{path}?order=asc&{query}")).await.expect(200));
            let [first, second] = [format!("organization_id={}", organizations[0]), format!("user_id={}", users[0])];
            assert_eq!(list(first.clone()).await, [all[0].clone()]);
            assert_eq!(list(format!("{first}&statuses=active,inactive")).await, all[..2]);
            assert_eq!(list(format!("{first}&statuses[]=inactive&statuses[]=pending")).await, all[1..2]);
            assert_eq!(list(format!("{first}&statuses=pending")).await.len(), 0);
            assert_eq!(list(second.clone()).await, [all[0].clone(), all[2].clone()]);
            assert_eq!(list(format!("{second}&limit=1&after={}", all[0])).await, all[2..]);
            assert_eq!(list(format!("{first}&{second}")).await, all[..1]);
            let newest_first = async |query: &str| ids_of(&server.get(&format!("{path}?{query}")).await.expect(200));
            assert_eq!(newest_first(&second).await, [all[2].clone(), all[0].clone()]);
            assert_eq!(newest_first(&format!("{first}&statuses=active,inactive")).await, [all[1].clone(), all[0].clone()]);
            assert_eq!(newest_first(&format!("{first}&{second}")).await, all[..1]);
        }

        async fn a_list_of_all_cannot_be_asked_for(db: Db) {
            let server = Server::new(db).await;
            let path = "/user_management/organization_memberships";
            assert_eq!(server.get(path).await.error(400), "missing_user_id_or_organization_id");
            assert_eq!(server.get(&format!("{path}?user_id=x")).await.error(404), "entity_not_found");
            let organization = server.organization().await;
            let query = format!("{path}?organization_id={organization}");
            assert_eq!(server.get(&format!("{query}&statuses=gone")).await.fields(), ["statuses"]);
            assert_eq!(server.of_another_environment().await.get(&query).await.error(404), "entity_not_found");
        }
    }
}
