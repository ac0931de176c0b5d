//! Users.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{Rfc3339, id::UserId};
use utoipa::ToSchema;

use crate::storage::users as rows;

/// A user: a person who can be a member of organizations.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Always `user`.
    object: &'static str,
    /// The id of the user.
    id: UserId,
    /// The e-mail address. Empty if the user has none.
    email: String,
    /// Whether you have verified the e-mail address. Latchkey does not verify it.
    email_verified: bool,
    /// The first name.
    #[schema(required)]
    first_name: Option<String>,
    /// The last name.
    #[schema(required)]
    last_name: Option<String>,
    /// The full name.
    #[schema(required)]
    name: Option<String>,
    /// Always null: Latchkey stores no pictures.
    #[schema(required)]
    profile_picture_url: Option<String>,
    /// Always null: users do not sign in to Latchkey.
    #[schema(required)]
    last_sign_in_at: Option<Rfc3339>,
    /// The language, such as `en-US`.
    #[schema(required)]
    locale: Option<String>,
    /// Your own id for the user. Null if the user has none.
    #[schema(required)]
    external_id: Option<String>,
    /// Your own key-value pairs.
    metadata: BTreeMap<String, String>,
    /// When the user was created.
    created_at: Rfc3339,
    /// When the user was last changed.
    updated_at: Rfc3339,
}

impl From<rows::User> for User {
    fn from(row: rows::User) -> Self {
        Self {
            object: "user",
            id: row.id,
            email: row.email,
            email_verified: row.email_verified,
            first_name: row.first_name,
            last_name: row.last_name,
            name: row.name,
            profile_picture_url: None,
            last_sign_in_at: None,
            locale: row.locale,
            external_id: row.external_id,
            metadata: row.metadata.0,
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
        }
    }
}
