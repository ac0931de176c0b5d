//! Answers that the Worker words itself.

use std::cell::RefCell;

use shared::{reason::Reason, validation::Answer};
use worker::{
    Response, ResponseBuilder,
    js_sys::{JSON, JsString},
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
    fn new(body: &JsString, init: &JsValue) -> RawResponse;
}

impl From<RawResponse> for Response {
    fn from(raw: RawResponse) -> Self {
        raw.unchecked_into::<worker::web_sys::Response>().into()
    }
}

/// The answer to a validation, and how old what it relies on is, in milliseconds. What answers have in common is made
/// anew when that age changes, which within one millisecond of a busy isolate it does not.
pub fn validation(body: &JsString, age: i64) -> RawResponse {
    thread_local! {
        static LAST: RefCell<Option<(i64, JsValue)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        let (_, init) = match last.take_if(|(of, _)| *of == age) {
            Some(same) => last.insert(same),
            None => last.insert((age, init(age))),
        };
        RawResponse::new(body, init)
    })
}

fn init(age: i64) -> JsValue {
    let json = format!(
        r#"{{"headers":{{"content-type":"application/json","cache-control":"no-store","latchkey-age-ms":"{age}"}}}}"#
    );
    // It is JSON.
    JSON::parse(&json).unwrap_or(JsValue::UNDEFINED)
}

/// The body that refuses a key for this reason.
pub fn refusal(reason: Reason) -> JsString {
    thread_local! {
        static BODIES: RefCell<Vec<(Reason, JsString)>> = const { RefCell::new(vec![]) };
    }
    BODIES.with_borrow_mut(|bodies| {
        if let Some((_, body)) = bodies.iter().find(|(of, _)| *of == reason) {
            return body.clone();
        }
        let body = JsString::from(Answer::refused(reason).body);
        bodies.push((reason, body.clone()));
        body
    })
}
