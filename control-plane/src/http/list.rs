//! Lists: the envelope of a page.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::extract::query::{Wanted, exchange_if},
    storage::Page,
};

/// One page of a list, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// Always `list`.
    pub object: &'static str,
    /// The items.
    pub data: Vec<T>,
    /// Where the neighbouring pages are.
    pub list_metadata: ListMetadata,
}

/// Where the neighbouring pages are.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListMetadata {
    /// Hand it in as `before` to see what comes before this page; null if nothing does.
    pub before: Option<String>,
    /// Hand it in as `after` to see what comes after this page; null if nothing does.
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
