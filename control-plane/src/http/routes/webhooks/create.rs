use axum::extract::State;
use shared::error::ErrorBody;

use crate::{
    http::{
        Error,
        extract::{
            access::WriteWebhooks,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
        },
    },
    objects::webhooks::WebhookEndpoint,
    service::webhooks::{self, CreateWebhookEndpoint},
    state::AppState,
};

/// Create a webhook endpoint.
///
/// The response contains the secret that signs the deliveries. It is shown in full only here and when it is rotated.
#[utoipa::path(post, path = "/webhook_endpoints", tag = "webhooks",
    operation_id = "createWebhookEndpoint", security(("management_key" = ["webhooks:write"])),
    params(IdempotencyKey), request_body = CreateWebhookEndpoint,
    responses(
        (status = 201, body = WebhookEndpoint),
        (status = 409, description = "An endpoint with this URL exists already, there are 50, or the server has no encryption key (`encryption_key_required`) or cannot use it (`encryption_key_unusable`).", body = ErrorBody),
    ))]
pub async fn create(
    State(state): State<AppState>,
    WriteWebhooks(caller): WriteWebhooks,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<CreateWebhookEndpoint>>,
) -> Result<Answer, Error> {
    let new = body.check(&state.webhook_addresses)?;
    let environment = &caller.environment;
    let create = async |transaction: &mut _, now, entropy: &mut _| {
        let (created, change) =
            webhooks::create(transaction, environment, new, &state.encryption, now, entropy).await?;
        let view = WebhookEndpoint::new(created.row, now).with_secret(created.secret.expose());
        Ok((view, change))
    };
    idempotency.create(&state, caller.actor(), create).await
}
