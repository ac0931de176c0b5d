//! Customers' keys.

pub mod create;
pub mod delete;
pub mod expire;
pub mod get;
mod grants;
mod ip_ranges;
pub mod list;
pub mod new;
pub mod usage;
pub mod validate;

use serde::{Serialize, Serializer, ser::Error as _};
use shared::{
    Timestamp,
    api_key::ApiKeyObject,
    record::{Grant, Record},
};

use crate::storage::api_keys::ApiKey;

/// A key that answers show as an [`ApiKeyObject`], which borrows from it.
#[derive(Debug)]
pub struct ShownApiKey(Record);

impl ShownApiKey {
    /// The row, as it is now.
    pub fn new(row: ApiKey, now: Timestamp) -> Self {
        Self(row.into_record(now))
    }
}

impl Serialize for ShownApiKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.grant {
            Grant::ApiKey(key) => ApiKeyObject::new(&self.0, key).serialize(serializer),
            Grant::ManagementKey(_) => Err(S::Error::custom("a management key is not an API key")),
        }
    }
}
