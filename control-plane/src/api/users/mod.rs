//! Users: whoever holds keys of their own in an organization.

pub mod create;
pub mod delete;
pub mod get;
pub mod get_by_external_id;
pub mod list;
pub mod update;

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Rfc3339,
    error::{ApiError, FieldError},
    id::{EnvironmentId, UserId},
};
use utoipa::ToSchema;

use super::Error;
use crate::{
    app::App,
    storage::users::{self as storage},
};

/// A user, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Always `user`.
    object: &'static str,
    id: UserId,
    /// Empty if the product did not say.
    email: String,
    /// What the product said of it; Latchkey verifies no addresses.
    email_verified: bool,
    #[schema(required)]
    first_name: Option<String>,
    #[schema(required)]
    last_name: Option<String>,
    #[schema(required)]
    name: Option<String>,
    /// Always null: Latchkey keeps no pictures.
    #[schema(required)]
    profile_picture_url: Option<String>,
    /// Always null: nobody signs in to Latchkey.
    #[schema(required)]
    last_sign_in_at: Option<Rfc3339>,
    #[schema(required)]
    locale: Option<String>,
    /// What the product calls the user.
    #[schema(required)]
    external_id: Option<String>,
    metadata: BTreeMap<String, String>,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

impl From<storage::User> for User {
    fn from(row: storage::User) -> Self {
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

/// Why a user cannot be written: it has the external id or the address of another one.
async fn taken(app: &App, environment: &EnvironmentId, user: &storage::User) -> Result<Error, Error> {
    let other = match &user.external_id {
        Some(external_id) => storage::by_external_id(app.db.read().await?.conn(), environment, external_id).await?,
        None => None,
    };
    let mut error = match other.is_some_and(|other| other.id != user.id) {
        true => ApiError::new(400, "external_id_already_used", "There is a user with this external id already."),
        false => ApiError::new(400, "user_creation_error", "There is a user with this e-mail address already."),
    };
    if error.body.code == "user_creation_error" {
        let message = "is the address of another user";
        error.body.errors.push(FieldError::new("email", "email_not_available", message));
    }
    Ok(error.into())
}
