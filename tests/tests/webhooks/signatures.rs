//! Published verifiers accept every type of delivery, and refuse an altered one.
//!
//! | verifier | what it is given | what it checks |
//! | --- | --- | --- |
//! | `@workos-inc/node` 11 | the bytes | `WorkOS-Signature` |
//! | `@workos-inc/node` 8 | the parsed body, because it accepts only that | `WorkOS-Signature` |
//! | `workos` for Python | the bytes | `WorkOS-Signature` |
//! | `workos` for Rust | the bytes | `WorkOS-Signature` |
//! | `standardwebhooks` from npm | the bytes | `webhook-id`, `webhook-timestamp`, `webhook-signature` |
//! | `standardwebhooks` from crates.io | the bytes | the same |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use standardwebhooks::Webhook;
use tests::{
    database::Database,
    parts,
    process::Process,
    receiver::{Received, Receiver},
    wait::eventually,
};
use ureq::http::{HeaderMap, HeaderValue};
use workos::WebhookVerifier;

use super::{Endpoint, System, TIMEOUT, every_event};

/// A delivery to verify.
#[derive(Debug, Clone, Serialize)]
struct Case {
    /// What was done to it.
    what: String,
    id: String,
    timestamp: String,
    signature: String,
    workos_signature: String,
    /// The bytes. Every body is UTF-8, as JSON is.
    body: String,
    secret: String,
    /// Which verifiers must accept it.
    #[serde(skip)]
    accepted_by: &'static [&'static str],
}

/// What a program found.
#[derive(Debug, Deserialize)]
struct Verdict {
    /// The names of the verifiers that accepted the delivery.
    accepted_by: Vec<String>,
    /// The id of the event in what each client of WorkOS returned, by its verifier.
    decoded: BTreeMap<String, Option<String>>,
    /// Whether `JSON.stringify(JSON.parse(body))` is the body. Only Node says so.
    #[serde(default)]
    is_canonical: Option<bool>,
}

const NODE_11: &str = "node-11";
const NODE_8: &str = "node-8";
const PYTHON: &str = "python";
const RUST: &str = "rust";
const STANDARD_NODE: &str = "standardwebhooks-node";
const STANDARD_RUST: &str = "standardwebhooks-rust";
const NOBODY: &[&str] = &[];
const OF_WORKOS: &[&str] = &[NODE_11, NODE_8, PYTHON, RUST];
const STANDARD: &[&str] = &[STANDARD_NODE, STANDARD_RUST];
const EVERYBODY: &[&str] = &[NODE_11, NODE_8, PYTHON, RUST, STANDARD_NODE, STANDARD_RUST];

/// Types of events that were defined after this version of the client. It accepts them, and returns nothing.
const UNKNOWN_TO_NODE_8: [&str; 1] = ["api_key.updated"];

impl Case {
    /// A delivery as it came.
    fn new(delivery: &Received, secret: &str) -> Self {
        Self {
            what: "as it was sent".to_owned(),
            id: delivery.header("webhook-id").to_owned(),
            timestamp: delivery.header("webhook-timestamp").to_owned(),
            signature: delivery.header("webhook-signature").to_owned(),
            workos_signature: delivery.header("workos-signature").to_owned(),
            body: String::from_utf8(delivery.body.clone()).expect("a body is UTF-8"),
            secret: secret.to_owned(),
            accepted_by: EVERYBODY,
        }
    }

    fn accepted_by(self, accepted_by: &'static [&'static str]) -> Self {
        Self { accepted_by, ..self }
    }

    /// The same delivery, altered in every way that matters.
    fn altered(&self) -> Vec<Self> {
        let altered = |what: &str| Self { what: what.to_owned(), ..self.clone() };
        // The last digit of the id in the body, so that the body remains JSON.
        let digit = self.body.find(&self.id).expect("the body has the id") + self.id.len() - 1;
        let other = if self.body.as_bytes()[digit] == b'0' { "1" } else { "0" };
        let mut body = self.body.clone();
        body.replace_range(digit..=digit, other);
        let later = (self.timestamp.parse::<i64>().expect("a number of seconds") + 1).to_string();
        let (millis, rest) = self.workos_signature.split_once(", ").expect("a comma and a space");
        let millis: i64 = millis.strip_prefix("t=").expect("a time").parse().expect("a number of milliseconds");
        vec![
            Self { body, ..altered("another byte in the body") }.accepted_by(NOBODY),
            // What is parsed has no white space.
            Self { body: format!("{} ", self.body), ..altered("a byte more") }.accepted_by(&[NODE_8]),
            // The clients of WorkOS do not look at this header.
            Self { id: format!("{}0", self.id), ..altered("another id") }.accepted_by(OF_WORKOS),
            Self { timestamp: later, workos_signature: format!("t={}, {rest}", millis + 1), ..altered("another time") }
                .accepted_by(NOBODY),
        ]
    }
}

