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

/// Delete a webhook endpoint.
///
/// Its pending deliveries are canceled.
#[utoipa::path(delete, path = "/webhook_endpoints/{id}", tag = "webhooks",
    operation_id = "deleteWebhookEndpoint", security(("management_key" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    responses((status = 204, description = "The endpoint is deleted.")))]
pub async fn delete(
    State(state): State<AppState>,
    WriteWebhooks(caller): WriteWebhooks,
    InPath(id): InPath<WebhookEndpointId>,
) -> Result<StatusCode, Error> {
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let change = webhooks::delete(&mut transaction, &caller.environment, &id, now).await?;
    commit(transaction, change, now).await?;
    Ok(StatusCode::NO_CONTENT)
}
