//! Lists: the envelope of a page.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::extract::query::{Wanted, exchange_if},
    storage::Page,
};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// Always `list`.
    pub object: &'static str,
    /// The items of the page.
    pub data: Vec<T>,
    /// The cursors of the previous and the next page.
    pub list_metadata: ListMetadata,
}

/// The cursors of the previous and the next page.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListMetadata {
    /// Send it as `before` to get the previous page. Null on the first page.
    #[schema(required)]
    pub before: Option<String>,
    /// Send it as `after` to get the next page. Null on the last page.
    #[schema(required)]
    pub after: Option<String>,
}

impl<T> List<T> {
    /// The response that shows this page.
    pub fn new<Row>(wanted: &Wanted, page: Page<Row>, id: impl Fn(&Row) -> &str, show: impl FnMut(Row) -> T) -> Self {
        let before = page.items.first().filter(|_| page.has_before).map(|row| id(row).to_owned());
        let after = page.items.last().filter(|_| page.has_after).map(|row| id(row).to_owned());
        let (before, after) = exchange_if(wanted.cursors_exchanged, before, after);
        let data = page.items.into_iter().map(show).collect();
        Self { object: "list", data, list_metadata: ListMetadata { before, after } }
    }
}
