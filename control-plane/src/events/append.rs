//! How events get into the log, and from there into the queue of webhooks.

use std::collections::HashMap;

use shared::{
    Timestamp,
    entropy::Entropy,
    id::{EnvironmentId, EventId, WebhookDeliveryId, WebhookEndpointId},
};

use super::{EventType, NewEvent, changes, types::Origin};
use crate::clock::Clock;
use crate::storage::{
    Conn, Db, Priority, Result,
    api_keys::{self, ApiKey},
    events::{self as rows, Logged, Queued, Target},
    memberships::Membership,
    webhook_deliveries::{self, NewDelivery},
    webhook_endpoints,
};

/// How many events one round moves.
const BATCH: i64 = 500;
/// After so many events, a transaction begins no other round, so that nobody waits long for it.
const BATCH_MAX: usize = 500;
/// The most rounds of a transaction: what waits behind a change with few targets comes in the next round.
const ROUNDS: u32 = 10;
/// How many targets of each environment one transaction turns into events.
const TARGETS: i64 = 250;
/// How many environments have targets turned into events in one transaction.
const ENVIRONMENTS: usize = 4;

/// What one transaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many events it added to the log.
    pub events: usize,
    /// How many deliveries it queued.
    pub deliveries: usize,
    /// Whether there may be more to do.
    pub is_partial: bool,
}

/// What to do if another process is appending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfBusy {
    /// Wait until it is done.
    Wait,
    /// Leave it to that process.
    Skip,
}

/// Moves committed events from the queue into the log: a bounded number in one transaction.
///
/// # Errors
/// If the database fails. Nothing is moved then.
pub async fn append(
    db: &Db,
    priority: Priority,
    if_busy: IfBusy,
    clock: &Clock,
    entropy: &mut impl Entropy,
) -> Result<Appended> {
    if !rows::any_queued(db.read_as(priority).await?.conn()).await? {
        return Ok(Appended::default());
    }
    let mut transaction = db.write_as(priority).await?;
    let last = match if_busy {
        IfBusy::Wait => rows::wait_for_log(transaction.conn()).await?,
        IfBusy::Skip => rows::lock_log(transaction.conn()).await?,
    };
    let Some(last) = last else { return Ok(Appended::default()) };
    // Now, and not before the wait: no event is older than its change.
    let now = clock.now();
    let mut end = End { last: last.parse().ok(), now, events: vec![] };
    let mut is_partial = true;
    for _ in 0..ROUNDS {
        is_partial = move_queued(transaction.conn(), &mut end, entropy).await?
            | move_targets(transaction.conn(), &mut end, entropy).await?;
        if !is_partial || end.events.len() >= BATCH_MAX {
            break;
        }
    }
    rows::append(transaction.conn(), &end.events).await?;
    let deliveries = fan_out(transaction.conn(), &end.events, now, entropy).await?;
    transaction.commit().await?;
    Ok(Appended { events: end.events.len(), deliveries, is_partial })
}

/// The end of the log, and what is to be added there.
struct End {
    last: Option<EventId>,
    now: Timestamp,
    events: Vec<Logged>,
}

impl End {
    fn push(&mut self, event: Queued, entropy: &mut impl Entropy) {
        let id = EventId::following(self.last.as_ref(), self.now, entropy);
        let Queued { environment_id, organization_id, event, data, context, .. } = event;
        let created_at = id.time();
        let body = format!(
            r#"{{"object":"event","id":"{id}","event":"{event}","data":{data},"created_at":"{created_at}","context":{context}}}"#
        );
        self.last = Some(id.clone());
        // A type that this server does not know is a newer one of Latchkey's.
        let of_latchkey = event.parse().map_or(true, |event: EventType| event.origin() == Origin::Latchkey);
        self.events.push(Logged { id, environment_id, organization_id, event, of_latchkey, body });
    }
}

/// Moves events of the queue. Returns whether there may be more.
async fn move_queued(mut conn: Conn<'_>, end: &mut End, entropy: &mut impl Entropy) -> Result<bool> {
    let queued = rows::next_queued(conn.reborrow(), BATCH).await?;
    let mut is_partial = i64::try_from(queued.len()) == Ok(BATCH);
    let (mut done, mut blocked) = (vec![], vec![]);
    for event in queued {
        if blocked.contains(&event.environment_id) {
            continue;
        }
        if event.batch.is_some() {
            rows::set_expanding(conn.reborrow(), event.position).await?;
            blocked.push(event.environment_id.clone());
            is_partial = true;
        } else {
            done.push(event.position);
        }
        end.push(event, entropy);
    }
    rows::dequeue(conn, &done).await?;
    Ok(is_partial)
}