/// Hands all cases to all verifiers that are there.
#[track_caller]
fn verify(cases: &[Case]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("deliveries.json");
    fs::write(&file, serde_json::to_vec(cases).unwrap()).unwrap();
    for case in cases {
        compare(case, &verdict_of_rust(case), &[RUST, STANDARD_RUST]);
    }
    if let Some(programs) = parts::node_programs() {
        let verdicts = verdicts(Command::new(programs.join("node")).arg(script("verify.mjs")).arg(&file));
        assert_eq!(verdicts.len(), cases.len());
        for (case, verdict) in cases.iter().zip(&verdicts) {
            compare(case, verdict, &[NODE_11, NODE_8, STANDARD_NODE]);
            let is_altered = case.accepted_by == [NODE_8];
            assert_eq!(verdict.is_canonical, Some(!is_altered), "JSON.stringify(JSON.parse(body)) for {}", case.body);
        }
    }
    if let Some(python) = parts::python() {
        let verdicts = verdicts(Command::new(python).arg(script("verify.py")).arg(&file));
        assert_eq!(verdicts.len(), cases.len());
        for (case, verdict) in cases.iter().zip(&verdicts) {
            compare(case, verdict, &[PYTHON]);
        }
    }
}

fn script(file: &str) -> std::path::PathBuf {
    parts::workspace().join("tests/tests/webhooks").join(file)
}

fn verdicts(command: &mut Command) -> Vec<Verdict> {
    let name = Path::new(command.get_program()).display().to_string();
    let mut process = Process::start(&name, command);
    let status = process.wait(TIMEOUT);
    assert!(status.success(), "{name}: {status}");
    serde_json::from_str(&process.stdout()).expect("the program prints its verdicts")
}

fn verdict_of_rust(case: &Case) -> Verdict {
    let headers =
        [("webhook-id", &case.id), ("webhook-timestamp", &case.timestamp), ("webhook-signature", &case.signature)];
    let headers: HeaderMap = headers
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
        .into_iter()
        .collect();
    let standard = Webhook::new(&case.secret).expect("a secret of Standard Webhooks");
    let is_standard = standard.verify(case.body.as_bytes(), &headers).is_ok();
    let event = WebhookVerifier::new(&case.secret).construct_event(&case.workos_signature, &case.body);
    let verdicts = [(RUST, event.is_ok()), (STANDARD_RUST, is_standard)];
    let accepted_by = verdicts.into_iter().filter(|(_, is_accepted)| *is_accepted).map(|(name, _)| name.to_owned());
    let decoded = event.into_iter().map(|event| (RUST.to_owned(), Some(event.id))).collect();
    Verdict { accepted_by: accepted_by.collect(), decoded, is_canonical: None }
}

/// Compares what some verifiers found with what they must find.
#[track_caller]
fn compare(case: &Case, verdict: &Verdict, verifiers: &[&str]) {
    let expected: Vec<&str> =
        verifiers.iter().copied().filter(|verifier| case.accepted_by.contains(verifier)).collect();
    assert_eq!(verdict.accepted_by, expected, "{case:?}");
    if case.accepted_by != EVERYBODY {
        return;
    }
    let event: serde_json::Value = serde_json::from_str(&case.body).unwrap();
    let event = event["event"].as_str().expect("a type");
    for (verifier, id) in &verdict.decoded {
        let is_unknown = verifier == NODE_8 && (UNKNOWN_TO_NODE_8.contains(&event) || !is_of_workos(event));
        let expected = (!is_unknown).then_some(&case.id);
        assert_eq!(id.as_ref(), expected, "{verifier} decodes {}", case.body);
    }
}

