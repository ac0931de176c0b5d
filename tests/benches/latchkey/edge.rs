//! Validations at the edge: ours, a Worker that does nothing, and a good one in JavaScript, all in plain workerd, all
//! asked with the same bytes.
//!
//! Plain workerd, because `wrangler dev` puts a proxy before the Worker that costs many times what the Worker does.

use std::sync::Arc;

use tests::{hand::HandKey, load::Load};

use crate::{
    Settings,
    javascript::JavaScript,
    report::Table,
    rounds::{self, Subject},
    worlds::{Pair, values},
};

/// Keys that are asked about again and again.
const HOT: u64 = 100;
/// Keys of which each is asked about once before any of them is again: twice as many as an isolate remembers.
const COLD: u64 = 20_000;

/// Measures it.
pub fn measure(settings: &Settings) -> Vec<Table> {
    let edge = Pair::start();
    let hot: Vec<HandKey> = (0..HOT).map(|number| edge.ours.hand.key(number)).collect();
    let mut revoked: Vec<HandKey> = (HOT..2 * HOT).map(|number| edge.ours.hand.key(number)).collect();
    let cold: Vec<HandKey> = (2 * HOT..2 * HOT + COLD).map(|number| edge.ours.hand.key(number)).collect();
    hot.iter().chain(&cold).for_each(|key| edge.ours.hand.store(key));
    revoked.iter_mut().for_each(|key| edge.ours.hand.revoke(key));

    let hit = edge.load(&values(&hot));
    let refusal = edge.load(&values(&revoked));
    let garbage = edge.load(&values(&hot).iter().map(|value| mistyped(value)).collect::<Vec<_>>());
    // Each has its own, and so goes through all keys: of one that they shared, each would be asked about every other key,
    // and would remember all of those.
    let (our_kv_hit, their_kv_hit) = (edge.load(&values(&cold)), edge.load(&values(&cold)));
    let empty = JavaScript::empty(&edge.answer(&hot[0].value).text);

    let (ours, theirs) = (edge.ours(), edge.theirs());
    let subject = |name, (address, process), load: &Arc<Load>, rivals| {
        let load = Arc::clone(load);
        Subject { name, address, process, load, rivals }
    };
    let subjects = [
        subject("empty Worker", (empty.address, empty.process.id()), &hit, &[]),
        subject("JavaScript, hot hit", theirs, &hit, OF_EMPTY),
        subject("ours, hot hit", ours, &hit, &[("empty", "empty Worker"), ("JavaScript", "JavaScript, hot hit")]),
        subject("JavaScript, revoked", theirs, &refusal, OF_EMPTY),
        subject("ours, revoked", ours, &refusal, &[("empty", "empty Worker"), ("JavaScript", "JavaScript, revoked")]),
        subject("JavaScript, garbage", theirs, &garbage, OF_EMPTY),
        subject("ours, garbage", ours, &garbage, &[("empty", "empty Worker"), ("JavaScript", "JavaScript, garbage")]),
        subject("JavaScript, from KV", theirs, &their_kv_hit, OF_EMPTY),
        subject(
            "ours, from KV",
            ours,
            &our_kv_hit,
            &[("empty", "empty Worker"), ("JavaScript", "JavaScript, from KV")],
        ),
    ];
    vec![Table::new("POST /api_keys/validations at the edge", rounds::in_turn(&subjects, settings))]
}

const OF_EMPTY: &[(&str, &str)] = &[("empty", "empty Worker")];

/// A key with one letter that is another.
fn mistyped(value: &str) -> String {
    let (start, last) = value.split_at(value.len() - 1);
    format!("{start}{}", if last == "A" { "B" } else { "A" })
}
