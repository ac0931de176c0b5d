//! Refuses the requests of callers that make too many.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    http::{
        Error,
        extract::{access::authorization, body, now},
    },
    limits::KeyGuard,
    state::AppState,
    storage::{Caller, as_caller},
};

/// What has no limits: the routes of whoever watches the server, and the one that the Worker calls for itself.
const EXEMPT: [&str; 4] = ["/health", "/ready", "/metrics", shared::usage::PATH];

/// Whether requests of this path have no limits.
pub fn is_exempt(path: &str) -> bool {
    EXEMPT.contains(&path)
}

/// Refuses addresses that make too many requests, before the database is queried for them. A request counts as in progress until
/// the response is made.
pub async fn limit_callers(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let _until_the_response = if is_exempt(request.uri().path()) {
        None
    } else {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        match state.limits.count_address(request.headers(), peer, now::of(request.extensions(), &state)) {
            Ok(guard) => Some(guard),
            Err(exceeded) => {
                body::discard_all(request).await;
                return Error::from(exceeded).into_response();
            }
        }
    };
    let of_key = KeyGuard::default();
    request.extensions_mut().insert(of_key.clone());
    let response = as_caller(caller(request.headers()), next.run(request)).await;
    drop(of_key);
    response
}

/// Tells callers apart where they share the database. It need not authenticate them.
fn caller(headers: &HeaderMap) -> Caller {
    let mut hasher = DefaultHasher::new();
    shared::caller::management_key(authorization(headers)).ok().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod in_progress_tests;
#[cfg(test)]
mod tests;
