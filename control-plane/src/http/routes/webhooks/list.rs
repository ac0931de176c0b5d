use axum::{Json, extract::State};
use shared::id::WebhookEndpointId;

use crate::{
    http::{
        Error,
        extract::{
            access::ReadWebhooks,
            now::Now,
            query::{ListParams, Query},
        },
        list::List,
    },
    objects::webhooks::WebhookEndpoint,
    service::webhooks,
    state::AppState,
};

/// List webhook endpoints.
#[utoipa::path(get, path = "/webhook_endpoints", tag = "webhooks",
    operation_id = "listWebhookEndpoints", security(("management_key" = ["webhooks:read"])),
    params(ListParams), responses((status = 200, body = List<WebhookEndpoint>)))]
pub async fn list(
    State(state): State<AppState>,
    ReadWebhooks(caller): ReadWebhooks,
    Now(now): Now,
    query: Query,
) -> Result<Json<List<WebhookEndpoint>>, Error> {
    let wanted = query.page::<WebhookEndpointId>()?;
    let page = webhooks::list(state.database.read().await?.conn(), &caller.environment, &wanted.page).await?;
    Ok(Json(List::new(&wanted, page, |row| row.id.as_str(), |row| WebhookEndpoint::new(row, now))))
}
