//! Runs every check of the rules where they run for our users: in the Worker runtime, as Wasm.
//!
//! Any request gets the whole list: `[{"name": "key::golden_texts", "outcome": "ok"}, …]`. A test compares it with the
//! native one.

use serde::Serialize;
use shared::checks;
use worker::{Context, Env, Request, Response, event};

#[derive(Serialize)]
struct Ran {
    name: &'static str,
    /// `ok`, or what does not hold.
    outcome: String,
}

#[event(fetch)]
async fn fetch(_request: Request, _env: Env, _context: Context) -> worker::Result<Response> {
    let ran =
        checks::ALL.iter().map(|(name, check)| Ran { name, outcome: check().err().unwrap_or_else(|| "ok".into()) });
    Response::from_json(&ran.collect::<Vec<_>>())
}
