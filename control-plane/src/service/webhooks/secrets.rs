//! The secrets that sign webhooks, encrypted.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use shared::{Timestamp, entropy::Entropy, id::WebhookEndpointId};

use crate::{
    encryption::{EncryptionKey, KeyError, KeyId, SealedWith},
    service::{Error, Refusal, Result},
    storage::{
        self, Conn, Db,
        webhook_endpoints::{self as rows, WebhookEndpoint},
    },
    webhooks::{secret::WebhookSecret, signature::SigningSecrets},
};

/// What secrets are encrypted for.
const PURPOSE: &str = "webhook secret";
/// How many endpoints are read at once.
const PAGE: i64 = 100;

/// Encrypts the secret of an endpoint.
pub(super) fn seal(
    encryption: &EncryptionKey,
    id: &WebhookEndpointId,
    secret: &WebhookSecret,
    entropy: &mut impl Entropy,
) -> Result<Vec<u8>> {
    let sealed = encryption.seal(PURPOSE, id.as_str(), secret.expose().as_bytes(), entropy);
    sealed.map_err(|error| match error {
        KeyError::NotConfigured => Refusal::EncryptionKeyRequired.into(),
        KeyError::FileUnreadable { .. } | KeyError::FileMalformed { .. } | KeyError::FileNotCreated { .. } => {
            tracing::error!(%error, "cannot use the encryption key");
            Refusal::EncryptionKeyUnusable.into()
        }
        error => Error::Internal(error.into()),
    })
}

/// Whether the secret of an endpoint can be decrypted.
pub(super) fn is_readable(encryption: &EncryptionKey, id: &WebhookEndpointId, sealed: &[u8]) -> bool {
    encryption.open(PURPOSE, id.as_str(), sealed).is_ok()
}

/// The secrets of an endpoint that are valid now.
///
/// # Errors
/// If the current one cannot be decrypted.
pub fn signing_secrets(
    endpoint: &WebhookEndpoint,
    encryption: &EncryptionKey,
    now: Timestamp,
) -> anyhow::Result<SigningSecrets> {
    let open = |sealed: &[u8]| {
        let text = encryption.open(PURPOSE, endpoint.id.as_str(), sealed)?;
        let text = std::str::from_utf8(text.expose_secret())?;
        WebhookSecret::parse(text).ok_or_else(|| anyhow::anyhow!("the stored secret has another form"))
    };
    // One that cannot be read any more is no reason not to sign with the other.
    let previous = valid_previous(endpoint, now).and_then(|sealed| open(sealed).ok());
    Ok(SigningSecrets { current: open(&endpoint.secret)?, previous })
}

fn valid_previous(endpoint: &WebhookEndpoint, now: Timestamp) -> Option<&[u8]> {
    let is_valid = endpoint.previous_secret_expires_at.is_some_and(|at| at > now);
    endpoint.previous_secret.as_deref().filter(|_| is_valid)
}

/// How all secrets are encrypted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SecretsInspection {
    /// How many are encrypted with the current key.
    pub with_current: u64,
    /// How many are encrypted with the previous key.
    pub with_previous: u64,
    /// How many are encrypted with each key that is not configured.
    pub with_unknown: BTreeMap<KeyId, u64>,
    /// The endpoints with a secret that no key decrypts.
    pub damaged: Vec<WebhookEndpointId>,
}

/// Decrypts every secret that is valid now, and counts.
///
/// # Errors
/// If the database fails.
pub async fn inspect_secrets(
    mut conn: Conn<'_>,
    encryption: &EncryptionKey,
    now: Timestamp,
) -> storage::Result<SecretsInspection> {
    let mut inspection = SecretsInspection::default();
    let mut after = None;
    loop {
        let endpoints = rows::all_after(conn.reborrow(), after.as_ref(), PAGE).await?;
        let Some(last) = endpoints.last() else { return Ok(inspection) };
        after = Some(last.id.clone());
        for endpoint in &endpoints {
            let previous = valid_previous(endpoint, now);
            for sealed in [Some(&endpoint.secret[..]), previous].into_iter().flatten() {
                match encryption.sealed_with(PURPOSE, endpoint.id.as_str(), sealed) {
                    SealedWith::Current => inspection.with_current += 1,
                    SealedWith::Previous => inspection.with_previous += 1,
                    SealedWith::Unknown(key) => *inspection.with_unknown.entry(key).or_default() += 1,
                    SealedWith::Nothing => inspection.damaged.push(endpoint.id.clone()),
                }
            }
        }
    }
}

/// Encrypts with the current key each secret that was encrypted with the previous one, and returns how many those were.
///
/// # Errors
/// If the encryption key cannot be used, or the database fails.
pub async fn reencrypt_secrets(db: &Db, encryption: &EncryptionKey, entropy: &mut impl Entropy) -> anyhow::Result<u64> {
    let mut reencrypted = 0;
    let mut after = None;
    loop {
        let endpoints = rows::all_after(db.read().await?.conn(), after.as_ref(), PAGE).await?;
        let Some(last) = endpoints.last() else { return Ok(reencrypted) };
        after = Some(last.id.clone());
        for WebhookEndpoint { id, environment_id, .. } in &endpoints {
            let mut transaction = db.write().await?;
            let Some(endpoint) = rows::lock(transaction.conn(), environment_id, id).await? else { continue };
            let mut reseal = |sealed: &[u8]| match encryption.sealed_with(PURPOSE, id.as_str(), sealed) {
                SealedWith::Previous => {
                    let plain = encryption.open(PURPOSE, id.as_str(), sealed)?;
                    encryption.seal(PURPOSE, id.as_str(), plain.expose_secret(), entropy).map(Some)
                }
                _ => Ok(None),
            };
            let secret = reseal(&endpoint.secret)?;
            let previous = endpoint.previous_secret.as_deref().map(reseal).transpose()?.flatten();
            if secret.is_some() || previous.is_some() {
                reencrypted += u64::from(secret.is_some()) + u64::from(previous.is_some());
                let secret = secret.unwrap_or(endpoint.secret);
                rows::set_sealed(transaction.conn(), id, &secret, previous.or(endpoint.previous_secret).as_deref())
                    .await?;
                transaction.commit().await?;
            }
        }
    }
}
