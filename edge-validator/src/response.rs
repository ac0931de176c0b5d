//! Answers that the Worker words itself.

use worker::{Response, ResponseBuilder};

/// JSON. Nobody may keep it: what holds of a key now may not hold in a second.
pub fn json(status: u16, body: String) -> worker::Result<Response> {
    let response = ResponseBuilder::new().with_status(status).fixed(body.into_bytes());
    response.headers().set("content-type", "application/json")?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}
