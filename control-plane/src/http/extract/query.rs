//! The query string, and the page of a list that it asks for.

use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};
use shared::error::FieldError;
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{Error, RequestError},
    state::AppState,
    storage::{PageRequest, Position},
};

/// The query parameters of every list, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `Query` reads the parameters")]
pub struct ListParams {
    /// The id of an item: return the items before it. Cannot be sent together with `after`.
    before: Option<String>,
    /// The id of an item: return the items after it. Cannot be sent together with `before`.
    after: Option<String>,
    /// The maximum number of items to return: 1 to 100. Default: 10.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<u32>,
    /// The order by creation time. Default: `desc`.
    ///
    /// - `asc`: oldest first
    /// - `desc`: newest first
    /// - `normal`: newest first, with `before` and `after` swapped, for compatibility with WorkOS
    #[param(inline)]
    order: Option<Order>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase", default = "desc")]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
    /// Newest first, with `before` for older items and `after` for newer ones.
    Normal,
}

const DEFAULT_LIMIT: u32 = 10;
const MAX_LIMIT: u32 = 100;

/// A query string, decoded. A parameter that is given twice counts as it is given last.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl FromRequestParts<AppState> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        serde_urlencoded::from_str(query).map(Self).map_err(|_| RequestError::InvalidQuery.into())
    }
}

impl Query {
    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The same, unless it is empty.
    pub fn get_unless_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter that may be repeated, or hold several with commas between them.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(given, _)| given.strip_suffix("[]").unwrap_or(given) == name);
        named.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    /// Which page is asked for, of a list of things with such ids, newest first by default.
    pub fn page<Id: FromStr + Into<String>>(&self) -> Result<Wanted, Error> {
        self.page_in::<Id>(Order::Desc)
    }

    /// The same, with another order by default.
    pub fn page_in<Id: FromStr + Into<String>>(&self, default: Order) -> Result<Wanted, Error> {
        let order = self.order(default)?;
        let cursors_exchanged = order == Order::Normal;
        let (after, before) = exchange_if(cursors_exchanged, self.cursor::<Id>("after")?, self.cursor::<Id>("before")?);
        let position = match (after, before) {
            (None, None) => Position::Start,
            (Some(id), None) => Position::After(id),
            (None, Some(id)) => Position::Before(id),
            (Some(_), Some(_)) => {
                return Err(FieldError::new("before", "invalid", "cannot be sent together with `after`").into());
            }
        };
        let page = PageRequest { limit: self.limit()?, newest_first: order != Order::Asc, position };
        Ok(Wanted { page, cursors_exchanged })
    }

    fn limit(&self) -> Result<u32, Error> {
        match self.get("limit").map(str::parse) {
            None => Ok(DEFAULT_LIMIT),
            Some(Ok(limit @ 1..=MAX_LIMIT)) => Ok(limit),
            Some(_) => Err(FieldError::new("limit", "invalid", "must be a number from 1 to 100").into()),
        }
    }

    fn order(&self, default: Order) -> Result<Order, Error> {
        match self.get("order") {
            None => Ok(default),
            Some("desc") => Ok(Order::Desc),
            Some("asc") => Ok(Order::Asc),
            Some("normal") => Ok(Order::Normal),
            Some(_) => Err(FieldError::new("order", "invalid", "must be `asc`, `desc` or `normal`").into()),
        }
    }

    fn cursor<Id: FromStr + Into<String>>(&self, name: &str) -> Result<Option<String>, Error> {
        let id =
            self.get_unless_empty(name).map(|text| text.parse::<Id>().map_err(|_| bad_cursor(name))).transpose()?;
        Ok(id.map(Into::into))
    }
}

fn bad_cursor(name: &str) -> FieldError {
    FieldError::new(name, "invalid", "must be the id of an item of this list")
}

/// The page that a caller asks for.
#[derive(Debug)]
pub struct Wanted {
    /// As the database is queried for it.
    pub page: PageRequest,
    /// Whether `before` and `after` are exchanged.
    pub cursors_exchanged: bool,
}

pub fn exchange_if<T>(condition: bool, one: T, other: T) -> (T, T) {
    if condition { (other, one) } else { (one, other) }
}
