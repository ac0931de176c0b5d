use axum::{Json, extract::State};
use shared::{
    error::FieldError,
    id::{WebhookDeliveryId, WebhookEndpointId},
};
use utoipa::IntoParams;

use crate::{
    http::{
        Error,
        extract::{
            access::ReadWebhooks,
            path::InPath,
            query::{ListParams, Query},
        },
        list::List,
    },
    objects::webhooks::{self as objects, WebhookDelivery},
    service::webhooks,
    state::AppState,
    storage::webhook_deliveries::DeliveryStatus,
};

/// Which deliveries a list shows, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `list` reads the parameter")]
pub struct DeliveryParams {
    /// Return only deliveries with this status.
    status: Option<objects::DeliveryStatus>,
}

/// List the deliveries of a webhook endpoint.
///
/// Deliveries are kept as long as events are.
#[utoipa::path(get, path = "/webhook_endpoints/{id}/deliveries", tag = "webhooks",
    operation_id = "listWebhookDeliveries", security(("management_key" = ["webhooks:read"])),
    params(("id" = WebhookEndpointId, Path), ListParams, DeliveryParams),
    responses((status = 200, body = List<WebhookDelivery>)))]
pub async fn list(
    State(state): State<AppState>,
    ReadWebhooks(caller): ReadWebhooks,
    InPath(id): InPath<WebhookEndpointId>,
    query: Query,
) -> Result<Json<List<WebhookDelivery>>, Error> {
    let wanted = query.page::<WebhookDeliveryId>()?;
    let status = status(&query)?;
    let mut reader = state.database.read().await?;
    let environment = &caller.environment;
    let page = webhooks::list_deliveries(reader.conn(), environment, &id, status, &wanted.page).await?;
    Ok(Json(List::new(&wanted, page, |row| row.id.as_str(), WebhookDelivery::from)))
}

fn status(query: &Query) -> Result<Option<DeliveryStatus>, FieldError> {
    let Some(text) = query.get_unless_empty("status") else { return Ok(None) };
    let known = DeliveryStatus::ALL.into_iter().find(|status| status.as_str() == text);
    let error = || FieldError::new("status", "invalid", "must be `pending`, `succeeded`, `failed` or `canceled`");
    known.map(Some).ok_or_else(error)
}
