use serde::Deserialize;
use shared::{
    Timestamp,
    entropy::Entropy,
    id::{EnvironmentId, WebhookEndpointId},
};
use utoipa::ToSchema;

use super::secrets::{is_readable, seal};
use crate::{
    encryption::EncryptionKey,
    events::{EventType, changes},
    objects::webhooks::WebhookEndpointStatus,
    service::{
        Change, Entity, Error, Refusal, Result, Transaction,
        events::check_types,
        fields::{Checks, without_repeats},
    },
    storage::{
        Conn, JsonText, Page, PageRequest,
        webhook_endpoints::{self as rows, WebhookEndpoint},
    },
    webhooks::{address::AddressPolicy, secret::WebhookSecret, url::parse_endpoint_url},
};

/// The most endpoints of an environment.
const ENDPOINTS_MAX: i64 = 50;
/// How long the previous secret stays valid by default: a day.
const OVERLAP_DEFAULT_SECONDS: i64 = 24 * 60 * 60;
/// The longest overlap: 30 days.
const OVERLAP_MAX_SECONDS: i64 = 30 * 24 * 60 * 60;

/// A webhook endpoint to create.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateWebhookEndpoint {
    /// The URL to which events are sent: https, at most 2048 characters, with a public address.
    #[schema(min_length = 1, max_length = 2048)]
    endpoint_url: String,
    /// The types of events to send, such as `api_key.created`. WorkOS's other types are accepted; those events do not happen
    /// here. At most 100.
    #[schema(min_items = 1, max_items = 100)]
    events: Vec<String>,
}

/// Changes to a webhook endpoint. Omitted fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateWebhookEndpoint {
    /// The URL to which events are sent: https, at most 2048 characters, with a public address.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2048)]
    endpoint_url: Option<String>,
    /// Whether events are sent. Disabling cancels pending deliveries. Events that happen while the endpoint is disabled can be
    /// sent later by a replay.
    #[serde(default)]
    #[schema(value_type = Option<WebhookEndpointStatus>)]
    status: Option<String>,
    /// All types of events to send. At most 100.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 100)]
    events: Option<Vec<String>>,
}

/// How to rotate the secret of a webhook endpoint.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RotateWebhookSecret {
    /// How long deliveries are also signed with the old secret, in seconds: 0 to 2,592,000 (30 days). Default: 86,400 (a day).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000, default = 86400)]
    overlap_seconds: Option<i64>,
}

/// An endpoint that can be created.
#[derive(Debug)]
pub struct NewEndpoint {
    url: String,
    events: Vec<String>,
}

/// Changes that are acceptable.
#[derive(Debug)]
pub struct EndpointChanges {
    url: Option<String>,
    disabled: Option<bool>,
    events: Option<Vec<String>>,
}

/// An endpoint whose secret was just made: the only moment at which it is shown.
pub struct CreatedEndpoint {
    /// Its row.
    pub row: WebhookEndpoint,
    /// Its secret.
    pub secret: WebhookSecret,
}

impl CreateWebhookEndpoint {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self, policy: &AddressPolicy) -> Result<NewEndpoint> {
        Ok(NewEndpoint { url: check_url(&self.endpoint_url, policy)?, events: check_events(self.events)? })
    }
}

impl UpdateWebhookEndpoint {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self, policy: &AddressPolicy) -> Result<EndpointChanges> {
        let url = self.endpoint_url.map(|url| check_url(&url, policy)).transpose()?;
        let events = self.events.map(check_events).transpose()?;
        let disabled = match self.status.as_deref() {
            None => None,
            Some("enabled") => Some(false),
            Some("disabled") => Some(true),
            Some(_) => return Err(Error::invalid("status", "invalid", "must be `enabled` or `disabled`")),
        };
        Ok(EndpointChanges { url, disabled, events })
    }
}

