//! The control plane's part, played by hand: for tests of the Worker that must choose what the feed and KV hold, and when.

use std::time::UNIX_EPOCH;

use serde_json::json;
use shared::{
    Timestamp,
    digest::{Digest, KvKey},
    entropy::{Entropy, Repeating},
    feed::{
        Effect, Mark, Position, Scope,
        wire::{self, Append, Appended, Report, WireChange},
    },
    id::OrganizationId,
    key::{KeyText, Prefix},
    record::{ApiKeyGrant, Generations, Grant, ManagementKeyGrant, Owner, Record, Revoked, Version},
    seal::EdgeSecrets,
};

use crate::{
    http::{Answer, Client},
    stale_kv::StaleKv,
    workerd::Workerd,
};

/// What writes to a feed and a KV, and holds the management key of one environment.
#[derive(Debug)]
pub struct Hand {
    secrets: EdgeSecrets,
    /// Asks the ingress routes.
    pub ingress: Client,
    kv: StaleKv,
    /// The text of the management key.
    pub management_key: String,
}

/// A key that was made by hand.
#[derive(Debug, Clone)]
pub struct HandKey {
    /// Its text.
    pub value: String,
    /// Where its record stands.
    pub place: KvKey,
    /// Its record.
    pub record: Record,
}

/// The moment, by the clock that workerd goes by as well.
///
/// # Panics
/// Never: it is after 1970.
#[must_use]
pub fn now() -> Timestamp {
    let millis = UNIX_EPOCH.elapsed().expect("it is after 1970").as_millis();
    Timestamp::from_millis(i64::try_from(millis).expect("it is before the year 292,000,000"))
}

impl Hand {
    /// Opens the feed, with one management key in it and in KV.
    ///
    /// # Panics
    /// If the feed does not answer.
    #[must_use]
    pub fn of(workerd: &Workerd, kv: &StaleKv) -> Self {
        let secrets = workerd.secrets();
        let ingress = workerd.isolate(0).with_token(secrets.ingress_token());
        let text = KeyText::generate_management(&mut Repeating(200)).expose().to_owned();
        let hand = Self { secrets, ingress, kv: kv.clone(), management_key: text };
        let key = hand.its_key();
        hand.store(&key);
        let _ = hand.append(vec![hand.change(&key, Mark::Created)]);
        hand.open();
        hand
    }

    /// The management key.
    fn its_key(&self) -> HandKey {
        let mut record = Record::example();
        record.grant = Grant::ManagementKey(ManagementKeyGrant {
            id: "management_key_01KF0JZ4G0000000000000000A".to_owned().try_into().expect("an id"),
            scopes: vec!["*".to_owned()],
            prefixes: vec!["lk_live".parse().expect("a prefix")],
            accepts_foreign: false,
        });
        record.expires_at = None;
        record.version = Version::first(now());
        record.sealed_at = now();
        let place = KvKey::management_key(&Digest::of(&self.management_key));
        HandKey { value: self.management_key.clone(), place, record }
    }

    /// Revokes the management key.
    #[track_caller]
    pub fn revoke_management_key(&self) {
        self.revoke(&mut self.its_key());
    }

    /// Opens the feed.
    #[track_caller]
    pub fn open(&self) {
        let report: Report = parsed(&self.ingress.get(wire::STATUS));
        let _ = self.ingress.post(wire::OPEN, &json!({"epoch": report.status.epoch})).expect(200);
    }

    /// Makes a key that is nowhere yet.
    ///
    /// # Panics
    /// Never: the example is a customer's key.
    #[must_use]
    pub fn key(&self, number: u64) -> HandKey {
        let prefix: Prefix = "lk_live".parse().expect("a prefix");
        let value = KeyText::generate(&prefix, &mut Numbered(number)).expose().to_owned();
        let mut record = Record::example();
        record.expires_at = None;
        record.version = Version::first(now());
        record.sealed_at = now();
        let place = KvKey::api_key(&record.environment, &Digest::of(&value));
        HandKey { value, place, record }
    }

    /// The organization of the keys.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        match Record::example().grant {
            Grant::ApiKey(ApiKeyGrant { owner: Owner::Organization { id }, .. }) => id,
            _ => panic!("the example is an organization's key"),
        }
    }

    /// Writes a record to KV.
    pub fn store(&self, key: &HandKey) {
        self.kv.put(&key.place, &self.secrets.seal(&key.place, &key.record));
    }

    /// A change of a key, as the feed wants it.
    #[must_use]
    pub fn change(&self, key: &HandKey, mark: Mark) -> WireChange {
        WireChange {
            name: key.place.to_string(),
            version: key.record.version,
            mark,
            changed_at: now(),
            sealed: Some(self.secrets.seal(&key.place, &key.record)),
        }
    }

    /// A change of a key that nobody has.
    #[must_use]
    pub fn bare_change(&self, number: u64) -> WireChange {
        let name = format!("k1:environment_of_nobody:{number}");
        WireChange { name, version: Version::first(now()), mark: Mark::Changed, changed_at: now(), sealed: None }
    }

    /// A change of a scope, which narrows all records that were sealed before it.
    #[must_use]
    pub fn scope(&self, scope: &Scope<'_>, effect: Effect) -> WireChange {
        WireChange {
            name: scope.name(),
            version: Version::first(now()),
            mark: Mark::Scope(effect),
            changed_at: now(),
            sealed: None,
        }
    }

    /// Appends changes. When this returns, they are acknowledged.
    #[track_caller]
    pub fn append(&self, changes: Vec<WireChange>) -> Appended {
        self.append_knowing(None, changes)
    }

    /// Appends changes to a feed that is known to have come so far.
    #[track_caller]
    pub fn append_knowing(&self, known: Option<Position>, changes: Vec<WireChange>) -> Appended {
        append_to(&self.ingress, known, changes)
    }

    /// Makes a key valid: in the feed, and in KV.
    #[track_caller]
    pub fn create(&self, key: &HandKey) {
        let _ = self.append(vec![self.change(key, Mark::Created)]);
        self.store(key);
    }

    /// Revokes a key. When this returns, that is acknowledged; KV has the tombstone too, if it will show it.
    #[track_caller]
    pub fn revoke(&self, key: &mut HandKey) {
        key.record.revoked = Some(Revoked { at: now(), reason: "deleted".to_owned() });
        self.next_version(key);
        let _ = self.append(vec![self.change(key, Mark::Revoked)]);
        self.store(key);
    }

    /// Gives a changed record its next version.
    pub fn next_version(&self, key: &mut HandKey) {
        key.record.version = key.record.version.next(now());
        key.record.sealed_at = now();
        key.record.generations = Generations::default();
    }

    /// Asks an isolate about a key.
    #[track_caller]
    #[must_use]
    pub fn validate(&self, isolate: &Client, value: &str) -> Answer {
        isolate.with_token(&self.management_key).validate(value)
    }
}

/// Bytes that follow from a number: enough for keys that differ.
#[derive(Debug)]
pub struct Numbered(pub u64);

impl Entropy for Numbered {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // A linear congruential generator, with Knuth's numbers.
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// Appends changes through the ingress.
#[track_caller]
#[must_use]
pub fn append_to(ingress: &Client, known: Option<Position>, changes: Vec<WireChange>) -> Appended {
    parsed(&ingress.post(wire::APPEND, &json!(Append { known, changes })))
}

#[track_caller]
fn parsed<T: serde::de::DeserializeOwned>(answer: &Answer) -> T {
    serde_json::from_value(answer.expect(200)).expect("it is as the wire says")
}
