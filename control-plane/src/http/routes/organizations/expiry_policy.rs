use axum::{Json, extract::State};
use serde::Serialize;
use shared::id::OrganizationId;
use utoipa::ToSchema;

use crate::{
    http::{
        Error,
        extract::{
            access::{ReadOrganizations, WriteOrganizations},
            body::JsonBody,
            path::InPath,
        },
    },
    service::{
        commit,
        expiry_policies::{self, SetApiKeyExpiryPolicy},
    },
    state::AppState,
    storage::{Priority, expiry_policies::ExpiryPolicy},
};

/// The limits on the lifetime of an organization's API keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyExpiryPolicy {
    /// Always `api_key_expiry_policy`.
    object: &'static str,
    /// The id of the organization.
    organization_id: OrganizationId,
    /// The maximum lifetime of a key, in seconds. Null if there is no limit.
    #[schema(required)]
    max_lifetime_seconds: Option<i64>,
    /// The lifetime of a key that is created without `expires_at`, in seconds. If null, it is the maximum.
    #[schema(required)]
    default_lifetime_seconds: Option<i64>,
}

impl ApiKeyExpiryPolicy {
    fn new(organization_id: OrganizationId, policy: ExpiryPolicy) -> Self {
        let ExpiryPolicy { max_lifetime_seconds, default_lifetime_seconds } = policy;
        Self { object: "api_key_expiry_policy", organization_id, max_lifetime_seconds, default_lifetime_seconds }
    }
}

/// Get the expiry policy of an organization.
///
/// Both lifetimes are null if no policy is set.
#[utoipa::path(get, path = "/organizations/{organization_id}/api_key_expiry_policy", tag = "organizations",
    operation_id = "getApiKeyExpiryPolicy", security(("management_key" = ["organizations:read"])),
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, body = ApiKeyExpiryPolicy)))]
pub async fn get(
    State(state): State<AppState>,
    ReadOrganizations(caller): ReadOrganizations,
    InPath(id): InPath<OrganizationId>,
) -> Result<Json<ApiKeyExpiryPolicy>, Error> {
    let policy = expiry_policies::get(state.database.read().await?.conn(), &caller.environment, &id).await?;
    Ok(Json(ApiKeyExpiryPolicy::new(id, policy)))
}

/// Set the expiry policy of an organization.
///
/// Applies to API keys that are created or rotated from now on, and when the expiry of a key is moved to a later time.
/// Existing keys keep their expiry, even if it is later than the policy allows.
#[utoipa::path(put, path = "/organizations/{organization_id}/api_key_expiry_policy", tag = "organizations",
    operation_id = "setApiKeyExpiryPolicy", security(("management_key" = ["organizations:write"])),
    params(("organization_id" = OrganizationId, Path)),
    request_body = SetApiKeyExpiryPolicy,
    responses((status = 200, body = ApiKeyExpiryPolicy)))]
