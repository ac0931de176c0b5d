use axum::{extract::State, http::StatusCode};
use shared::id::WebhookEndpointId;

use crate::{
    http::{
        Error,
        extract::{access::WriteWebhooks, path::InPath},
    },
    service::{commit, webhooks},
    state::AppState,
    storage::Priority,
};

/// Discard the previous secret of a webhook endpoint.
///
/// Ends the overlap of a rotation: from now on, only the current secret signs deliveries.
#[utoipa::path(delete, path = "/webhook_endpoints/{id}/previous_secret", tag = "webhooks",
    operation_id = "discardPreviousWebhookSecret", security(("management_key" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    responses((status = 204, description = "Only the current secret is valid.")))]
pub async fn end_overlap(
    State(state): State<AppState>,
    WriteWebhooks(caller): WriteWebhooks,
    InPath(id): InPath<WebhookEndpointId>,
) -> Result<StatusCode, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let change = webhooks::end_overlap(&mut transaction, &caller.environment, &id, now).await?;
    commit(transaction, change, now).await?;
    Ok(StatusCode::NO_CONTENT)
}
