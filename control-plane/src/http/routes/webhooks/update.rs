use axum::{Json, extract::State};
use shared::{error::ErrorBody, id::WebhookEndpointId};

use crate::{
    http::{
        Error,
        extract::{access::WriteWebhooks, body::JsonBody, path::InPath},
    },
    objects::webhooks::WebhookEndpoint,
    service::{
        commit,
        webhooks::{self, UpdateWebhookEndpoint},
    },
    state::AppState,
    storage::Priority,
};

/// Update a webhook endpoint.
#[utoipa::path(patch, path = "/webhook_endpoints/{id}", tag = "webhooks",
    operation_id = "updateWebhookEndpoint", security(("management_key" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)), request_body = UpdateWebhookEndpoint,
    responses(
        (status = 200, body = WebhookEndpoint),
        (status = 409, description = "Another endpoint has this URL already.", body = ErrorBody),
    ))]
pub async fn update(
    State(state): State<AppState>,
    WriteWebhooks(caller): WriteWebhooks,
    InPath(id): InPath<WebhookEndpointId>,
    JsonBody(body): JsonBody<UpdateWebhookEndpoint>,
) -> Result<Json<WebhookEndpoint>, Error> {
    let changes = body.check(&state.webhook_addresses)?;
    let (mut transaction, now) = state.begin(caller.actor(), Priority::Normal).await?;
    let (endpoint, change) = webhooks::update(&mut transaction, &caller.environment, &id, changes, now).await?;
    commit(transaction, change, now).await?;
    Ok(Json(WebhookEndpoint::new(endpoint, now)))
}
