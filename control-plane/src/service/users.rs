//! Users: people who hold keys of their own in an organization.

use std::collections::BTreeMap;

use serde::Deserialize;
use shared::{
    Timestamp,
    entropy::Entropy,
    feed::{Effect, Scope},
    id::{EnvironmentId, UserId},
    record::Version,
};
use utoipa::ToSchema;

use super::{
    Change, Entity, Error, Refusal, Result, Transaction,
    fields::{Checks, LOCALE_MAX_LENGTH, NAME_MAX_LENGTH, merge_metadata, or_null},
    targets::batch,
};
use crate::{
    events::{EventType, changes},
    storage::{
        Conn, JsonText, Page, PageRequest, memberships, user_api_keys,
        users::{self as rows, Filter, User},
    },
};

/// A user to create. Every field is optional; an `external_id` is enough to find the user again.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateUser {
    /// The e-mail address: at most 254 characters, unique in the environment regardless of case.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: Option<String>,
    /// Whether you have verified the e-mail address. Latchkey does not verify it. Default: false.
    #[serde(default)]
    email_verified: Option<bool>,
    /// The first name. At most 255 characters.
    #[serde(default)]
    #[schema(max_length = 255)]
    first_name: Option<String>,
    /// The last name. At most 255 characters.
    #[serde(default)]
    #[schema(max_length = 255)]
    last_name: Option<String>,
    /// The full name. At most 255 characters.
    #[serde(default)]
    #[schema(max_length = 255)]
    name: Option<String>,
    /// Your own key-value pairs: at most 50, with keys of at most 40 and values of at most 600 characters.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    /// Your own id for the user: 1 to 128 printable ASCII characters, unique among the users of the environment.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<String>,
}

/// Changes to a user. Omitted fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateUser {
    /// The e-mail address: at most 254 characters, unique in the environment regardless of case. If omitted or null, it does
    /// not change.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: Option<String>,
    /// Whether you have verified the e-mail address. Latchkey does not verify it.
    #[serde(default)]
    email_verified: Option<bool>,
    /// The first name. At most 255 characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 255)]
    first_name: Option<Option<String>>,
    /// The last name. At most 255 characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 255)]
    last_name: Option<Option<String>>,
    /// The full name. At most 255 characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 255)]
    name: Option<Option<String>>,
    /// The language, such as `en-US`. At most 35 characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 35)]
    locale: Option<Option<String>>,
    /// Key-value pairs to add or replace. A null value removes its entry; null instead of the object removes all
    /// entries.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// Your own id for the user: 1 to 128 printable ASCII characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    external_id: Option<Option<String>>,
}

/// A user who can be created.
#[derive(Debug)]
pub struct NewUser(CreateUser);

impl CreateUser {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<NewUser> {
        let mut checks = Checks::default();
        if let Some(email) = &self.email {
            checks.email(email);
        }
        for (field, text) in [("first_name", &self.first_name), ("last_name", &self.last_name), ("name", &self.name)] {
            checks.optional_name(field, text.as_deref().unwrap_or_default(), NAME_MAX_LENGTH);
        }
        if let Some(metadata) = &self.metadata {
            checks.metadata(metadata);
        }
        if let Some(external_id) = &self.external_id {
            checks.external_id(external_id);
        }
        checks.finish()?;
        Ok(NewUser(self))
    }
}

/// Creates a user.
///
/// # Errors
/// If the external id or the address is taken, or the database fails.
pub async fn create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    NewUser(new): NewUser,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(User, Change)> {
    let user = User {
        id: UserId::generate(now, entropy),
        environment_id: environment.clone(),
        external_id: new.external_id,
        email: new.email.unwrap_or_default(),
        email_verified: new.email_verified.unwrap_or_default(),
        first_name: new.first_name,
        last_name: new.last_name,
        name: new.name,
        locale: None,
        metadata: JsonText(new.metadata.unwrap_or_default()),
        created_at: now,
        updated_at: now,
    };
    if !rows::insert(transaction.conn(), &user).await? {
        require_free_external_id(transaction, &user).await?;
        return Err(Refusal::EmailTaken.into());
    }
    let event = changes::user(EventType::UserCreated, &user)?;
    Ok((user, Change::local(event)))
}

