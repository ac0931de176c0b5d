//! The time at which a request arrived, for what only reads. Whatever decides takes a later time: see `AppState::begin`.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
};
use shared::Timestamp;

use crate::state::AppState;

/// When the request arrived.
#[derive(Debug, Clone, Copy)]
pub struct Now(pub Timestamp);

impl FromRequestParts<AppState> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self(of(&parts.extensions, state)))
    }
}

/// The time of the request with these extensions. Only a unit test has a request without one.
pub fn of(extensions: &Extensions, state: &AppState) -> Timestamp {
    extensions.get::<Now>().map_or_else(|| state.clock.now(), |Now(now)| *now)
}
