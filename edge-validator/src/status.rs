//! `GET /_edge/status`: what this isolate has done, and how much it knows.

use serde::Serialize;
use worker::Response;

use crate::{
    config::Edge,
    counters::{self, Counters},
    failure::Failure,
    isolate, response,
};

#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    counters: Counters,
    floors: usize,
    records: usize,
    absences: usize,
    resets: u64,
    /// Null without a lease.
    age_ms: Option<i64>,
    lease_ms: i64,
    /// What the Wasm instance takes, in bytes. It never shrinks.
    memory: usize,
}

/// Answers the control plane.
pub fn answer(edge: &Edge) -> Result<Response, Failure> {
    let (floors, records, absences, resets, age_ms) = isolate::sizes(edge);
    let counters = counters::current();
    let lease_ms = edge.limits.lease;
    let status = Status { counters, floors, records, absences, resets, age_ms, lease_ms, memory: memory() };
    Ok(response::json(200, serde_json::to_string(&status).map_err(worker::Error::from)?)?)
}

#[cfg(target_family = "wasm")]
fn memory() -> usize {
    const PAGE: usize = 65_536;
    core::arch::wasm32::memory_size::<0>() * PAGE
}

#[cfg(not(target_family = "wasm"))]
const fn memory() -> usize {
    0
}
