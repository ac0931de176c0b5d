use axum::{Json, extract::State};
use shared::{
    error::{ErrorBody, FieldError},
    id::{MembershipId, OrganizationId, UserId},
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        Error, RequestError,
        extract::{
            access::ReadUsers,
            path::named,
            query::{ListParams, Query},
        },
        list::List,
    },
    objects::memberships::Membership,
    service::memberships,
    state::AppState,
    storage::memberships::{Filter, Of},
};

/// The query parameters of a list of memberships, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `filter` reads the parameters")]
pub struct MembershipParams {
    /// The id of an organization: return only its memberships. Required without `user_id`.
    organization_id: Option<String>,
    /// The id of a user: return only the user's memberships. Required without `organization_id`.
    user_id: Option<String>,
    /// The statuses to return, separated by commas. Default: `active`. `pending` is accepted for compatibility with
    /// WorkOS; no membership is pending.
    #[param(inline, style = Form, explode = false)]
    statuses: Option<Vec<ListedStatus>>,
}

/// A status that a list can show.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "likewise")]
pub enum ListedStatus {
    /// Its keys are accepted.
    Active,
    /// Its keys are refused until the membership is active again.
    Inactive,
    /// Accepted for compatibility. No membership is pending.
    Pending,
}

/// List memberships.
///
/// Send `organization_id`, `user_id` or both.
#[utoipa::path(get, path = "/user_management/organization_memberships", tag = "memberships",
    operation_id = "listOrganizationMemberships", security(("management_key" = ["users:read"])),
    params(ListParams, MembershipParams),
    responses(
        (status = 200, body = List<Membership>),
        (status = 400, description = "`organization_id` and `user_id` are both missing.", body = ErrorBody),
        (status = 404, description = "The organization does not exist in this environment, or `user_id` is not the id of a user.", body = ErrorBody),
    ))]
pub async fn list(
    State(state): State<AppState>,
    ReadUsers(caller): ReadUsers,
    query: Query,
) -> Result<Json<List<Membership>>, Error> {
    let wanted = query.page::<MembershipId>()?;
    let filter = filter(&query)?;
    let mut reader = state.database.read().await?;
    let page = memberships::list(reader.conn(), &caller.environment, &filter, &wanted.page).await?;
    Ok(Json(List::new(&wanted, page, |(row, _)| row.id.as_str(), Membership::from)))
}

fn filter(query: &Query) -> Result<Filter, Error> {
    let organization = query.get("organization_id").map(named::<OrganizationId>).transpose()?;
    let user = query.get("user_id").map(named::<UserId>).transpose()?;
    let of = match (organization, user) {
        (Some(organization), Some(user)) => Of::Both(organization, user),
        (Some(organization), None) => Of::Organization(organization),
        (None, Some(user)) => Of::User(user),
        (None, None) => {
            return Err(RequestError::MissingUserOrOrganization.into());
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
        storage::{Db, testing::conformance},
        testing::server::*,
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
