use axum::{Json, extract::State};
use shared::{
    Rfc3339, Timestamp,
    error::FieldError,
    id::{EventId, OrganizationId},
};
use utoipa::IntoParams;

use super::view::EventList;
use crate::{
    entropy::OsEntropy,
    http::{
        Error,
        extract::{
            access::ReadEvents,
            query::{Order, Query},
        },
    },
    service::events::{self, Wanted},
    state::AppState,
};

/// The query parameters of the list of events, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `list` reads the parameters")]
pub struct EventParams {
    /// The types of events to return, separated by commas, such as `api_key.created,api_key.revoked`. Default: all types that
    /// WorkOS defined. Latchkey's own types are returned only if they are named.
    #[param(style = Form, explode = false)]
    events: Option<Vec<String>>,
    /// The id of an organization: return only events about it.
    organization_id: Option<String>,
    /// Return only events at this time or later.
    range_start: Option<Rfc3339>,
    /// Return only events at this time or earlier.
    range_end: Option<Rfc3339>,
    /// The id of an event: return the events before it. Cannot be sent together with `after`.
    before: Option<String>,
    /// The id of an event: return the events after it. Cannot be sent together with `before`. An event that is not in the log any
    /// more is an error.
    after: Option<String>,
    /// The maximum number of events to return: 1 to 100. Default: 10.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<u32>,
    /// The order. Default: `asc`, unlike in other lists.
    ///
    /// - `asc`: oldest first
    /// - `desc`: newest first
    /// - `normal`: newest first, with `before` and `after` swapped, for compatibility with WorkOS
    #[param(inline)]
    order: Option<EventOrder>,
}

/// The order of the list of events.
#[derive(Debug, Clone, Copy, utoipa::ToSchema)]
#[schema(rename_all = "lowercase", default = "asc")]
#[expect(dead_code, reason = "likewise")]
pub enum EventOrder {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
    /// Newest first, with `before` for older events and `after` for newer ones.
    Normal,
}

/// List events.
///
/// Changes that were acknowledged before the call are in the list. To follow the log, repeat the call with the id of the last event
/// as `after`: no event is missed and none comes twice.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "listEvents",
    security(("management_key" = ["events:read"])), params(EventParams), responses((status = 200, body = EventList)))]
pub async fn list(
    State(state): State<AppState>,
    ReadEvents(caller): ReadEvents,
    query: Query,
) -> Result<Json<EventList>, Error> {
    let wanted = query.page_in::<EventId>(Order::Asc)?;
    let filter = Wanted {
        types: query.all("events"),
        organization: organization(&query)?,
        from: time(&query, "range_start")?,
        to: time(&query, "range_end")?,
    };
    let filter = filter.check()?;
    let page =
        events::list(&state.database, &caller.environment, &filter, &wanted.page, &state.clock, &mut OsEntropy).await?;
    EventList::new(&wanted, page).map(Json).map_err(|error| Error::Internal(error.into()))
}

fn organization(query: &Query) -> Result<Option<OrganizationId>, FieldError> {
    let text = query.get_unless_empty("organization_id");
    let error = |_| FieldError::new("organization_id", "invalid", "must be the id of an organization");
    text.map(|text| text.parse().map_err(error)).transpose()
}

fn time(query: &Query, name: &str) -> Result<Option<Timestamp>, FieldError> {
    let text = query.get_unless_empty(name);
    let error =
        || FieldError::new(name, "invalid", "must be an RFC 3339 date and time, such as 2030-01-01T00:00:00.000Z");
    text.map(|text| Timestamp::parse(text).ok_or_else(error)).transpose()
}
