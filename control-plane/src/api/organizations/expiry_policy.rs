use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use shared::id::OrganizationId;
use utoipa::ToSchema;

use crate::{
    api::{
        Error,
        access::{ReadOrganizations, WriteOrganizations},
        body::JsonBody,
        fields::Checks,
        path::InPath,
    },
    app::App,
    storage::expiry_policies::{self, ExpiryPolicy},
};

/// The shortest lifetime that a policy can name: a minute.
const LIFETIME_MIN_SECONDS: i64 = 60;
/// The longest lifetime that a policy can name: a hundred years of 365 days.
const LIFETIME_MAX_SECONDS: i64 = 100 * 365 * 24 * 60 * 60;

/// How long the keys of an organization may live. Both must be said, so that a word that is misspelt lifts no limit.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SetApiKeyExpiryPolicy {
    /// How many seconds a key lives at the most. Null: there is no end.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, minimum = 60, maximum = 3_153_600_000_i64)]
    max_lifetime_seconds: Option<i64>,
    /// How many seconds a key lives of which nobody says when it expires. Null: as long as it may.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, minimum = 60, maximum = 3_153_600_000_i64)]
    default_lifetime_seconds: Option<i64>,
}

/// How long the keys of an organization may live, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyExpiryPolicy {
    /// Always `api_key_expiry_policy`.
    object: &'static str,
    organization_id: OrganizationId,
    /// How many seconds a key lives at the most.
    #[schema(required)]
    max_lifetime_seconds: Option<i64>,
    /// How many seconds a key lives of which nobody says when it expires.
    #[schema(required)]
    default_lifetime_seconds: Option<i64>,
}

impl ApiKeyExpiryPolicy {
    fn new(organization_id: OrganizationId, policy: ExpiryPolicy) -> Self {
        let ExpiryPolicy { max_lifetime_seconds, default_lifetime_seconds } = policy;
        Self { object: "api_key_expiry_policy", organization_id, max_lifetime_seconds, default_lifetime_seconds }
    }
}

/// Get how long the keys of an organization may live.
#[utoipa::path(get, path = "/organizations/{organization_id}/api_key_expiry_policy", tag = "organizations",
    operation_id = "getApiKeyExpiryPolicy", security(("management_key" = ["organizations:read"])),
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, body = ApiKeyExpiryPolicy)))]
pub async fn get(
    State(app): State<App>,
    ReadOrganizations(caller): ReadOrganizations,
    InPath(id): InPath<OrganizationId>,
) -> Result<Json<ApiKeyExpiryPolicy>, Error> {
    let policy = expiry_policies::get(app.db.read().await?.conn(), &caller.environment, &id).await?;
    let policy = policy.ok_or_else(|| Error::not_found("Organization"))?;
    Ok(Json(ApiKeyExpiryPolicy::new(id, policy)))
}

/// Set how long the keys of an organization may live.
///
/// It holds for keys that are created or rotated from now on, and whenever a key is to live longer. Keys that there are expire
/// when they did before, even if that is later.
#[utoipa::path(put, path = "/organizations/{organization_id}/api_key_expiry_policy", tag = "organizations",
    operation_id = "setApiKeyExpiryPolicy", security(("management_key" = ["organizations:write"])),
    params(("organization_id" = OrganizationId, Path)),
    request_body = SetApiKeyExpiryPolicy,
    responses((status = 200, body = ApiKeyExpiryPolicy)))]
pub async fn set(
    State(app): State<App>,
    WriteOrganizations(caller): WriteOrganizations,
    InPath(id): InPath<OrganizationId>,
    JsonBody(body): JsonBody<SetApiKeyExpiryPolicy>,
) -> Result<Json<ApiKeyExpiryPolicy>, Error> {
    let policy = check(&body)?;
    let mut transaction = app.db.write().await?;
    if !expiry_policies::set(transaction.conn(), &caller.environment, &id, &policy).await? {
        return Err(Error::not_found("Organization"));
    }
    transaction.commit().await?;
    Ok(Json(ApiKeyExpiryPolicy::new(id, policy)))
}

fn check(body: &SetApiKeyExpiryPolicy) -> Result<ExpiryPolicy, Error> {
    let (max, default) = (body.max_lifetime_seconds, body.default_lifetime_seconds);
    let mut checks = Checks::default();
    for (field, seconds) in [("max_lifetime_seconds", max), ("default_lifetime_seconds", default)] {
        let in_range = seconds.is_none_or(|seconds| (LIFETIME_MIN_SECONDS..=LIFETIME_MAX_SECONDS).contains(&seconds));
        let message = format!("must be from {LIFETIME_MIN_SECONDS} to {LIFETIME_MAX_SECONDS}");
        checks.require(in_range, field, "invalid", message);
    }
    let in_order = default.zip(max).is_none_or(|(default, max)| default <= max);
    checks.require(in_order, "default_lifetime_seconds", "invalid", "must not be above max_lifetime_seconds");
    checks.finish()?;
    Ok(ExpiryPolicy { max_lifetime_seconds: max, default_lifetime_seconds: default })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
