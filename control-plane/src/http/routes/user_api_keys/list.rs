use axum::{Json, extract::State};
use shared::{
    error::ErrorBody,
    id::{ApiKeyId, OrganizationId, UserId},
};
use utoipa::IntoParams;

use crate::{
    http::{
        Error,
        extract::{
            access::ReadApiKeys,
            now::Now,
            path::{InPath, named},
            query::{ListParams, Query},
        },
        list::List,
        routes::api_keys::{
            list::{IncludeParams, which},
            view,
        },
    },
    objects::api_keys::ManagedApiKey,
    service::api_keys,
    state::AppState,
};

/// The query parameters of a list of a user's keys, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `list` reads the parameter")]
pub struct OrganizationParams {
    /// The id of an organization: return only keys that work in it.
    organization_id: Option<String>,
}

/// List the API keys of a user.
///
/// Revoked keys are included only with `include=revoked`.
#[utoipa::path(get, path = "/user_management/users/{user_id}/api_keys", tag = "api_keys",
    operation_id = "listUserApiKeys", security(("management_key" = ["api_keys:read"])),
    params(("user_id" = UserId, Path), ListParams, OrganizationParams, IncludeParams),
    responses(
        (status = 200, body = List<ManagedApiKey>),
        (status = 404, description = "The user or the organization does not exist in this environment.", body = ErrorBody),
    ))]
pub async fn list(
    State(state): State<AppState>,
    Now(now): Now,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(user): InPath<UserId>,
    query: Query,
) -> Result<Json<List<ManagedApiKey>>, Error> {
    let (wanted, which) = (query.page::<ApiKeyId>()?, which(&query)?);
    let organization = query.get("organization_id").map(named::<OrganizationId>).transpose()?;
    let (environment, organization) = (&caller.environment, organization.as_ref());
    let keys = api_keys::list_of_user(&state.database, environment, &user, organization, which, &wanted.page).await?;
    Ok(Json(view::list(&wanted, keys, now)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn a_users_keys_are_listed_in_all_organizations_or_in_one(db: Db) {
            let server = Server::new(db).await;
            let organizations = [server.organization().await, server.organization().await];
            let user = server.user(json!({})).await;
            let mut all = vec![];
            for at in [0, 1, 0] {
                server.post("/user_management/organization_memberships", json!({"organization_id": organizations[at], "user_id": user})).await;
                server.advance(1);
                all.push(id_of(&server.user_api_key(&user, json!({"name": "k", "organization_id": organizations[at]})).await));
            }
            let path = format!("/user_management/users/{user}/api_keys");
            let list = async |query: String| ids_of(&server.get(&format!("{path}?{query}")).await.expect(200));
            assert_eq!(list(String::new()).await, [all[2].clone(), all[1].clone(), all[0].clone()]);
            assert_eq!(list("order=asc&limit=2".to_owned()).await, all[..2]);
            assert_eq!(list(format!("order=asc&after={}", all[0])).await, all[1..]);
            assert_eq!(list(format!("organization_id={}", organizations[0])).await, [all[2].clone(), all[0].clone()]);
            server.delete(&format!("/api_keys/{}", all[0])).await.expect(204);
            assert_eq!(list(format!("organization_id={}", organizations[0])).await, all[2..]);
            assert_eq!(list("include=revoked&order=asc".to_owned()).await, all);
            assert_eq!(server.get(&format!("{path}?organization_id=x")).await.error(404), "entity_not_found");
            let stranger = server.of_another_environment().await;
            assert_eq!(stranger.get(&path).await.error(404), "entity_not_found");
        }
    }
}