impl RotateWebhookSecret {
    /// How long the old secret stays valid, in seconds.
    ///
    /// # Errors
    /// If it is too long.
    pub fn check(self) -> Result<i64> {
        let overlap_seconds = self.overlap_seconds.unwrap_or(OVERLAP_DEFAULT_SECONDS);
        let mut checks = Checks::default();
        let in_range = (0..=OVERLAP_MAX_SECONDS).contains(&overlap_seconds);
        let message = format!("must be from 0 to {OVERLAP_MAX_SECONDS}");
        checks.require(in_range, "overlap_seconds", "invalid", message);
        checks.finish()?;
        Ok(overlap_seconds)
    }
}

fn check_url(text: &str, policy: &AddressPolicy) -> Result<String> {
    let url = parse_endpoint_url(text, policy);
    url.map(String::from).map_err(|message| Error::invalid("endpoint_url", "invalid_url", message))
}

fn check_events(events: Vec<String>) -> Result<Vec<String>> {
    let events = without_repeats(events);
    if events.is_empty() {
        return Err(Error::invalid("events", "required", "must name at least one event type"));
    }
    check_types("events", &events)?;
    Ok(events)
}

/// Creates an endpoint.
///
/// # Errors
/// If there is one with this URL, there are too many, no encryption key is configured, or the database fails.
pub async fn create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    new: NewEndpoint,
    encryption: &EncryptionKey,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(CreatedEndpoint, Change)> {
    if rows::count(transaction.conn(), environment).await? >= ENDPOINTS_MAX {
        return Err(Refusal::WebhookEndpointLimitReached.into());
    }
    let id = WebhookEndpointId::generate(now, entropy);
    let secret = WebhookSecret::generate(entropy);
    let row = WebhookEndpoint {
        environment_id: environment.clone(),
        url: new.url,
        events: JsonText(new.events),
        disabled: false,
        disabled_reason: None,
        secret: seal(encryption, &id, &secret, entropy)?,
        masked_secret: secret.masked(),
        previous_secret: None,
        previous_secret_expires_at: None,
        failing_since: None,
        created_at: now,
        updated_at: now,
        id,
    };
    if !rows::insert(transaction.conn(), &row).await? {
        return Err(Refusal::WebhookEndpointExists.into());
    }
    let event = changes::webhook_endpoint(EventType::WebhookEndpointCreated, &row, now)?;
    Ok((CreatedEndpoint { row, secret }, Change::local(event)))
}

/// The endpoint with this id.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &WebhookEndpointId) -> Result<WebhookEndpoint> {
    rows::get(conn, environment, id).await?.ok_or(Error::NotFound(Entity::WebhookEndpoint))
}

/// A page of the endpoints of an environment.
///
/// # Errors
/// If the database fails.
pub async fn list(conn: Conn<'_>, environment: &EnvironmentId, page: &PageRequest) -> Result<Page<WebhookEndpoint>> {
    Ok(rows::list(conn, environment, page).await?)
}

async fn lock(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &WebhookEndpointId,
) -> Result<WebhookEndpoint> {
    rows::lock(transaction.conn(), environment, id).await?.ok_or(Error::NotFound(Entity::WebhookEndpoint))
}

/// Updates an endpoint. Once it is enabled, it counts as healthy.
///
/// # Errors
/// If there is none, there is another one with this URL, or the database fails.
pub async fn update(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &WebhookEndpointId,
    changes: EndpointChanges,
    now: Timestamp,
) -> Result<(WebhookEndpoint, Change)> {
    let before = lock(transaction, environment, id).await?;
    let mut after = before.clone();
    after.url = changes.url.unwrap_or(after.url);
    after.events = changes.events.map_or(after.events, JsonText);
    after.disabled = changes.disabled.unwrap_or(after.disabled);
    if changes.disabled == Some(false) {
        (after.failing_since, after.disabled_reason) = (None, None);
    }
    if after == before {
        return Ok((after, Change::nothing()));
    }
    after.updated_at = now;
    write(transaction, after, EventType::WebhookEndpointUpdated, now).await
}

async fn write(
    transaction: &mut Transaction,
    endpoint: WebhookEndpoint,
    event: EventType,
    now: Timestamp,
) -> Result<(WebhookEndpoint, Change)> {
    if !rows::update(transaction.conn(), &endpoint).await? {
        return Err(Refusal::WebhookEndpointExists.into());
    }
    let event = changes::webhook_endpoint(event, &endpoint, now)?;
    Ok((endpoint, Change::local(event)))
}

