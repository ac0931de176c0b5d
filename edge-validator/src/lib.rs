//! The Worker of Latchkey. It runs in front of the control plane, on Cloudflare's network, and is the base URL of
//! clients.
//!
//! | request | answered from |
//! | --- | --- |
//! | `POST /api_keys/validations` | what this isolate knows, else KV and the change feed, by the rules of `shared` (`validate.rs`) |
//! | `/_edge/…` | the change feed and this isolate's state, for the control plane (`ingress.rs`) |
//! | `/metrics`, `/ready` | nothing: operators query the control plane directly (`operations.rs`) |
//! | everything else | the control plane, streamed in both directions (`forward.rs`) |
//!
//! Requests arrive in `worker.js`, which reads what a validation needs and passes it to `hot.rs`; all other requests
//! come here. The change feed is a Durable Object of this Worker (`change_feed.rs`). Isolates poll it (`feed.rs`) and
//! keep their state in `isolate.rs`. They report usage counts to the control plane (`usage.rs`).
//!
//! The Worker never guesses. If it cannot know, it responds 503, and it accepts no key that it did not look up.

mod body;
mod change_feed;
mod clock;
mod config;
mod counters;
mod failure;
mod feed;
mod forward;
mod hot;
mod ingress;
mod isolate;
mod known;
mod operations;
mod random;
mod response;
mod status;
mod store;
mod usage;
mod validate;
mod wait;

use std::rc::Rc;

use shared::validation::BODY_LIMIT;
use worker::{Context, Env, Method, Request, Response, event};

use crate::{config::Config, failure::Failure, validate::Question};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let config = Config::of(&env);
    let authorization = request.headers().get("authorization")?;
    let answer = match (request.method(), request.path().as_str()) {
        (Method::Post, "/api_keys/validations") => {
            validation(request, authorization.as_deref(), &config, &context).await
        }
        (_, path) if path.starts_with(ingress::PREFIX) => ingress::answer(request, path, &config).await,
        (_, path) if operations::is_path_of_operators(path) => Err(operations::not_found()),
        _ => forward::answer(&request, &config).await,
    };
    answer.or_else(|failure| failure.into_response(authorization.as_deref()))
}

/// A validation that did not come the short way: its sender did not say how long its body is, or that it is too long.
async fn validation(
    mut request: Request,
    authorization: Option<&str>,
    config: &Rc<Config>,
    context: &Context,
) -> Result<Response, Failure> {
    let body = body::read(&mut request, BODY_LIMIT).await?;
    let question = Question { authorization, body: &body };
    validate::answer(&question, config, context).await
}
