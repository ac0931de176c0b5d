//! Validations at the edge: ours, a Worker that does nothing, and a good one in JavaScript, all in plain workerd, all
//! asked with the same bytes.
//!
//! Plain workerd, because `wrangler dev` puts a proxy before the Worker that costs many times what the Worker does.

use std::{net::SocketAddr, sync::Arc};

use serde_json::json;
use tests::{
    hand::{Hand, HandKey},
    http::Answer,
    load::{Load, post},
    stale_kv::StaleKv,
    workerd::{Plan, Workerd},
};

use crate::{
    Settings,
    javascript::JavaScript,
    report::Table,
    rounds::{self, Subject},
};

/// Keys that are asked about again and again.
const HOT: u64 = 100;
/// Keys of which each is asked about once before any of them is again: twice as many as an isolate remembers.
const COLD: u64 = 20_000;
const PATH: &str = "/api_keys/validations";

/// Measures it.
pub fn measure(settings: &Settings) -> Vec<Table> {
    let edge = Edge::start();
    let hot: Vec<HandKey> = (0..HOT).map(|number| edge.hand.key(number)).collect();
    let mut revoked: Vec<HandKey> = (HOT..2 * HOT).map(|number| edge.hand.key(number)).collect();
    let cold: Vec<HandKey> = (2 * HOT..2 * HOT + COLD).map(|number| edge.hand.key(number)).collect();
    hot.iter().chain(&cold).for_each(|key| edge.hand.store(key));
    revoked.iter_mut().for_each(|key| edge.hand.revoke(key));

    let hit = edge.load(&values(&hot));
    let refusal = edge.load(&values(&revoked));
    let garbage = edge.load(&values(&hot).iter().map(|value| mistyped(value)).collect::<Vec<_>>());
    let kv_hit = edge.load(&values(&cold));
    let empty = JavaScript::empty(&edge.answer(&hot[0].value).text);

    let (ours, theirs) = ((edge.address, edge.workerd.id()), (edge.validator.address, edge.validator.process.id()));
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
        subject("JavaScript, from KV", theirs, &kv_hit, OF_EMPTY),
        subject("ours, from KV", ours, &kv_hit, &[("empty", "empty Worker"), ("JavaScript", "JavaScript, from KV")]),
    ];
    vec![Table::new("POST /api_keys/validations at the edge", rounds::in_turn(&subjects, settings))]
}

const OF_EMPTY: &[(&str, &str)] = &[("empty", "empty Worker")];

/// Both validators, before the same records.
struct Edge {
    workerd: Workerd,
    hand: Hand,
    address: SocketAddr,
    validator: JavaScript,
}

impl Edge {
    fn start() -> Self {
        let kv = StaleKv::start();
        let nowhere = "http://127.0.0.1:9";
        let plan = Plan { isolates: 1, kv_port: kv.port, control_plane: nowhere, lease_ms: 2_000, proxied: false };
        let workerd = Workerd::start(plan).expect("`cargo xtask bench` says where workerd is");
        let hand = Hand::of(&workerd, &kv);
        let address = workerd.urls[0].trim_start_matches("http://").parse().expect("an address");
        let validator = JavaScript::validator(&workerd.secret, kv.port);
        Self { workerd, hand, address, validator }
    }

    /// What ours answers about a key, once it is certain that theirs answers the same.
    fn answer(&self, value: &str) -> Answer {
        let ours = self.hand.validate(&self.workerd.isolate(0), value);
        let theirs = self.hand.validate(&self.validator.client, value);
        assert_eq!(theirs.text, ours.text, "the validators do not give one answer");
        for name in ["content-type", "cache-control"] {
            assert_eq!(theirs.header(name), ours.header(name), "{name}");
        }
        for answer in [&ours, &theirs] {
            assert_eq!(answer.status, 200, "{}", answer.text);
            let age = answer.header("latchkey-age-ms").map(str::parse::<u32>);
            assert!(matches!(age, Some(Ok(_))), "an answer does not say how old it is: {answer:?}");
        }
        ours
    }

    /// Validations of these keys, which all have one answer.
    fn load(&self, values: &[String]) -> Arc<Load> {
        let body = |value| json!({ "value": value }).to_string();
        let requests = values.iter().map(|value| post(PATH, &self.hand.management_key, &body(value))).collect();
        Arc::new(Load::new(requests, 200).answered_with(&self.answer(&values[0]).text))
    }
}

fn values(keys: &[HandKey]) -> Vec<String> {
    keys.iter().map(|key| key.value.clone()).collect()
}

/// A key with one letter that is another.
fn mistyped(value: &str) -> String {
    let (start, last) = value.split_at(value.len() - 1);
    format!("{start}{}", if last == "A" { "B" } else { "A" })
}