/// Gives an endpoint a new secret. Deliveries are signed with both for a time.
///
/// # Errors
/// If there is none, the overlap of an earlier rotation has not ended, no encryption key is configured, or the database fails.
pub async fn rotate_secret(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &WebhookEndpointId,
    overlap_seconds: i64,
    encryption: &EncryptionKey,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(CreatedEndpoint, Change)> {
    let mut endpoint = lock(transaction, environment, id).await?;
    let has_overlap = overlap_seconds > 0;
    if has_overlap && endpoint.previous_secret_expires_at.is_some_and(|at| at > now) {
        // Receivers may still know only the secret that another overlap would discard.
        return Err(Refusal::SecretOverlapInProgress.into());
    }
    let secret = WebhookSecret::generate(entropy);
    let sealed = seal(encryption, id, &secret, entropy)?;
    let previous = std::mem::replace(&mut endpoint.secret, sealed);
    // One that cannot be read, because its encryption key was lost, signs nothing.
    let has_overlap = has_overlap && is_readable(encryption, id, &previous);
    endpoint.previous_secret = has_overlap.then_some(previous);
    endpoint.previous_secret_expires_at = has_overlap.then(|| now.plus_millis(overlap_seconds * 1000));
    endpoint.masked_secret = secret.masked();
    endpoint.updated_at = now;
    let (row, change) = write(transaction, endpoint, EventType::WebhookEndpointUpdated, now).await?;
    Ok((CreatedEndpoint { row, secret }, change))
}

/// Discards the previous secret of an endpoint, if it has one.
///
/// # Errors
/// If there is no such endpoint, or the database fails.
pub async fn end_overlap(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &WebhookEndpointId,
    now: Timestamp,
) -> Result<Change> {
    let mut endpoint = lock(transaction, environment, id).await?;
    if endpoint.previous_secret.is_none() {
        return Ok(Change::nothing());
    }
    (endpoint.previous_secret, endpoint.previous_secret_expires_at) = (None, None);
    endpoint.updated_at = now;
    let (_, change) = write(transaction, endpoint, EventType::WebhookEndpointUpdated, now).await?;
    Ok(change)
}

/// Why the server disables an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableReason {
    /// It responded 410.
    Gone,
    /// No delivery has succeeded since this time or longer.
    FailingSince(Timestamp),
}

impl DisableReason {
    /// As responses show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::FailingSince(_) => "failing",
        }
    }
}

/// Disables an endpoint, as it was when a delivery to it failed. `None` if it is another one by now: it is disabled already, has
/// another URL, was enabled since, or a delivery has succeeded since.
///
/// # Errors
/// If the database fails.
pub async fn disable(
    transaction: &mut Transaction,
    seen: &WebhookEndpoint,
    reason: DisableReason,
    now: Timestamp,
) -> Result<Option<Change>> {
    let endpoint = rows::lock(transaction.conn(), &seen.environment_id, &seen.id).await?;
    let Some(mut endpoint) = endpoint.filter(|endpoint| !endpoint.disabled && endpoint.url == seen.url) else {
        return Ok(None);
    };
    if let DisableReason::FailingSince(at) = reason
        && endpoint.failing_since.is_none_or(|since| since > at)
    {
        return Ok(None);
    }
    (endpoint.disabled, endpoint.disabled_reason) = (true, Some(reason.as_str().to_owned()));
    endpoint.updated_at = now;
    let (_, change) = write(transaction, endpoint, EventType::WebhookEndpointDisabled, now).await?;
    Ok(Some(change))
}

/// Deletes an endpoint, and cancels its deliveries.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn delete(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &WebhookEndpointId,
    now: Timestamp,
) -> Result<Change> {
    let endpoint = lock(transaction, environment, id).await?;
    rows::delete(transaction.conn(), id, now).await?;
    Ok(Change::local(changes::webhook_endpoint(EventType::WebhookEndpointDeleted, &endpoint, now)?))
}
