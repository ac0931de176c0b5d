//! What `worker.js` calls for a validation, with the header and the body that it has read.
//!
//! The types of `worker` take many calls between JavaScript and Wasm, and each costs. On this one path there is a call for the whole
//! question, and one back for the response.

use worker::{
    Context, Env,
    js_sys::{Promise, futures::future_to_promise},
    wasm_bindgen::{self, JsValue, prelude::wasm_bindgen},
    web_sys, worker_sys,
};

use crate::{
    body,
    config::Config,
    response::RawResponse,
    validate::{self, Question},
};

/// Answers if all is known that this takes.
#[wasm_bindgen(js_name = validateNow)]
pub fn validate_now(
    authorization: Option<String>,
    body: String,
    length: usize,
    context: worker_sys::Context,
) -> Option<RawResponse> {
    let body = body::as_sent(&body, length).ok()?;
    let question = Question { authorization: authorization.as_deref(), body: body.as_bytes() };
    validate::at_once(&question, &Context::new(context))
}

/// Answers, however long it takes.
#[wasm_bindgen(js_name = validateLater)]
pub fn validate_later(
    authorization: Option<String>,
    body: String,
    length: usize,
    env: Env,
    context: worker_sys::Context,
) -> Promise {
    future_to_promise(async move {
        let config = Config::of(&env);
        let answer = async {
            let body = body::as_sent(&body, length)?;
            let question = Question { authorization: authorization.as_deref(), body: body.as_bytes() };
            validate::answer(&question, &config, &Context::new(context)).await
        };
        let response = answer.await.or_else(|failure| failure.into_response(authorization.as_deref()));
        let response = response.map_err(JsValue::from)?;
        Ok(web_sys::Response::from(response).into())
    })
}
