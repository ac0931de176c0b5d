use axum::{Json, extract::State};
use shared::id::WebhookDeliveryId;

use crate::{
    http::{
        Error,
        extract::{access::ReadWebhooks, path::InPath},
    },
    objects::webhooks::WebhookDeliveryDetails,
    service::webhooks,
    state::AppState,
};

/// Get a delivery with its attempts.
#[utoipa::path(get, path = "/webhook_deliveries/{id}", tag = "webhooks",
    operation_id = "getWebhookDelivery", security(("management_key" = ["webhooks:read"])),
    params(("id" = WebhookDeliveryId, Path)), responses((status = 200, body = WebhookDeliveryDetails)))]
pub async fn get(
    State(state): State<AppState>,
    ReadWebhooks(caller): ReadWebhooks,
    InPath(id): InPath<WebhookDeliveryId>,
) -> Result<Json<WebhookDeliveryDetails>, Error> {
    let mut reader = state.database.read().await?;
    let (delivery, attempts) = webhooks::get_delivery(reader.conn(), &caller.environment, &id).await?;
    Ok(Json(WebhookDeliveryDetails::new(delivery, attempts)))
}
