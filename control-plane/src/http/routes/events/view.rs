use serde::Serialize;
use serde_json::value::RawValue;
use shared::{Rfc3339, id::EventId};
use utoipa::ToSchema;

use crate::{
    http::extract::query::Wanted,
    storage::{Page, events as rows},
};

/// Something that happened.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; events are stored as JSON")]
pub struct Event {
    /// Always `event`.
    object: &'static str,
    /// The id of the event. Later events have greater ids.
    id: EventId,
    /// The type of the event, such as `api_key.created`.
    event: String,
    /// The resource after the change, as other responses show it. After a deletion, as it was before.
    #[schema(value_type = Object)]
    data: (),
    /// When the event was added to the log. It is never before the change.
    created_at: Rfc3339,
    /// Who made the change.
    context: EventContext,
}

/// The context of an event.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "likewise")]
pub struct EventContext {
    /// Who made the change.
    actor: EventActor,
}

/// Who made a change.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "likewise")]
pub struct EventActor {
    /// The id of the management key, `operator` for the command line, or `server` for Latchkey itself.
    id: String,
    /// `api` for a management key, `system` otherwise.
    source: EventSource,
    /// The display name.
    #[schema(required)]
    name: Option<String>,
}

/// Where a change was made.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "likewise")]
pub enum EventSource {
    /// This API.
    Api,
    /// The server, or its command line.
    System,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventList {
    /// Always `list`.
    object: &'static str,
    /// The events of the page.
    #[schema(value_type = Vec<Event>)]
    data: Vec<Box<RawValue>>,
    /// The cursor of the next page.
    list_metadata: EventListMetadata,
}

/// The cursor of the next page.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventListMetadata {
    /// Send it as `after` to get the next page. Null on the last page: to read on later, send the id of the last event that
    /// you have read.
    #[schema(required)]
    after: Option<String>,
    /// With `order=normal`, the cursor of the next older page, to be sent as `before`. Omitted otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

impl EventList {
    /// The response that shows this page.
    ///
    /// # Errors
    /// If an event is not JSON, which is a defect.
    pub fn new(wanted: &Wanted, page: Page<rows::Event>) -> serde_json::Result<Self> {
        let id = |event: &rows::Event| event.id.to_string();
        let next = page.items.last().filter(|_| page.has_after).map(id);
        let newer = page.items.first().filter(|_| page.has_before).map(id);
        let (after, before) = if wanted.cursors_exchanged { (newer, next) } else { (next, None) };
        let data = page.items.into_iter().map(|event| RawValue::from_string(event.body)).collect::<Result<_, _>>()?;
        Ok(Self { object: "list", data, list_metadata: EventListMetadata { after, before } })
    }
}
