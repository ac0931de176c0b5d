use axum::extract::State;
use shared::{error::ErrorBody, id::WebhookEndpointId};

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
    objects::webhooks::WebhookEndpoint,
    service::webhooks::{self, RotateWebhookSecret},
    state::AppState,
};

/// Rotate the secret of a webhook endpoint.
///
/// During the overlap, `webhook-signature` has a signature of each secret. `WorkOS-Signature` has one signature, with the old
/// secret until the overlap ends. `DELETE /webhook_endpoints/{id}/previous_secret` ends it earlier.
#[utoipa::path(post, path = "/webhook_endpoints/{id}/rotate_secret", tag = "webhooks",
    operation_id = "rotateWebhookSecret", security(("management_key" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path), IdempotencyKey), request_body = Option<RotateWebhookSecret>,
    responses(
        (status = 201, body = WebhookEndpoint),
        (status = 409, description = "The overlap of an earlier rotation has not ended, or the server has no encryption key (`encryption_key_required`) or cannot use it (`encryption_key_unusable`).", body = ErrorBody),
    ))]
pub async fn rotate_secret(
    State(state): State<AppState>,
    WriteWebhooks(caller): WriteWebhooks,
    InPath(id): InPath<WebhookEndpointId>,
    Idempotent(OptionalJsonBody(body), idempotency): Idempotent<OptionalJsonBody<RotateWebhookSecret>>,
) -> Result<Answer, Error> {
    let overlap_seconds = body.check()?;
    let environment = &caller.environment;
    let rotate = async |transaction: &mut _, now, entropy: &mut _| {
        let encryption = &state.encryption;
        let (rotated, change) =
            webhooks::rotate_secret(transaction, environment, &id, overlap_seconds, encryption, now, entropy).await?;
        let view = WebhookEndpoint::new(rotated.row, now).with_secret(rotated.secret.expose());
        Ok((view, change))
    };
    idempotency.create(&state, caller.actor(), rotate).await
}
