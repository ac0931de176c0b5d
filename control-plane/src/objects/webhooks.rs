//! Webhook endpoints and deliveries.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Rfc3339, Timestamp,
    id::{EventId, WebhookDeliveryId, WebhookEndpointId, WebhookReplayId},
};
use utoipa::ToSchema;

use crate::{
    storage::{
        webhook_deliveries::{self as deliveries, DeliveryStatus as Status},
        webhook_endpoints as rows,
    },
    webhooks::signature,
};

/// A webhook endpoint: a URL to which events are sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WebhookEndpoint {
    /// Always `webhook_endpoint`.
    object: &'static str,
    /// The id of the endpoint.
    id: WebhookEndpointId,
    /// The URL to which events are sent.
    endpoint_url: String,
    /// The secret that signs the deliveries. Only the responses that create or rotate it contain all of it; others contain its
    /// last four characters, such as `whsec_…9fTk`.
    secret: String,
    /// Whether events are sent.
    status: WebhookEndpointStatus,
    /// The types of events that are sent.
    events: Vec<String>,
    /// When the endpoint was created.
    created_at: Rfc3339,
    /// When the endpoint was last changed.
    updated_at: Rfc3339,
    /// Why Latchkey disabled the endpoint: `failing` if no delivery succeeded for days, `gone` if it responded 410. Omitted
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    /// Until when deliveries are also signed with the previous secret. Omitted if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_secret_expires_at: Option<Rfc3339>,
}

/// Whether events are sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookEndpointStatus {
    /// Events are sent.
    Enabled,
    /// Events are not sent. Those that happen meanwhile can be sent later by a replay.
    Disabled,
}

impl WebhookEndpoint {
    /// The endpoint, with its secret masked.
    #[must_use]
    pub fn new(row: rows::WebhookEndpoint, now: Timestamp) -> Self {
        Self {
            object: "webhook_endpoint",
            id: row.id,
            endpoint_url: row.url,
            secret: row.masked_secret,
            status: if row.disabled { WebhookEndpointStatus::Disabled } else { WebhookEndpointStatus::Enabled },
            events: row.events.0,
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
            disabled_reason: row.disabled_reason,
            previous_secret_expires_at: row.previous_secret_expires_at.filter(|at| *at > now).map(Rfc3339),
        }
    }

    /// The same with its whole secret.
    #[must_use]
    pub fn with_secret(self, secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..self }
    }
}

/// A replay: the events of a time, which are sent to an endpoint again.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookReplay {
    /// Always `webhook_replay`.
    object: &'static str,
    /// The id of the replay.
    id: WebhookReplayId,
    /// The id of the endpoint.
    webhook_endpoint_id: WebhookEndpointId,
    /// The time from which on events are sent again.
    since: Rfc3339,
    /// The time up to which events are sent again.
    until: Rfc3339,
}

impl WebhookReplay {
    /// A replay of events between these times.
    #[must_use]
    pub fn new(id: WebhookReplayId, endpoint: WebhookEndpointId, (since, until): (Timestamp, Timestamp)) -> Self {
        let (since, until) = (Rfc3339(since), Rfc3339(until));
        Self { object: "webhook_replay", id, webhook_endpoint_id: endpoint, since, until }
    }
}

/// A delivery: an event that is sent to an endpoint, in one attempt or several.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDelivery {
    /// Always `webhook_delivery`.
    object: &'static str,
    /// The id of the delivery.
    id: WebhookDeliveryId,
    /// The id of the endpoint.
    webhook_endpoint_id: WebhookEndpointId,
    /// The id of the event. It is the header `webhook-id` of every attempt.
    event_id: EventId,
    /// The type of the event.
    event: String,
    /// What became of the delivery.
    status: DeliveryStatus,
    /// How many attempts were made.
    attempts: i64,
    /// Whether the delivery was requested by a replay.
    is_replay: bool,
    /// When the next attempt is due. Null if there is none.
    #[schema(required)]
    next_attempt_at: Option<Rfc3339>,
    /// When the delivery was queued.
    created_at: Rfc3339,
    /// When the delivery succeeded, failed or was canceled. Null while it is pending.
    #[schema(required)]
    completed_at: Option<Rfc3339>,
}

