use shared::{
    Timestamp,
    entropy::Entropy,
    id::{EnvironmentId, WebhookDeliveryId, WebhookEndpointId},
};

use super::endpoints;
use crate::{
    service::{Change, Entity, Error, Refusal, Result, Transaction},
    storage::{
        Conn, Page, PageRequest, events,
        webhook_deliveries::{self as rows, Attempt, Delivery, DeliveryStatus, NewDelivery},
    },
};

/// A page of the deliveries of an endpoint.
///
/// # Errors
/// If there is no such endpoint, or the database fails.
pub async fn list_deliveries(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    endpoint: &WebhookEndpointId,
    status: Option<DeliveryStatus>,
    page: &PageRequest,
) -> Result<Page<Delivery>> {
    endpoints::get(conn.reborrow(), environment, endpoint).await?;
    Ok(rows::list(conn, endpoint, status, page).await?)
}

/// A delivery and its attempts.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get_delivery(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    id: &WebhookDeliveryId,
) -> Result<(Delivery, Vec<Attempt>)> {
    let delivery = rows::get(conn.reborrow(), environment, id).await?;
    let delivery = delivery.ok_or(Error::NotFound(Entity::WebhookDelivery))?;
    let attempts = rows::attempts(conn, id).await?;
    Ok((delivery, attempts))
}

/// Sends the event of a delivery to its endpoint again, as a new delivery.
///
/// # Errors
/// If there is no such delivery, its event is not in the log any more, its endpoint is disabled or deleted, or the database fails.
pub async fn replay_delivery(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &WebhookDeliveryId,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(Delivery, Change)> {
    let delivery = rows::get(transaction.conn(), environment, id).await?;
    let delivery = delivery.ok_or(Error::NotFound(Entity::WebhookDelivery))?;
    let endpoint = endpoints::get(transaction.conn(), environment, &delivery.endpoint_id).await?;
    if endpoint.disabled {
        return Err(Refusal::WebhookEndpointDisabled.into());
    }
    if !events::exists(transaction.conn(), environment, delivery.event_id.as_str()).await? {
        return Err(Refusal::EventExpired.into());
    }
    let id = WebhookDeliveryId::generate(now, entropy);
    let new = NewDelivery {
        id: id.clone(),
        environment_id: environment.clone(),
        endpoint_id: delivery.endpoint_id,
        event_id: delivery.event_id,
        event: delivery.event,
        is_replay: true,
    };
    rows::add(transaction.conn(), &[new], now).await?;
    let delivery = rows::get(transaction.conn(), environment, &id).await?;
    Ok((delivery.ok_or(Error::NotFound(Entity::WebhookDelivery))?, Change::deliveries()))
}
