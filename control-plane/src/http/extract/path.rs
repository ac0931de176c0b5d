//! What stands in a path.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use shared::id::{ApiKeyId, MembershipId, OrganizationId, UserId, WebhookDeliveryId, WebhookEndpointId};

use crate::{
    http::Error,
    service::{Entity, is_external_id},
    state::AppState,
};

/// Something that a path can name.
pub trait Named: FromStr {
    /// What it names.
    const ENTITY: Entity;
}

impl Named for ApiKeyId {
    const ENTITY: Entity = Entity::ApiKey;
}

impl Named for WebhookEndpointId {
    const ENTITY: Entity = Entity::WebhookEndpoint;
}

impl Named for WebhookDeliveryId {
    const ENTITY: Entity = Entity::WebhookDelivery;
}

impl Named for OrganizationId {
    const ENTITY: Entity = Entity::Organization;
}

impl Named for UserId {
    const ENTITY: Entity = Entity::User;
}

impl Named for MembershipId {
    const ENTITY: Entity = Entity::OrganizationMembership;
}

/// The slug of a permission. One that cannot be a slug is one that does not exist.
#[derive(Debug)]
pub struct PermissionSlug(pub String);

impl FromStr for PermissionSlug {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if shared::permission::is_slug(text) { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl Named for PermissionSlug {
    const ENTITY: Entity = Entity::Permission;
}

/// The slug of a role.
#[derive(Debug)]
pub struct RoleSlug(pub String);

impl FromStr for RoleSlug {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if shared::permission::is_slug(text) { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl Named for RoleSlug {
    const ENTITY: Entity = Entity::Role;
}

/// What the product calls a user.
#[derive(Debug)]
pub struct UserExternalId(pub String);

impl FromStr for UserExternalId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().map(|ExternalId(text)| Self(text))
    }
}

impl Named for UserExternalId {
    const ENTITY: Entity = Entity::User;
}

/// What the product calls an organization.
#[derive(Debug)]
pub struct ExternalId(pub String);

impl FromStr for ExternalId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if is_external_id(text) { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl Named for ExternalId {
    const ENTITY: Entity = Entity::Organization;
}

/// The one thing that the path names. What cannot be the name of anything is not found, without asking the database.
#[derive(Debug)]
pub struct InPath<T>(pub T);

impl<T: Named> FromRequestParts<AppState> for InPath<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let text = Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text).unwrap_or_default();
        named(&text).map(Self)
    }
}

/// The things that the path names, in its order.
#[derive(Debug)]
pub struct InPaths<T>(pub T);

impl<A: Named, B: Named> FromRequestParts<AppState> for InPaths<(A, B)> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let (a, b) = texts.map(|Path(texts)| texts).unwrap_or_default();
        Ok(Self((named(&a)?, named(&b)?)))
    }
}

impl<A: Named, B: Named, C: Named> FromRequestParts<AppState> for InPaths<(A, B, C)> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let texts = Path::<(String, String, String)>::from_request_parts(parts, state).await;
        let (a, b, c) = texts.map(|Path(texts)| texts).unwrap_or_default();
        Ok(Self((named(&a)?, named(&b)?, named(&c)?)))
    }
}

/// What a text names.
pub fn named<T: Named>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::not_found(T::ENTITY))
}