/// Whether WorkOS defined a type of event.
fn is_of_workos(event: &str) -> bool {
    let of_latchkey = ["api_key_", "environment.", "management_key.", "webhook_endpoint."];
    let of_latchkey = of_latchkey.iter().any(|prefix| event.starts_with(prefix));
    !of_latchkey && !["api_key.rotated", "api_key.expiring", "api_key.expired"].contains(&event)
}

fn types_of(receiver: &Receiver) -> BTreeSet<String> {
    let event = |request: &Received| request.json()["event"].as_str().expect("a type").to_owned();
    receiver.look(|requests| requests.iter().map(event).collect())
}

fn every_type_of_delivery_is_verified(database: Database) {
    let system = System::start(database);
    let receiver = Receiver::with_status(200);
    let types = every_event::types();
    let endpoint = system.subscribe(&receiver.url, &types.iter().map(String::as_str).collect::<Vec<_>>());
    every_event::cause(&system);
    // The environment was created before the endpoint. A replay sends that event as well.
    let replay = format!("/webhook_endpoints/{}/replay", endpoint.id);
    let _ = system.client().post(&replay, &json!({"since": "2020-01-01T00:00:00.000Z"})).expect(201);
    eventually(TIMEOUT, "an event of every type is delivered", || {
        let missing: Vec<String> = types.difference(&types_of(&receiver)).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    });

    let deliveries = receiver.received();
    for delivery in &deliveries {
        assert_eq!((delivery.method.as_str(), delivery.path.as_str()), ("POST", "/"));
        assert_eq!(delivery.header("content-type"), "application/json");
        assert!(delivery.header("user-agent").starts_with("Latchkey"), "{delivery:?}");
        assert_eq!(delivery.json()["id"], delivery.header("webhook-id"));
    }
    let cases = deliveries.iter().flat_map(|delivery| {
        let case = Case::new(delivery, &endpoint.secret);
        [vec![case.clone()], case.altered()].concat()
    });
    let cases: Vec<Case> = cases.collect();
    println!("{} deliveries, {} cases", deliveries.len(), cases.len());
    verify(&cases);
}

#[test]
fn every_type_of_delivery_is_accepted_by_published_verifiers_and_refused_when_altered_on_sqlite() {
    every_type_of_delivery_is_verified(Database::sqlite());
}

#[test]
fn every_type_of_delivery_is_accepted_by_published_verifiers_and_refused_when_altered_on_postgres() {
    if let Some(database) = Database::postgres() {
        every_type_of_delivery_is_verified(database);
    }
}

/// Causes an event and returns its delivery.
#[track_caller]
fn next_delivery(system: &System, receiver: &Receiver, slug: &str) -> Received {
    system.client().create_permission(slug);
    eventually(TIMEOUT, "the event is delivered", || {
        let is_it = |request: &&Received| request.json()["data"]["slug"] == slug;
        receiver.look(|requests| requests.iter().find(is_it).cloned()).ok_or("not yet")
    })
}

/// Rotates the secret of an endpoint, and returns the new one.
#[track_caller]
fn rotate(system: &System, endpoint: &Endpoint, overlap_seconds: u32) -> String {
    let path = format!("/webhook_endpoints/{}/rotate_secret", endpoint.id);
    let rotated = system.client().post(&path, &json!({"overlap_seconds": overlap_seconds})).expect(201);
    tests::calls::text(&rotated, "secret")
}

#[test]
fn rotated_secret_verifies_beside_the_old_one_until_the_overlap_ends() {
    let system = System::start(Database::sqlite());
    let receiver = Receiver::with_status(204);
    let endpoint = system.subscribe(&receiver.url, &["permission.created"]);
    let first = endpoint.secret.clone();
    let before = next_delivery(&system, &receiver, "before");

    let second = rotate(&system, &endpoint, 3_600);
    let during = next_delivery(&system, &receiver, "during");

    let third = rotate(&system, &endpoint, 0);
    let after = next_delivery(&system, &receiver, "after");
    assert_eq!(BTreeSet::from([&first, &second, &third]).len(), 3);
    let nobody_accepts = |delivery, secret| Case::new(delivery, secret).accepted_by(NOBODY);
    verify(&[
        Case::new(&before, &first),
        nobody_accepts(&before, &second),
        Case::new(&during, &first),
        Case::new(&during, &second).accepted_by(STANDARD),
        nobody_accepts(&during, &third),
        nobody_accepts(&after, &first),
        nobody_accepts(&after, &second),
        Case::new(&after, &third),
    ]);
}
