use axum::{Json, extract::State};
use shared::id::WebhookEndpointId;

use crate::{
    http::{
        Error,
        extract::{access::ReadWebhooks, now::Now, path::InPath},
    },
    objects::webhooks::WebhookEndpoint,
    service::webhooks,
    state::AppState,
};

/// Get a webhook endpoint.
#[utoipa::path(get, path = "/webhook_endpoints/{id}", tag = "webhooks",
    operation_id = "getWebhookEndpoint", security(("management_key" = ["webhooks:read"])),
    params(("id" = WebhookEndpointId, Path)), responses((status = 200, body = WebhookEndpoint)))]
pub async fn get(
    State(state): State<AppState>,
    ReadWebhooks(caller): ReadWebhooks,
    Now(now): Now,
    InPath(id): InPath<WebhookEndpointId>,
) -> Result<Json<WebhookEndpoint>, Error> {
    let endpoint = webhooks::get(state.database.read().await?.conn(), &caller.environment, &id).await?;
    Ok(Json(WebhookEndpoint::new(endpoint, now)))
}
