use axum::{extract::State, http::StatusCode};
use shared::{id::ApiKeyId, record::Revoked};
use utoipa::IntoParams;

use crate::{
    http::{
        EdgePending, Error,
        extract::{access::WriteApiKeys, path::InPath, query::Query},
    },
    service::{api_keys, commit},
    state::AppState,
    storage::Priority,
};

/// Why a key is revoked, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `Query` reads the parameter")]
pub struct RevokeParams {
    /// The reason, which lists of revoked keys show as `revoked_reason`. At most 200 characters. Default: `deleted`.
    #[param(min_length = 1, max_length = 200, default = "deleted")]
    reason: Option<String>,
}

/// Revoke an API key permanently.
///
/// Returns once the edge has the change. At most 2 seconds after the response, the key is refused
/// everywhere.
#[utoipa::path(delete, path = "/api_keys/{id}", tag = "api_keys",
    operation_id = "revokeApiKey", security(("management_key" = ["api_keys:write"])),
    params(("id" = ApiKeyId, Path), RevokeParams),
    responses((status = 204, description = "The key is revoked."), EdgePending))]
pub async fn delete(
    State(state): State<AppState>,
    WriteApiKeys(caller): WriteApiKeys,
    InPath(id): InPath<ApiKeyId>,
    query: Query,
) -> Result<StatusCode, Error> {
    let reason = query.get("reason").unwrap_or(api_keys::DEFAULT_REASON);
    api_keys::check_reason(reason)?;
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Revocation).await?;
    let revoked = Revoked::new(reason, now);
    let change = api_keys::revoke(&mut transaction, &caller.environment, &id, &revoked, now).await?;
    commit(transaction, change, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn a_revoked_key_is_refused_at_once_and_shown_no_more(db: Db) {
            let server = Server::new(db).await;
            let organization = server.organization().await;
            let key = server.api_key(&organization, json!({"name": "k"})).await;
            let path = format!("/api_keys/{}", id_of(&key));
            assert_eq!(server.delete(&path).await, Reply { status: 204, text: String::new() });
            assert_eq!(server.validate(key["value"].as_str().unwrap()).await["code"], "revoked");
            assert_eq!(server.get(&path).await.error(404), "entity_not_found");
            assert_eq!(server.delete(&path).await.error(404), "entity_not_found");
            assert_eq!(server.post(&format!("{path}/expire"), json!({})).await.error(404), "entity_not_found");
            let list = server.get(&format!("/organizations/{organization}/api_keys")).await.expect(200);
            assert_eq!(list["data"], json!([]));
        }

        async fn the_reason_is_shown_with_the_revoked_key(db: Db) {
            let server = Server::new(db).await;
            let organization = server.organization().await;
            for query in ["", "?reason=It%20stood%20in%20a%20log%20%E2%80%93%20twice"] {
                let key = server.api_key(&organization, json!({"name": "k"})).await;
                server.delete(&format!("/api_keys/{}{query}", id_of(&key))).await.expect(204);
                server.advance(1);
            }
            let kept = server.api_key(&organization, json!({"name": "k"})).await;
            let path = format!("/api_keys/{}", id_of(&kept));
            for reason in ["", "%20", "a%0Ab", "%00", &"x".repeat(201)] {
                assert_eq!(server.delete(&format!("{path}?reason={reason}")).await.fields(), ["reason"], "{reason}");
            }
            let list = server.get(&format!("/organizations/{organization}/api_keys?include=revoked")).await.expect(200);
            let reasons: Vec<_> = list["data"].as_array().unwrap().iter().map(|key| key["revoked_reason"].clone()).collect();
            assert_eq!(reasons, [json!(null), json!("It stood in a log – twice"), json!("deleted")]);
            server.delete(&format!("{path}?reason={}", "x".repeat(200))).await.expect(204);
        }
    }
}
