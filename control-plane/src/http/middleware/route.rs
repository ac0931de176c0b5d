use axum::extract::{MatchedPath, Request};

/// The pattern of the route, which contains nothing that was sent.
pub(super) fn route(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}
