//! The Worker of Latchkey. It stands before the control plane, at every edge machine, and is the one base URL of clients.
//!
//! | request | answered from |
//! | --- | --- |
//! | `POST /api_keys/validations` | Workers KV, by the rules of `shared`, for callers that KV knows too (`validate.rs`) |
//! | `GET /_edge/status` | this isolate's counters, for the control plane (`status.rs`) |
//! | everything else | the control plane, streamed in both directions (`forward.rs`) |
//!
//! It never guesses. Where it cannot know it says so with a 503, and it accepts no key that it did not look up.

mod body;
mod clock;
mod config;
mod counters;
mod failure;
mod forward;
mod response;
mod status;
mod store;
mod validate;
mod wait;

use worker::{Context, Env, Method, Request, Response, event};

use crate::config::Config;

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    let config = Config::of(&env);
    let answer = match (request.method(), request.path().as_str()) {
        (Method::Post, "/api_keys/validations") => validate::answer(request, &config).await,
        (Method::Get, "/_edge/status") => status::answer(&request, &config),
        _ => forward::answer(&request, &config).await,
    };
    answer.or_else(|failure| failure.into_response())
}
