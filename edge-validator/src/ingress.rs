//! `/_edge/…`: the Worker's own routes, for the control plane alone.
//!
//! | route | what it is |
//! | --- | --- |
//! | `GET /_edge/status` | what this isolate has done and what it knows (`status.rs`) |
//! | `/_edge/feed/…` | the change feed ([`shared::feed::wire`]), which is handed the request as it is (`change_feed.rs`) |

use shared::error::ApiError;
use worker::{Request, Response};

use crate::{
    config::{Config, Edge},
    failure::Failure,
    feed, status,
};

/// What the paths of these routes begin with.
pub const PREFIX: &str = "/_edge/";

/// Answers whoever holds the edge secret.
pub async fn answer(request: Request, path: &str, config: &Config) -> Result<Response, Failure> {
    let edge = config.edge()?;
    admit(&request, edge)?;
    match path {
        "/_edge/status" => status::answer(edge),
        path if path.starts_with("/_edge/feed/") => feed::pass_on(edge, request).await,
        _ => Err(ApiError::new(404, "route_not_found", "The Worker has no such route.").into()),
    }
}

fn admit(request: &Request, edge: &Edge) -> Result<(), Failure> {
    let authorization = request.headers().get("authorization")?;
    let token = authorization.as_deref().and_then(bearer).unwrap_or_default();
    if edge.secrets.admits(token) {
        return Ok(());
    }
    Err(ApiError::new(401, "unauthorized", "This route is for the control plane.").into())
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn a_bearer_token_is_read_and_nothing_else() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["", "abc", "Basic abc", "Bearerabc"] {
            assert_eq!(bearer(other), None, "{other}");
        }
    }
}
