//! Answers that the Worker words itself.

use std::cell::RefCell;

use shared::{reason::Reason, validation::Answer};
use worker::{
    Response, ResponseBuilder,
    js_sys::Uint8Array,
    wasm_bindgen::{self, JsCast, prelude::wasm_bindgen},
};

/// JSON. Nobody may keep it: what holds of a key now may not hold in a second.
pub fn json(status: u16, body: String) -> worker::Result<Response> {
    let response = ResponseBuilder::new().with_status(status).fixed(body.into_bytes());
    response.headers().set("content-type", "application/json")?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}

#[wasm_bindgen(module = "/src/response.js")]
extern "C" {
    /// What JavaScript answers a request with. The type of `worker` takes a call for each header.
    #[wasm_bindgen(js_name = Response)]
    pub type RawResponse;

    /// The answer to a validation, and how old what it relies on is, in milliseconds.
    pub fn validation(body: &Uint8Array, age: f64) -> RawResponse;
}

impl From<RawResponse> for Response {
    fn from(raw: RawResponse) -> Self {
        raw.unchecked_into::<worker::web_sys::Response>().into()
    }
}

/// The body that refuses a key for this reason.
pub fn refusal(reason: Reason) -> Uint8Array {
    thread_local! {
        static BODIES: RefCell<Vec<(Reason, Uint8Array)>> = const { RefCell::new(vec![]) };
    }
    BODIES.with_borrow_mut(|bodies| {
        if let Some((_, body)) = bodies.iter().find(|(of, _)| *of == reason) {
            return body.clone();
        }
        let body = Uint8Array::from(Answer::refused(reason).body.as_bytes());
        bodies.push((reason, body.clone()));
        body
    })
}
