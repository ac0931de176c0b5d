use serde::Deserialize;
use shared::{
    Rfc3339, Timestamp,
    entropy::Entropy,
    id::{EnvironmentId, EventId, WebhookDeliveryId, WebhookEndpointId, WebhookReplayId},
};
use utoipa::ToSchema;

use super::endpoints;
use crate::{
    service::{Change, Error, Refusal, Result, Transaction},
    storage::{
        self, Conn, PageRequest, Position,
        events::{self, Filter},
        webhook_deliveries::{self, NewDelivery},
        webhook_endpoints::{self, WebhookEndpoint},
        webhook_replays::{self as rows, Replay},
    },
};

/// How many replays one transaction takes a step further.
const REPLAYS: i64 = 50;
/// A replay waits while its endpoint has so many deliveries left.
const BACKLOG_MAX: i64 = 100;
/// How many events a step queues.
const STEP: u32 = 100;

/// Which events to send again.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ReplayEvents {
    /// The time from which on events are sent again, such as the beginning of an outage.
    since: Rfc3339,
    /// The time up to which events are sent again. If omitted or null, up to now.
    #[serde(default)]
    until: Option<Rfc3339>,
}

impl ReplayEvents {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If the time ends before it begins.
    pub fn check(self) -> Result<Self> {
        let in_order = self.until.is_none_or(|Rfc3339(until)| until >= self.since.0);
        let error = || Error::invalid("until", "invalid", "must not be before `since`");
        if in_order { Ok(self) } else { Err(error()) }
    }
}

/// A replay that was begun.
#[derive(Debug)]
pub struct BegunReplay {
    /// Its id.
    pub id: WebhookReplayId,
    /// The endpoint.
    pub endpoint: WebhookEndpointId,
    /// Between which times the events are.
    pub range: (Timestamp, Timestamp),
}

/// Sends an endpoint all events of a time again that it is subscribed to, whether they were sent before or not.
///
/// # Errors
/// If there is no such endpoint, it is disabled, it has another replay that is not done, or the database fails.
pub async fn replay(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    endpoint: &WebhookEndpointId,
    ReplayEvents { since: Rfc3339(since), until }: ReplayEvents,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(BegunReplay, Change)> {
    let endpoint = endpoints::get(transaction.conn(), environment, endpoint).await?;
    if endpoint.disabled {
        return Err(Refusal::WebhookEndpointDisabled.into());
    }
    if since > now {
        return Err(Error::invalid("since", "invalid", "must not be in the future"));
    }
    let until = until.map_or(now, |Rfc3339(until)| until.min(now));
    let replay = Replay {
        id: WebhookReplayId::generate(now, entropy),
        endpoint_id: endpoint.id,
        after_event: EventId::first_at(since),
        until_event: EventId::first_at(until.plus_millis(1)),
    };
    if !rows::add(transaction.conn(), &replay).await? {
        return Err(Refusal::ReplayInProgress.into());
    }
    let begun = BegunReplay { id: replay.id, endpoint: replay.endpoint_id, range: (since, until) };
    Ok((begun, Change::deliveries()))
}

/// Takes replays a step further: queues the next events of endpoints that have few deliveries left. Returns whether it queued any.
///
/// # Errors
/// If the database fails.
pub async fn continue_replays(mut conn: Conn<'_>, now: Timestamp, entropy: &mut impl Entropy) -> storage::Result<bool> {
    let mut has_queued = false;
    for replay in &rows::lock(conn.reborrow(), REPLAYS).await? {
        match webhook_endpoints::enabled(conn.reborrow(), &replay.endpoint_id).await? {
            None => rows::remove(conn.reborrow(), &replay.id).await?,
            // What happens now is not delayed much by what happened then.
            Some(endpoint) if webhook_deliveries::has_backlog(conn.reborrow(), &endpoint.id, BACKLOG_MAX).await? => {}
            Some(endpoint) => {
                step(conn.reborrow(), replay, &endpoint, now, entropy).await?;
                has_queued = true;
            }
        }
    }
    Ok(has_queued)
}

async fn step(
    mut conn: Conn<'_>,
    replay: &Replay,
    endpoint: &WebhookEndpoint,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> storage::Result<()> {
    let filter =
        Filter { types: Some(endpoint.events.0.clone()), below: Some(replay.until_event.clone()), ..Filter::default() };
    let after = Position::After(replay.after_event.clone());
    let request = PageRequest { limit: STEP, newest_first: false, position: after };
    let page = events::list(conn.reborrow(), &endpoint.environment_id, &filter, &request).await?;
    let (mut deliveries, mut last) = (vec![], None);
    for event in &page.items {
        let id = WebhookDeliveryId::following(last.as_ref(), now, entropy);
        last = Some(id.clone());
        deliveries.push(NewDelivery {
            id,
            environment_id: endpoint.environment_id.clone(),
            endpoint_id: endpoint.id.clone(),
            event_id: event.id.clone(),
            event: event.event.clone(),
            is_replay: true,
        });
    }
    webhook_deliveries::add(conn.reborrow(), &deliveries, now).await?;
    match page.items.last() {
        Some(last) if page.has_after => rows::advance(conn, &replay.id, &last.id).await,
        _ => rows::remove(conn, &replay.id).await,
    }
}
