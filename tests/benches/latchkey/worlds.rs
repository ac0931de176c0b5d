//! What is measured, set up: our Worker and the one in JavaScript, before one KV.

use std::{net::SocketAddr, sync::Arc};

use serde_json::json;
use tests::{
    hand::{Hand, HandKey},
    http::Answer,
    load::{Load, post},
    stale_kv::StaleKv,
    workerd::{Plan, Workerd},
};

use crate::javascript::JavaScript;

const PATH: &str = "/api_keys/validations";
/// L, as it is unless somebody configures it.
pub const LEASE_MILLIS: u32 = 2_000;

/// Our Worker in so many isolates, and what holds its feed and its KV.
pub struct Ours {
    /// Its process.
    pub workerd: Workerd,
    /// The control plane's part.
    pub hand: Hand,
    /// Its KV.
    pub kv: StaleKv,
    /// Takes what it counts.
    _control_plane: JavaScript,
}

impl Ours {
    /// Starts it.
    #[must_use]
    pub fn start(isolates: usize) -> Self {
        let (kv, control_plane) = (StaleKv::start(), JavaScript::sink());
        let url = format!("http://{}", control_plane.address);
        let plan = Plan { isolates, kv_port: kv.port, control_plane: &url, lease_ms: LEASE_MILLIS, proxied: false };
        let workerd = Workerd::start(plan).expect("`cargo xtask bench` says where workerd is");
        let hand = Hand::of(&workerd, &kv);
        Self { workerd, hand, kv, _control_plane: control_plane }
    }

    /// Where an isolate answers.
    #[must_use]
    pub fn address(&self, isolate: usize) -> SocketAddr {
        self.workerd.urls[isolate].trim_start_matches("http://").parse().expect("an address")
    }

    /// A validation, as it goes over the wire.
    #[must_use]
    pub fn request(&self, value: &str) -> Vec<u8> {
        post(PATH, &self.hand.management_key, &json!({ "value": value }).to_string())
    }
}

/// Both validators, before the same records.
pub struct Pair {
    /// Ours, in one isolate.
    pub ours: Ours,
    /// The one in JavaScript.
    pub javascript: JavaScript,
}

impl Pair {
    /// Starts both.
    #[must_use]
    pub fn start() -> Self {
        let ours = Ours::start(1);
        let javascript = JavaScript::validator(&ours.workerd.secret, ours.kv.port);
        Self { ours, javascript }
    }

    /// Where ours answers, and its process.
    #[must_use]
    pub fn ours(&self) -> (SocketAddr, u32) {
        (self.ours.address(0), self.ours.workerd.id())
    }

    /// Where the one in JavaScript answers, and its process.
    #[must_use]
    pub fn theirs(&self) -> (SocketAddr, u32) {
        (self.javascript.address, self.javascript.process.id())
    }

    /// What ours answers about a key, once it is certain that theirs answers the same.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn answer(&self, value: &str) -> Answer {
        let ours = self.ours.hand.validate(&self.ours.workerd.isolate(0), value);
        let theirs = self.ours.hand.validate(&self.javascript.client, value);
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
    #[must_use]
    pub fn load(&self, values: &[String]) -> Arc<Load> {
        let requests = values.iter().map(|value| self.ours.request(value)).collect();
        Arc::new(Load::new(requests, 200).answered_with(&self.answer(&values[0]).text))
    }
}

/// The texts of keys.
#[must_use]
pub fn values(keys: &[HandKey]) -> Vec<String> {
    keys.iter().map(|key| key.value.clone()).collect()
}
