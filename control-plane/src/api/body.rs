//! Request bodies.

use axum::{body::Bytes, extract::FromRequest, extract::Request};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use shared::{error::ApiError, json};

use super::Error;
use crate::app::App;

/// The longest body that any route reads. The largest honest one is an organization with 50 entries of metadata.
pub const LIMIT: usize = 128 * 1024;

/// A JSON body. Fields that we do not know are ignored, so that newer clients work.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self, Error> {
        Ok(Self(json::parse(&read(request, LIMIT).await?)?))
    }
}

/// A JSON body that may be left out altogether, which is the same as `{}`.
#[derive(Debug)]
pub struct OptionalJsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for OptionalJsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self, Error> {
        let body = read(request, LIMIT).await?;
        let body = if body.is_empty() { b"{}" } else { body.as_ref() };
        Ok(Self(json::parse(body)?))
    }
}

/// Reads a body, and no more of it than the limit.
pub async fn read(request: Request, limit: usize) -> Result<Bytes, Error> {
    axum::body::to_bytes(request.into_body(), limit).await.map_err(|error| {
        let too_long =
            std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if too_long {
            ApiError::too_large(limit).into()
        } else {
            Error::bad_request("incomplete_body", "The request body ended early.")
        }
    })
}

/// Tells a field that was left out (`None`) from one that is null (`Some(None)`).
/// Use it as `#[serde(default, deserialize_with = "or_null")]`.
pub fn or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