pub async fn set(
    State(state): State<AppState>,
    WriteOrganizations(caller): WriteOrganizations,
    InPath(id): InPath<OrganizationId>,
    JsonBody(body): JsonBody<SetApiKeyExpiryPolicy>,
) -> Result<Json<ApiKeyExpiryPolicy>, Error> {
    let policy = body.check()?;
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let change = expiry_policies::set(&mut transaction, &caller.environment, &id, &policy).await?;
    commit(transaction, change, now).await?;
    Ok(Json(ApiKeyExpiryPolicy::new(id, policy)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    const SECOND: i64 = 1000;

    conformance! {
        async fn a_policy_is_set_whole_and_shown(db: Db) {
            let server = Server::new(db).await;
            let organization = server.organization().await;
            let path = format!("/organizations/{organization}/api_key_expiry_policy");
            let shown = |max, default| json!({
                "object": "api_key_expiry_policy", "organization_id": organization,
                "max_lifetime_seconds": max, "default_lifetime_seconds": default,
            });
            assert_eq!(server.get(&path).await.expect(200), shown(json!(null), json!(null)));
            let set = server.put(&path, json!({"max_lifetime_seconds": 3600, "default_lifetime_seconds": 60})).await;
            assert_eq!(set.expect(200), shown(json!(3600), json!(60)));
            assert_eq!(server.get(&path).await.expect(200), shown(json!(3600), json!(60)));
            let set = server.put(&path, json!({"max_lifetime_seconds": 3_153_600_000_i64, "default_lifetime_seconds": null})).await;
            assert_eq!(set.expect(200), shown(json!(3_153_600_000_i64), json!(null)));
        }

        async fn a_policy_that_makes_no_sense_is_refused(db: Db) {
            let server = Server::new(db).await;
            let path = format!("/organizations/{}/api_key_expiry_policy", server.organization().await);
            for (body, fields) in [
                (json!({"max_lifetime_seconds": 60}), vec!["default_lifetime_seconds"]),
                (json!({"max_lifetime_second": 60, "default_lifetime_seconds": 60}), vec!["max_lifetime_seconds"]),
                (json!({"max_lifetime_seconds": 59, "default_lifetime_seconds": null}), vec!["max_lifetime_seconds"]),
                (json!({"max_lifetime_seconds": -1, "default_lifetime_seconds": -1}), vec!["max_lifetime_seconds", "default_lifetime_seconds"]),
                (json!({"max_lifetime_seconds": 3_153_600_001_i64, "default_lifetime_seconds": null}), vec!["max_lifetime_seconds"]),
                (json!({"max_lifetime_seconds": i64::MAX, "default_lifetime_seconds": 60}), vec!["max_lifetime_seconds"]),
                (json!({"max_lifetime_seconds": 1e30}), vec!["max_lifetime_seconds"]),
                (json!({"max_lifetime_seconds": null, "default_lifetime_seconds": "1 day"}), vec!["default_lifetime_seconds"]),
                (json!({"max_lifetime_seconds": 60, "default_lifetime_seconds": 61}), vec!["default_lifetime_seconds"]),
            ] {
                assert_eq!(server.put(&path, body.clone()).await.fields(), fields, "{body}");
            }
            assert_eq!(server.get(&path).await.expect(200)["max_lifetime_seconds"], json!(null));
        }

        async fn it_holds_wherever_a_key_is_made_or_made_to_live_longer(db: Db) {
            let server = Server::new(db).await;
            let organization = server.organization().await;
            let (policy, keys) = (format!("/organizations/{organization}/api_key_expiry_policy"), format!("/organizations/{organization}/api_keys"));
            let for_ever = id_of(&server.api_key(&organization, json!({"name": "before the policy"})).await);
            server.put(&policy, json!({"max_lifetime_seconds": 3600, "default_lifetime_seconds": 60})).await.expect(200);
            let at = |seconds: i64| json!(START.plus_millis(seconds * SECOND).to_string());

            let key = server.api_key(&organization, json!({"name": "k"})).await;
            assert_eq!(key["expires_at"], at(60), "the default");
            let null = server.api_key(&organization, json!({"name": "k", "expires_at": null})).await;
            assert_eq!(null["expires_at"], at(60), "null too");
            let longest = server.api_key(&organization, json!({"name": "k", "expires_at": at(3600)})).await;
            assert_eq!(longest["expires_at"], at(3600));
            assert_eq!(server.post(&keys, json!({"name": "k", "expires_at": at(3601)})).await.fields(), ["expires_at"]);

            let path = format!("/api_keys/{}", id_of(&key));
            for too_late in [at(3601), json!(null)] {
                let body = json!({"expires_at": too_late});
                assert_eq!(server.post(&format!("{path}/expire"), body.clone()).await.fields(), ["expires_at"]);
                assert_eq!(server.patch(&path, body).await.fields(), ["expires_at"]);
            }
            assert_eq!(server.post(&format!("{path}/expire"), json!({"expires_at": at(3600)})).await.expect(200)["expires_at"], at(3600));
            assert_eq!(server.patch(&path, json!({"expires_at": at(3599)})).await.expect(200)["expires_at"], at(3599));
            // A key of before the policy stays as it is, may be shortened, and not lengthened again.
            let path = format!("/api_keys/{for_ever}");
            assert_eq!(server.get(&path).await.expect(200)["expires_at"], json!(null));
            assert_eq!(server.patch(&path, json!({"expires_at": at(9000)})).await.expect(200)["expires_at"], at(9000));
            assert_eq!(server.patch(&path, json!({"expires_at": at(9001)})).await.fields(), ["expires_at"]);
        }
    }
}
