use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use shared::{
    api_key::ApiKeyObject,
    error::ErrorBody,
    reason::Reason,
    validation::{BODY_LIMIT, Validation},
};
use utoipa::ToSchema;

use crate::{
    http::{
        Error,
        extract::{access::ValidateApiKeys, body},
    },
    service::api_keys,
    state::AppState,
};

/// An API key to validate.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `shared::validation` reads")]
pub struct ValidateApiKey {
    /// The key that your customer sent.
    value: String,
    /// The IPv4 or IPv6 address that your customer's request came from. If omitted, a key with an IP allow list is
    /// refused.
    #[schema(required = false)]
    ip: Option<String>,
    /// The permissions that your customer's request requires: slugs, `AND`, `OR` and parentheses, such as `posts:read
    /// AND (posts:write OR admin)`. `AND` binds tighter than `OR`. At most 1,024 characters. If omitted, none is
    /// required.
    #[schema(required = false, max_length = 1024)]
    permissions: Option<String>,
}

/// The result of a validation. A refusal also has status 200, so check `api_key`.
#[derive(Serialize, ToSchema)]
pub struct ValidationAnswer {
    /// The API key, if it is accepted. Null if it is refused.
    #[schema(value_type = Option<ApiKeyObject>, required)]
    api_key: (),
    /// The machine-readable reason why the key is refused. Omitted if it is accepted.
    #[schema(required = false)]
    code: Option<Reason>,
    /// The human-readable reason why the key is refused. Omitted if it is accepted.
    #[schema(required = false)]
    message: Option<String>,
}

/// Validate an API key.
///
/// Call it with each key that your API receives. **A refusal also has status 200:** admit the request only if `api_key`
/// is not null. Any other status is not a decision about the key: do not admit the request, and retry after 429 and
/// 5xx. The Worker answers at the edge, without a call to the control plane.
#[utoipa::path(post, path = "/api_keys/validations", tag = "api_keys",
    operation_id = "validateApiKey", security(("management_key" = ["api_keys:validate"])),
    request_body = ValidateApiKey,
    responses(
        (status = 200, body = ValidationAnswer),
        (status = 503, description = "The edge or the database cannot decide at the moment; `code` says why. This is not a decision about the key: do not admit the request, and retry after `Retry-After` seconds.", body = ErrorBody),
    ))]
pub async fn validate(
    State(state): State<AppState>,
    ValidateApiKeys(caller): ValidateApiKeys,
    request: Request,
) -> Result<Response, Error> {
    let body = body::read(request, BODY_LIMIT).await?;
    let (environment, validation) = (&caller.environment, Validation::parse(&body)?);
    let answer =
        api_keys::validate(&state.database, &state.usage, environment, &caller.grant, &validation, &state.clock)
            .await?;
    state.metrics.count_validation(answer.refused.map_or("valid", |reason| reason.code()));
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn the_first_reason_against_a_key_is_said(db: Db) {
            let server = Server::new(db).await;
            server.permissions(&["posts:read"]).await;
            let organization = server.organization().await;
            let wanted = json!({"name": "k", "permissions": ["posts:read"], "expires_at": START.plus_millis(10).to_string()});
            let value = server.api_key(&organization, wanted).await["value"].clone();
            let validate = async |body| server.post("/api_keys/validations", body).await.expect(200);
            let granted = validate(json!({"value": value, "permissions": "posts:read OR admin", "ip": "::1"})).await;
            assert_eq!(granted["api_key"]["permissions"], json!(["posts:read"]));
            let lacking = validate(json!({"value": value, "permissions": "posts:read AND admin"})).await;
            assert_eq!((&lacking["api_key"], &lacking["code"]), (&json!(null), &json!("insufficient_permissions")));
            server.advance(10);
            assert_eq!(validate(json!({"value": value})).await["code"], "expired");
            let unknown = shared::key::KeyText::generate(&"lk_test".parse().unwrap(), &mut crate::entropy::OsEntropy);
            assert_eq!(validate(json!({"value": unknown.expose()})).await["code"], "not_found");
            let elsewhere = shared::key::KeyText::generate(&"lk_live".parse().unwrap(), &mut crate::entropy::OsEntropy);
            assert_eq!(validate(json!({"value": elsewhere.expose()})).await["code"], "malformed");
            assert_eq!(validate(json!({"value": ""})).await["code"], "malformed");
        }

        async fn a_question_that_makes_no_sense_is_refused(db: Db) {
            let server = Server::new(db).await;
            for (body, field) in [
                (json!({}), "value"), (json!({"value": null}), "value"), (json!({"value": ["x"]}), "value"),
                (json!({"value": "x", "ip": "localhost"}), "ip"), (json!({"value": "x", "permissions": "a AND"}), "permissions"),
                (json!({"value": "x", "permissions": "(".repeat(100)}), "permissions"), (json!(["x"]), "body"),
            ] {
                assert_eq!(server.post("/api_keys/validations", body.clone()).await.fields(), [field], "{body}");
            }
            let long = json!({"value": "x".repeat(17_000)});
            assert_eq!(server.post("/api_keys/validations", long).await.error(413), "payload_too_large");
        }

        async fn an_error_does_not_repeat_what_may_be_a_secret(db: Db) {
            let server = Server::new(db).await;
            for body in [json!("lk_live_secret"), json!({"value": {"lk_live_secret": 1}}), json!({"value": ["lk_live_secret"]})] {
                let reply = server.post("/api_keys/validations", body).await;
                assert!(reply.status == 422 && !reply.text.contains("secret"), "{reply:?}");
            }
        }
    }
}
