use axum::extract::State;
use shared::{error::ErrorBody, id::WebhookEndpointId};

use crate::{
    http::{
        Error,
        extract::{
            access::WriteWebhooks,
            body::JsonBody,
            idempotency::{Answer, IdempotencyKey, Idempotent},
            path::InPath,
        },
    },
    objects::webhooks::WebhookReplay,
    service::webhooks::{self, ReplayEvents},
    state::AppState,
};

/// Send an endpoint the events of a time again.
///
/// Queues a new delivery of each event of that time that the endpoint is subscribed to, oldest first, whether it was delivered
/// before or not. The id of an event stays the same, so receivers recognize repetitions.
#[utoipa::path(post, path = "/webhook_endpoints/{id}/replay", tag = "webhooks",
    operation_id = "replayWebhookEvents", security(("management_key" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path), IdempotencyKey), request_body = ReplayEvents,
    responses(
        (status = 201, body = WebhookReplay),
        (status = 409, description = "The endpoint is disabled, or another replay is in progress.", body = ErrorBody),
    ))]
pub async fn replay(
    State(state): State<AppState>,
    WriteWebhooks(caller): WriteWebhooks,
    InPath(id): InPath<WebhookEndpointId>,
    Idempotent(JsonBody(body), idempotency): Idempotent<JsonBody<ReplayEvents>>,
) -> Result<Answer, Error> {
    let body = body.check()?;
    let environment = &caller.environment;
    let replay = async |transaction: &mut _, now, entropy: &mut _| {
        let (begun, change) = webhooks::replay(transaction, environment, &id, body, now, entropy).await?;
        Ok((WebhookReplay::new(begun.id, begun.endpoint, begun.range), change))
    };
    idempotency.create(&state, caller.actor(), replay).await
}