/// Turns targets into events. Returns whether there are more.
async fn move_targets(mut conn: Conn<'_>, end: &mut End, entropy: &mut impl Entropy) -> Result<bool> {
    let expanding = rows::expanding(conn.reborrow()).await?;
    let is_partial = !expanding.is_empty();
    // By chance, so that none of many environments waits for ever.
    let mut random = [0; 8];
    entropy.fill(&mut random);
    let first = usize::from_le_bytes(random) % expanding.len().max(1);
    for parent in expanding.iter().cycle().skip(first).take(ENVIRONMENTS.min(expanding.len())) {
        let Some(batch) = &parent.batch else { continue };
        let targets = rows::next_targets(conn.reborrow(), batch, TARGETS).await?;
        let Some(last) = targets.last() else {
            rows::dequeue(conn.reborrow(), &[parent.position]).await?;
            continue;
        };
        for event in events_of(conn.reborrow(), &targets).await? {
            end.push(following(parent, event), entropy);
        }
        rows::remove_targets(conn.reborrow(), batch, last).await?;
        if i64::try_from(targets.len()).is_ok_and(|count| count < TARGETS) {
            rows::dequeue(conn.reborrow(), &[parent.position]).await?;
        }
    }
    Ok(is_partial)
}

/// The event of a target, which has the context of the change.
fn following(parent: &Queued, event: NewEvent) -> Queued {
    Queued {
        position: parent.position,
        environment_id: event.environment,
        organization_id: event.organization,
        event: event.event.as_str().to_owned(),
        data: event.data,
        context: parent.context.clone(),
        batch: None,
    }
}

async fn events_of(conn: Conn<'_>, targets: &[Target]) -> Result<Vec<NewEvent>> {
    let is_key = |target: &&Target| target.event.starts_with("api_key.");
    let ids: Vec<&str> = targets.iter().filter(is_key).map(|target| target.id.as_str()).collect();
    let keys = api_keys::of_ids(conn, &ids).await?;
    let keys: HashMap<&str, &ApiKey> = keys.iter().map(|key| (key.id.as_str(), key)).collect();
    let mut events = vec![];
    for target in targets {
        match event_of(target, keys.get(target.id.as_str()).copied()) {
            Ok(event) => events.extend(event),
            // One row that cannot be read does not stop the log of everybody.
            Err(error) => tracing::error!(%error, batch_event = target.event, id = target.id, "lost an event"),
        }
    }
    Ok(events)
}

/// `None` if this server does not know the type of event, which a newer one may have noted.
fn event_of(target: &Target, key: Option<&ApiKey>) -> Result<Option<NewEvent>> {
    let details = target.details.as_deref().unwrap_or_default();
    match target.event.parse() {
        Ok(EventType::ApiKeyRevoked) => key.map(|key| changes::api_key(EventType::ApiKeyRevoked, key)).transpose(),
        Ok(EventType::ApiKeyUpdated) => {
            let Some(key) = key else { return Ok(None) };
            let mut before = key.clone();
            before.permissions.0 = decode(details)?;
            changes::api_key_updated(&before, key).map(Some)
        }
        Ok(EventType::OrganizationMembershipDeleted) => {
            let membership: Membership = decode(details)?;
            changes::membership(EventType::OrganizationMembershipDeleted, &membership).map(Some)
        }
        Ok(EventType::RoleUpdated | EventType::OrganizationRoleUpdated) => {
            changes::role(changes::RoleChange::Updated, &decode(details)?).map(Some)
        }
        Ok(EventType::OrganizationRoleDeleted) => {
            changes::role(changes::RoleChange::Deleted, &decode(details)?).map(Some)
        }
        _ => Ok(None),
    }
}

fn decode<T: serde::de::DeserializeOwned>(details: &str) -> Result<T> {
    serde_json::from_str(details).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Queues a delivery of each event for each endpoint that wants it. Returns how many.
async fn fan_out(mut conn: Conn<'_>, events: &[Logged], now: Timestamp, entropy: &mut impl Entropy) -> Result<usize> {
    let mut endpoints: HashMap<&EnvironmentId, Vec<webhook_endpoints::Subscription>> = HashMap::new();
    let (mut deliveries, mut last) = (vec![], None);
    for event in events {
        if !endpoints.contains_key(&event.environment_id) {
            let of_environment = webhook_endpoints::subscriptions(conn.reborrow(), &event.environment_id).await?;
            endpoints.insert(&event.environment_id, of_environment);
        }
        let of_environment = endpoints.get(&event.environment_id).into_iter().flatten();
        for endpoint in of_environment.filter(|endpoint| endpoint.events.0.contains(&event.event)) {
            // Deliveries are sent in the order of their ids.
            let id = WebhookDeliveryId::following(last.as_ref(), now, entropy);
            deliveries.push(delivery(id.clone(), &endpoint.id, event));
            last = Some(id);
        }
    }
    webhook_deliveries::add(conn, &deliveries, now).await?;
    Ok(deliveries.len())
}

fn delivery(id: WebhookDeliveryId, endpoint: &WebhookEndpointId, event: &Logged) -> NewDelivery {
    NewDelivery {
        id,
        environment_id: event.environment_id.clone(),
        endpoint_id: endpoint.clone(),
        event_id: event.id.clone(),
        event: event.event.clone(),
        is_replay: false,
    }
}
