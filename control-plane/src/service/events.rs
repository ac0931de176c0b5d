//! The log of events.

use shared::{
    Timestamp,
    entropy::Entropy,
    error::FieldError,
    id::{EnvironmentId, EventId, OrganizationId, WebhookDeliveryId},
};

use super::{Database, Result};
use crate::{
    clock::Clock,
    events::types,
    storage::{
        Page, PageRequest, Position,
        events::{self as rows, Event, Filter},
    },
};

/// The most types that a list can be filtered by.
const TYPES_MAX: usize = 100;

/// How many batches of events a reader adds to the log first.
const APPENDS_MAX: u32 = 4;

/// How long events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRetention {
    days: u32,
}

impl EventRetention {
    /// So many days.
    #[must_use]
    pub const fn of_days(days: u32) -> Self {
        Self { days }
    }

    /// The ids below this one are those of events that are not kept any more.
    #[must_use]
    pub fn first_id(self, now: Timestamp) -> String {
        EventId::first_at(self.first(now))
    }

    /// The same of webhook deliveries.
    #[must_use]
    pub fn first_delivery_id(self, now: Timestamp) -> String {
        WebhookDeliveryId::first_at(self.first(now))
    }

    fn first(self, now: Timestamp) -> Timestamp {
        const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
        now.plus_millis(-i64::from(self.days) * DAY_MILLIS)
    }
}

impl Default for EventRetention {
    fn default() -> Self {
        Self::of_days(30)
    }
}

/// What a caller wants to see.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Events of these types. None: those that WorkOS defined.
    pub types: Vec<&'a str>,
    /// Events about this organization.
    pub organization: Option<OrganizationId>,
    /// Events at this time or later.
    pub from: Option<Timestamp>,
    /// Events at this time or earlier.
    pub to: Option<Timestamp>,
}

impl Wanted<'_> {
    /// Checks what is wanted.
    ///
    /// # Errors
    /// If a type does not exist, or there are too many.
    pub fn check(self) -> Result<Filter> {
        let mut names: Vec<String> = self.types.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names.dedup();
        check_types("events", &names)?;
        let is_everything = names.is_empty();
        Ok(Filter {
            types: (!is_everything).then_some(names),
            organization: self.organization,
            from: self.from.map(EventId::first_at),
            below: self.to.map(|to| EventId::first_at(to.plus_millis(1))),
        })
    }
}

/// Requires types of events that exist, and not too many.
pub(super) fn check_types(field: &str, names: &[String]) -> Result<()> {
    let error = |field: String, code: &str, message: String| Err(FieldError::new(&field, code, message).into());
    if names.len() > TYPES_MAX {
        return error(field.to_owned(), "too_long", format!("must have at most {TYPES_MAX} items"));
    }
    match names.iter().position(|name| !types::is_known(name)) {
        Some(at) => error(format!("{field}.{at}"), "unknown_event_type", "is not an event type".to_owned()),
        None => Ok(()),
    }
}

/// A page of the events of an environment. Changes that were committed before the call are there, unless there are thousands that are
/// not in the log yet.
///
/// # Errors
/// If the page begins after an event that is not in the log, or the database fails.
pub async fn list(
    database: &Database,
    environment: &EnvironmentId,
    filter: &Filter,
    page: &PageRequest,
    clock: &Clock,
    entropy: &mut impl Entropy,
) -> Result<Page<Event>> {
    for _ in 0..APPENDS_MAX {
        match database.append_events(clock, entropy).await {
            Ok(appended) if appended.is_partial => {}
            Ok(_) => break,
            // What is in the log can be read all the same.
            Err(error) => {
                tracing::debug!(%error, "failed to add events to the log before reading it");
                break;
            }
        }
    }
    let mut reader = database.read().await?;
    let events = rows::list(reader.conn(), environment, filter, page).await?;
    let (field, cursor) = match &page.position {
        Position::Start => return Ok(events),
        Position::After(id) => ("after", id),
        Position::Before(id) => ("before", id),
    };
    // After the page was read: the oldest events are deleted first, so if this one is still there, the page has no gap.
    if rows::exists(reader.conn(), environment, cursor).await? {
        return Ok(events);
    }
    let message = "is not the id of an event in the log: it is older than the retention, was lost when a backup was restored, or \
        never existed in this environment. Read the resources themselves, then start again without a cursor";
    Err(FieldError::new(field, "not_found", message).into())
}
