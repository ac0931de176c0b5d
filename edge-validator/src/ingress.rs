//! `/_edge/…`: the Worker's own routes, for the control plane alone.
//!
//! | route | what it is |
//! | --- | --- |
//! | `GET /_edge/status` | what this isolate has done and what it knows (`status.rs`) |
//! | `/_edge/feed/…` | the change feed ([`shared::feed::wire`]), which is handed the request as it is (`change_feed.rs`) |

use shared::{bearer, error::ApiError};
use worker::{Request, Response};

use crate::{
    change_feed::NEWS,
    config::{Config, Edge},
    failure::Failure,
    feed, isolate, status,
};

/// What the paths of these routes begin with.
pub const PREFIX: &str = "/_edge/";

/// Answers whoever holds the edge secret.
pub async fn answer(request: Request, path: &str, config: &Config) -> Result<Response, Failure> {
    let edge = config.edge()?;
    admit(&request, edge)?;
    match path {
        "/_edge/status" => status::answer(edge),
        path if path.starts_with("/_edge/feed/") => forward_to_feed(edge, request).await,
        _ => Err(ApiError::new(404, "route_not_found", "The Worker has no such route.").into()),
    }
}

/// Forwards the request to the change feed. After a change, this isolate polls before it decides again.
async fn forward_to_feed(edge: &Edge, request: Request) -> Result<Response, Failure> {
    let response = feed::pass_on(edge, request).await?;
    if response.headers().has(NEWS)? {
        isolate::heard_of_a_change(edge);
    }
    Ok(response)
}

fn admit(request: &Request, edge: &Edge) -> Result<(), Failure> {
    let authorization = request.headers().get("authorization")?;
    let token = authorization.as_deref().and_then(bearer::token).unwrap_or_default();
    if edge.secrets.admits(token) {
        return Ok(());
    }
    Err(ApiError::new(401, "unauthorized", "Only the control plane can use this route.").into())
}