/// What became of a delivery.
///
/// - `pending`: it is being sent, or waits for the next attempt
/// - `succeeded`: the endpoint responded with a 2xx status
/// - `failed`: every attempt failed
/// - `canceled`: the endpoint was disabled or deleted
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It is being sent, or waits for the next attempt.
    Pending,
    /// The endpoint responded with a 2xx status.
    Succeeded,
    /// Every attempt failed.
    Failed,
    /// The endpoint was disabled or deleted.
    Canceled,
}

impl From<Status> for DeliveryStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Canceled => Self::Canceled,
        }
    }
}

impl From<deliveries::Delivery> for WebhookDelivery {
    fn from(row: deliveries::Delivery) -> Self {
        Self {
            object: "webhook_delivery",
            id: row.id,
            webhook_endpoint_id: row.endpoint_id,
            event_id: row.event_id,
            event: row.event,
            status: row.status.into(),
            attempts: row.attempts,
            is_replay: row.is_replay,
            next_attempt_at: row.next_attempt_at.map(Rfc3339),
            created_at: Rfc3339(row.created_at),
            completed_at: row.completed_at.map(Rfc3339),
        }
    }
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDeliveryDetails {
    #[serde(flatten)]
    delivery: WebhookDelivery,
    /// The attempts, the first one first.
    attempt_log: Vec<WebhookAttempt>,
}

/// An attempt to deliver an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookAttempt {
    /// The number of the attempt, from 1.
    number: i64,
    /// When the attempt began. The header `webhook-timestamp` is this time in seconds.
    started_at: Rfc3339,
    /// How long the attempt took, in milliseconds, from the DNS lookup to the end of the response.
    duration_ms: i64,
    /// The request.
    request: AttemptRequest,
    /// The response. Null if there was none.
    #[schema(required)]
    response: Option<AttemptResponse>,
    /// Why there was no response: `dns_failed`, `address_refused`, `connection_failed`, `tls_failed`, `timed_out`,
    /// `connection_closed`, `response_invalid`, `secret_unreadable`, `event_expired`, `attempts_exhausted` (the server stopped
    /// during each attempt) or `internal_error`. Null if there was one.
    #[schema(required)]
    failure: Option<String>,
}

/// The request of an attempt. Its body is the event.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptRequest {
    /// The URL.
    url: String,
    /// The headers, but for the signatures.
    headers: BTreeMap<&'static str, String>,
}

/// The response to an attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptResponse {
    /// The status.
    status: i64,
    /// `content-type`, `location`, `retry-after` and `server`, if they were sent.
    headers: BTreeMap<String, String>,
    /// The beginning of the body: at most 16 KiB.
    body: String,
}

impl WebhookDeliveryDetails {
    /// The delivery with these attempts.
    #[must_use]
    pub fn new(row: deliveries::Delivery, attempts: Vec<deliveries::Attempt>) -> Self {
        let event_id = row.event_id.to_string();
        let attempt_log = attempts.into_iter().map(|attempt| WebhookAttempt::new(attempt, &event_id)).collect();
        Self { delivery: row.into(), attempt_log }
    }
}

impl WebhookAttempt {
    fn new(row: deliveries::Attempt, event_id: &str) -> Self {
        let headers = BTreeMap::from([
            ("content-type", "application/json".to_owned()),
            ("webhook-id", event_id.to_owned()),
            ("webhook-timestamp", signature::timestamp(row.started_at)),
        ]);
        let (headers_of_response, body) = (row.response_headers.0, row.response_body);
        let response = row.response_status.map(|status| AttemptResponse { status, headers: headers_of_response, body });
        Self {
            number: row.attempt,
            started_at: Rfc3339(row.started_at),
            duration_ms: row.duration_ms,
            request: AttemptRequest { url: row.url, headers },
            response,
            failure: row.failure,
        }
    }
}
