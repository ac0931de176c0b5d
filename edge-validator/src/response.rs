//! Answers that the Worker words itself.

use std::cell::RefCell;

use shared::{reason::Reason, validation::Answer};
use worker::{
    Headers, Response, ResponseBuilder,
    js_sys::{Object, Reflect, Uint8Array},
    wasm_bindgen::{self, JsCast, JsValue, prelude::wasm_bindgen},
};

/// JSON. Nobody may keep it: what holds of a key now may not hold in a second.
pub fn json(status: u16, body: String) -> worker::Result<Response> {
    let response = ResponseBuilder::new().with_status(status).fixed(body.into_bytes());
    response.headers().set("content-type", "application/json")?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}

#[wasm_bindgen]
extern "C" {
    /// What JavaScript answers a request with. The type of `worker` takes a call for each header.
    #[wasm_bindgen(js_name = Response)]
    pub type RawResponse;

    #[wasm_bindgen(constructor, js_class = "Response")]
    fn new(body: &Uint8Array, init: &JsValue) -> RawResponse;
}

impl From<RawResponse> for Response {
    fn from(raw: RawResponse) -> Self {
        raw.unchecked_into::<worker::web_sys::Response>().into()
    }
}

/// The answer to a validation, and how old what it relies on is, in milliseconds. Headers are made anew when that age
/// changes, which within one millisecond of a busy isolate it does not: making them takes longer than deciding.
pub fn validation(body: &Uint8Array, age: i64) -> Result<RawResponse, worker::Error> {
    thread_local! {
        static LAST: RefCell<Option<(i64, JsValue)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        let (_, init) = match last.take_if(|(of, _)| *of == age) {
            Some(same) => last.insert(same),
            None => last.insert((age, init(age)?)),
        };
        Ok(RawResponse::new(body, init))
    })
}

/// The runtime copies headers faster than it reads an object that lists them.
fn init(age: i64) -> Result<JsValue, worker::Error> {
    let headers = Headers::new();
    headers.set("content-type", "application/json")?;
    headers.set("cache-control", "no-store")?;
    headers.set("latchkey-age-ms", &age.to_string())?;
    let init = Object::new();
    Reflect::set(&init, &"headers".into(), &headers.0)?;
    Ok(init.into())
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
