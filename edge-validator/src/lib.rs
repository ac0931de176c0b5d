//! The Worker of Latchkey. It stands before the control plane, at every edge machine, and is the one base URL of clients.
//!
//! | request | answered from |
//! | --- | --- |
//! | `POST /api_keys/validations` | what this isolate knows, else KV and the change feed, by the rules of `shared` (`validate.rs`) |
//! | `/_edge/…` | the change feed and this isolate's state, for the control plane (`ingress.rs`) |
//! | everything else | the control plane, streamed in both directions (`forward.rs`) |
//!
//! The change feed itself is a Durable Object of this Worker (`change_feed.rs`); isolates poll it (`feed.rs`), and what they
//! know and how long they may rely on it is in `isolate.rs`.
//!
//! It never guesses. Where it cannot know it says so with a 503, and it accepts no key that it did not look up.

mod body;
mod change_feed;
mod clock;
mod config;
mod counters;
mod failure;
mod feed;
mod forward;
mod ingress;
mod isolate;
mod response;
mod status;
mod store;
mod validate;
mod wait;

use worker::{Context, Env, Method, Request, Response, event};

use crate::config::Config;

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let config = Config::of(&env);
    let answer = match (request.method(), request.path().as_str()) {
        (Method::Post, "/api_keys/validations") => validate::answer(request, &config, &context).await,
        (_, path) if path.starts_with(ingress::PREFIX) => ingress::answer(request, path, &config).await,
        _ => forward::answer(&request, &config).await,
    };
    answer.or_else(|failure| failure.into_response())
}