/// The user with this id.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &UserId) -> Result<User> {
    rows::get(conn, environment, id).await?.ok_or(Error::NotFound(Entity::User))
}

/// The user with this external id.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get_by_external_id(conn: Conn<'_>, environment: &EnvironmentId, external_id: &str) -> Result<User> {
    rows::by_external_id(conn, environment, external_id).await?.ok_or(Error::NotFound(Entity::User))
}

/// A page of the users of an environment.
///
/// # Errors
/// If the database fails.
pub async fn list(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    filter: &Filter,
    page: &PageRequest,
) -> Result<Page<User>> {
    Ok(rows::list(conn, environment, filter, page).await?)
}

/// Updates a user.
///
/// # Errors
/// If there is none, a field is not acceptable, the external id or the address is taken, or the database fails.
pub async fn update(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &UserId,
    changes: UpdateUser,
    now: Timestamp,
) -> Result<(User, Change)> {
    let before = rows::lock(transaction.conn(), environment, id).await?.ok_or(Error::NotFound(Entity::User))?;
    let (external_id, email) = (before.external_id.clone(), before.email.clone());
    let after = updated(before.clone(), changes, now)?;
    if after == (User { updated_at: now, ..before.clone() }) {
        return Ok((before, Change::nothing()));
    }
    if after.external_id != external_id {
        // Before the update: on Postgres, one that fails ends the transaction.
        require_free_external_id(transaction, &after).await?;
    }
    if !rows::update(transaction.conn(), &after).await? {
        let is_email = after.email != email;
        return Err(if is_email { Refusal::EmailTaken } else { Refusal::UserExternalIdTaken }.into());
    }
    let event = changes::user(EventType::UserUpdated, &after)?;
    Ok((after, Change::local(event)))
}

async fn require_free_external_id(transaction: &mut Transaction, user: &User) -> Result<()> {
    let Some(external_id) = &user.external_id else { return Ok(()) };
    let other = rows::by_external_id(transaction.conn(), &user.environment_id, external_id).await?;
    if other.is_some_and(|other| other.id != user.id) { Err(Refusal::UserExternalIdTaken.into()) } else { Ok(()) }
}

fn updated(mut user: User, changes: UpdateUser, now: Timestamp) -> Result<User> {
    let mut checks = Checks::default();
    if let Some(email) = changes.email {
        checks.email(&email);
        user.email = email;
    }
    user.email_verified = changes.email_verified.unwrap_or(user.email_verified);
    for (field, own, given, max_length) in [
        ("first_name", &mut user.first_name, changes.first_name, NAME_MAX_LENGTH),
        ("last_name", &mut user.last_name, changes.last_name, NAME_MAX_LENGTH),
        ("name", &mut user.name, changes.name, NAME_MAX_LENGTH),
        ("locale", &mut user.locale, changes.locale, LOCALE_MAX_LENGTH),
    ] {
        if let Some(text) = given {
            checks.optional_name(field, text.as_deref().unwrap_or_default(), max_length);
            *own = text;
        }
    }
    if let Some(metadata) = changes.metadata {
        merge_metadata(&mut user.metadata.0, metadata);
        checks.metadata(&user.metadata.0);
    }
    if let Some(external_id) = changes.external_id {
        checks.external_id(external_id.as_deref().unwrap_or("none"));
        user.external_id = external_id;
    }
    checks.finish()?;
    user.updated_at = now;
    Ok(user)
}

/// Deletes a user with all memberships, and revokes all of the user's keys.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn delete(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &UserId,
    now: Timestamp,
) -> Result<Change> {
    let scope = Scope::User(id);
    let Some(before) = rows::lock(transaction.conn(), environment, id).await? else {
        let earlier = transaction.unacknowledged(&scope, environment).await?;
        return earlier.ok_or(Error::NotFound(Entity::User));
    };
    let batch = batch(&scope, now);
    memberships::target_all_of_user(transaction.conn(), &batch, id).await?;
    memberships::delete_all_of_user(transaction.conn(), id).await?;
    user_api_keys::revoke_all_of_user(transaction.conn(), environment, id, "user_deleted", &batch, now).await?;
    rows::delete(transaction.conn(), id).await?;
    let event = changes::user(EventType::UserDeleted, &before)?.with_targets(batch);
    Ok(Change::scope(&scope, environment, Version::first(now), Effect::Revoke, event))
}
