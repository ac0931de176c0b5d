use axum::extract::State;
use shared::{error::ErrorBody, id::WebhookDeliveryId};

use crate::{
    http::{
        Error,
        extract::{
            access::WriteWebhooks,
            body::OptionalJsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
            path::InPath,
        },
    },
    objects::webhooks::WebhookDelivery,
    service::webhooks,
    state::AppState,
};

/// Send the event of a delivery again.
///
/// Queues a new delivery of the event to the same endpoint, whatever became of this one.
#[utoipa::path(post, path = "/webhook_deliveries/{id}/replay", tag = "webhooks",
    operation_id = "replayWebhookDelivery", security(("management_key" = ["webhooks:write"])),
    params(("id" = WebhookDeliveryId, Path), IdempotencyKey),
    responses(
        (status = 201, body = WebhookDelivery),
        (status = 409, description = "The endpoint is disabled, or the event is older than the retention.", body = ErrorBody),
    ))]
pub async fn replay(
    State(state): State<AppState>,
    WriteWebhooks(caller): WriteWebhooks,
    InPath(id): InPath<WebhookDeliveryId>,
    Idempotent(OptionalJsonBody(_), idempotency): Idempotent<OptionalJsonBody<serde_json::Value>>,
) -> Result<Answer, Error> {
    let environment = &caller.environment;
    let replay = async |transaction: &mut _, now, entropy: &mut _| {
        let (delivery, change) = webhooks::replay_delivery(transaction, environment, &id, now, entropy).await?;
        Ok((WebhookDelivery::from(delivery), change))
    };
    idempotency.create(&state, caller.actor(), replay).await
}
