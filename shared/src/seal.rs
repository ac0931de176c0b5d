//! How a record is written to a store that is not trusted: `v1.<secret id>.<base64url HMAC-SHA-256>.<JSON>`.
//!
//! The MAC covers the KV key and the JSON, so a record can be neither forged nor put under another key. Everything is
//! derived by HKDF from one configured secret, with a label for each use. Two secrets may be valid at a time, so that
//! one can be replaced without a gap.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{digest::KvKey, record::Record};

/// The codec's version, the first thing in every sealed record.
const CODEC: &str = "v1";
/// With this header the Worker proves that it passed a request on, …
pub const FORWARDING_TOKEN: &str = "latchkey-forwarding-token";
/// … and with this one it says which address the request came from.
pub const CLIENT_ADDRESS: &str = "latchkey-client-address";
/// The fewest characters of an edge secret.
pub const SECRET_MIN_LENGTH: usize = 32;

/// The secrets that the control plane and the Worker share: the first one seals, all of them are accepted.
pub struct EdgeSecrets(Vec<EdgeSecret>);

struct EdgeSecret {
    id: String,
    record_mac: Hmac<Sha256>,
    ingress: String,
    usage: String,
    forwarding: String,
}

/// Shows the public ids of the secrets and nothing else.
impl fmt::Debug for EdgeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|secret| &secret.id)).finish()
    }
}

/// Why a setting cannot be the edge secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be one secret of at least 32 characters, or two joined by a comma")]
pub struct BadEdgeSecret;

/// Why a sealed record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// Not of this codec.
    #[error("it is not a sealed record of a known version")]
    UnknownCodec,
    /// Sealed with a secret that is not among ours.
    #[error("it was sealed with a secret that is not configured")]
    UnknownSecret,
    /// Not what was sealed, or not where it was sealed for.
    #[error("its MAC does not verify")]
    BadMac,
    /// Sealed by us, but not a record.
    #[error("it is not a record")]
    BadRecord,
}

impl EdgeSecrets {
    /// Reads the setting: one secret, or two joined by a comma.
    ///
    /// # Errors
    /// If a secret is too short or there are more than two.
    pub fn parse(setting: &str) -> Result<Self, BadEdgeSecret> {
        let secrets: Vec<&str> = setting.split(',').map(str::trim).collect();
        if secrets.len() > 2 || secrets.iter().any(|secret| secret.len() < SECRET_MIN_LENGTH) {
            return Err(BadEdgeSecret);
        }
        secrets.into_iter().map(EdgeSecret::derive).collect::<Result<_, _>>().map(Self)
    }

    /// Seals a record for its place in the store.
    #[must_use]
    pub fn seal(&self, key: &KvKey, record: &Record) -> String {
        let secret = &self.0[0];
        let json = serde_json::to_string(record).unwrap_or_default();
        let mac = URL_SAFE_NO_PAD.encode(secret.mac(key.as_str(), &json).finalize().into_bytes());
        format!("{CODEC}.{}.{mac}.{json}", secret.id)
    }

    /// Opens what stands under this key in the store.
    ///
    /// # Errors
    /// If we did not seal it, or not for this place.
    pub fn open(&self, key: &KvKey, sealed: &str) -> Result<Record, Unsealed> {
        let rest = sealed.strip_prefix(CODEC).and_then(|rest| rest.strip_prefix('.')).ok_or(Unsealed::UnknownCodec)?;
        let (id, rest) = rest.split_once('.').ok_or(Unsealed::UnknownCodec)?;
        let (mac, json) = rest.split_once('.').ok_or(Unsealed::UnknownCodec)?;
        let secret = self.0.iter().find(|secret| secret.id == id).ok_or(Unsealed::UnknownSecret)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| Unsealed::BadMac)?;
        secret.mac(key.as_str(), json).verify_slice(&mac).map_err(|_| Unsealed::BadMac)?;
        serde_json::from_str(json).map_err(|_| Unsealed::BadRecord)
    }

    /// What one side shows the other on the Worker's own routes.
    #[must_use]
    pub fn ingress_token(&self) -> &str {
        &self.0[0].ingress
    }

    /// Whether this is the ingress token of one of the secrets, in constant time.
    #[must_use]
    pub fn admits(&self, token: &str) -> bool {
        self.0.iter().fold(false, |admitted, secret| admitted | secret.matches(&secret.ingress, token))
    }

    /// What the Worker shows the control plane when it tells how keys were used.
    #[must_use]
    pub fn usage_token(&self) -> &str {
        &self.0[0].usage
    }

    /// Whether this is the usage token of one of the secrets, in constant time.
    #[must_use]
    pub fn admits_usage(&self, token: &str) -> bool {
        self.0.iter().fold(false, |admitted, secret| admitted | secret.matches(&secret.usage, token))
    }

    /// What the Worker shows the control plane when it passes on a request, and says whose it is.
    #[must_use]
    pub fn forwarding_token(&self) -> &str {
        &self.0[0].forwarding
    }

    /// Whether this is the forwarding token of one of the secrets, in constant time.
    #[must_use]
    pub fn admits_forwarding(&self, token: &str) -> bool {
        self.0.iter().fold(false, |admitted, secret| admitted | secret.matches(&secret.forwarding, token))
    }
}

impl EdgeSecret {
    fn derive(secret: &str) -> Result<Self, BadEdgeSecret> {
        let hkdf = Hkdf::<Sha256>::new(None, secret.as_bytes());
        let derive = |label: &str, bytes: &mut [u8]| hkdf.expand(label.as_bytes(), bytes).map_err(|_| BadEdgeSecret);
        let (mut id, mut record_mac) = ([0; 6], [0; 32]);
        let (mut ingress, mut usage, mut forwarding) = ([0; 32], [0; 32], [0; 32]);
        derive("latchkey v1 secret id", &mut id)?;
        derive("latchkey v1 record mac", &mut record_mac)?;
        derive("latchkey v1 ingress token", &mut ingress)?;
        derive("latchkey v1 usage token", &mut usage)?;
        derive("latchkey v1 forwarding token", &mut forwarding)?;
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(id),
            record_mac: Hmac::new_from_slice(&record_mac).map_err(|_| BadEdgeSecret)?,
            ingress: URL_SAFE_NO_PAD.encode(ingress),
            usage: URL_SAFE_NO_PAD.encode(usage),
            forwarding: URL_SAFE_NO_PAD.encode(forwarding),
        })
    }

    fn mac(&self, key: &str, json: &str) -> Hmac<Sha256> {
        // The zero byte cannot stand in a KV key, so no other pair has the same bytes.
        self.record_mac.clone().chain_update(key).chain_update([0]).chain_update(json)
    }

    /// Compares MACs of both, so that how long it takes says nothing of where they differ.
    fn matches(&self, own: &str, token: &str) -> bool {
        let given = self.record_mac.clone().chain_update(token).finalize().into_bytes();
        self.record_mac.clone().chain_update(own).verify_slice(&given).is_ok()
    }
}
