//! Request bodies.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
};
use futures::stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use shared::{error::ApiError, json};

use crate::{
    http::{Error, RequestError},
    state::AppState,
};

/// The longest body that any route reads. The largest honest one is an organization with 50 entries of metadata.
pub const LIMIT: usize = 128 * 1024;
/// The longest body that is read to its end only to be refused in good order.
const DISCARD_LIMIT: usize = 32 * 1024 * 1024;

/// A JSON body. Fields that we do not know are ignored, so that newer clients work.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, Error> {
        Ok(Self(json::parse(&read(request, LIMIT).await?)?))
    }
}

/// A JSON body that may be null or left out altogether, which is the same as `{}`.
#[derive(Debug)]
pub struct OptionalJsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for OptionalJsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, Error> {
        let body = read(request, LIMIT).await?;
        let is_left_out = body.is_empty() || body.trim_ascii() == b"null";
        Ok(Self(json::parse(if is_left_out { b"{}" } else { &body })?))
    }
}

/// Reads a body, and no more of it than the limit.
pub async fn read(request: Request, limit: usize) -> Result<Bytes, Error> {
    axum::body::to_bytes(request.into_body(), limit).await.map_err(|error| {
        if is_too_long(&error) { ApiError::too_large(limit).into() } else { RequestError::IncompleteBody.into() }
    })
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<LengthLimitError>())
}

/// Takes in the whole body before anything is answered. Most clients, and the proxies before us, read no answer while they
/// are sending, so one that is given earlier is lost to them, with the connection. A handler that reads a body that is too
/// long meets the error as if it had read it itself.
pub async fn take_in(request: Request) -> Request {
    take_in_up_to(LIMIT, request).await
}

/// The same, of a route that reads longer bodies.
pub async fn take_in_up_to(limit: usize, request: Request) -> Request {
    let (parts, mut body) = request.into_parts();
    let taken = Limited::new(&mut body, limit).collect().await;
    let body = match taken {
        Ok(whole) => Body::from(whole.to_bytes()),
        Err(error) => {
            if is_too_long(error.as_ref()) {
                discard(limit, body).await;
            }
            Body::from_stream(stream::once(async { Err::<Bytes, _>(error) }))
        }
    };
    Request::from_parts(parts, body)
}

/// Reads the body of a request that is refused, and keeps nothing of it.
pub async fn discard_all(request: Request) {
    discard(0, request.into_body()).await;
}

/// Reads on to the end, within reason.
async fn discard(taken: usize, mut body: Body) {
    let mut length = taken;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > DISCARD_LIMIT {
            return;
        }
    }
}
