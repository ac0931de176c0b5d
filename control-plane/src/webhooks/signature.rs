//! The headers that prove to a receiver who sent a delivery, and when.
//!
//! | header | value | signed | key |
//! | --- | --- | --- | --- |
//! | `webhook-id` | the id of the event | | |
//! | `webhook-timestamp` | seconds since 1970 | | |
//! | `webhook-signature` | `v1,<base64>` per valid secret | `id.timestamp.body` | the decoded base64 of the secret |
//! | `workos-signature` | `t=<milliseconds>, v1=<hex>` | `t.body` | the whole text of the secret |
//!
//! The first three are those of Standard Webhooks, the last is for clients of WorkOS. All signatures are HMAC-SHA-256.

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use shared::Timestamp;

use super::secret::WebhookSecret;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const WORKOS_SIGNATURE: HeaderName = HeaderName::from_static("workos-signature");

/// The secrets of an endpoint that are valid now.
#[derive(Debug, Clone)]
pub struct SigningSecrets {
    /// The newest secret.
    pub current: WebhookSecret,
    /// The secret before it, as long as the overlap of a rotation lasts.
    pub previous: Option<WebhookSecret>,
}

/// Signs one attempt. A later attempt has the same id and body, and a new time and new signatures, because receivers
/// refuse old ones.
///
/// # Errors
/// If the id has a character that a header cannot hold.
pub fn sign(event_id: &str, now: Timestamp, body: &[u8], secrets: &SigningSecrets) -> anyhow::Result<HeaderMap> {
    let seconds = timestamp(now);
    let mut headers = HeaderMap::new();
    headers.insert(WEBHOOK_ID, header_value(event_id)?);
    headers.insert(WEBHOOK_TIMESTAMP, header_value(&seconds)?);
    let standard = standard_signatures(event_id, &seconds, body, secrets)?;
    headers.insert(WEBHOOK_SIGNATURE, sensitive(header_value(&standard)?));
    headers.insert(WORKOS_SIGNATURE, sensitive(header_value(&workos_signature(now, body, secrets)?)?));
    Ok(headers)
}

/// The value of `webhook-timestamp` for an attempt at this time.
#[must_use]
pub fn timestamp(at: Timestamp) -> String {
    at.as_millis().div_euclid(1000).to_string()
}

/// A receiver accepts a delivery if any of the signatures is by the secret that it knows.
fn standard_signatures(id: &str, seconds: &str, body: &[u8], secrets: &SigningSecrets) -> anyhow::Result<String> {
    let signatures: anyhow::Result<Vec<String>> = [Some(&secrets.current), secrets.previous.as_ref()]
        .into_iter()
        .flatten()
        .map(|secret| {
            let parts = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
            Ok(format!("v1,{}", STANDARD.encode(hmac_sha256(secret.key(), &parts)?)))
        })
        .collect();
    Ok(signatures?.join(" "))
}

/// There is only one `v1`: given two, WorkOS's client for Node reads the first, and the one for Python refuses. The
/// previous secret makes it, because that is the one that receivers know when a rotation begins.
///
/// The clients split the value at a comma and a space, so both are needed.
fn workos_signature(now: Timestamp, body: &[u8], secrets: &SigningSecrets) -> anyhow::Result<String> {
    let secret = secrets.previous.as_ref().unwrap_or(&secrets.current);
    let millis = now.as_millis().to_string();
    let mac = hmac_sha256(secret.expose().as_bytes(), &[millis.as_bytes(), b".", body])?;
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("t={millis}, v1={hex}"))
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> anyhow::Result<[u8; 32]> {
    let hmac = Hmac::<Sha256>::new_from_slice(key).context("the webhook secret cannot be a key")?;
    Ok(parts.iter().fold(hmac, |hmac, part| hmac.chain_update(part)).finalize().into_bytes().into())
}

fn header_value(text: &str) -> anyhow::Result<HeaderValue> {
    HeaderValue::from_str(text).context("the event id has a character that an HTTP header cannot hold")
}

/// HTTP libraries leave sensitive values out of what they log.
fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret, id, time and body of the examples that the libraries of Standard Webhooks are tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_123);
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    /// 24 bytes of 7.
    const PREVIOUS: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

    fn secrets(current: &str, previous: Option<&str>) -> SigningSecrets {
        let parse = |text| WebhookSecret::parse(text).unwrap();
        SigningSecrets { current: parse(current), previous: previous.map(parse) }
    }

    fn headers(secrets: &SigningSecrets) -> Vec<(String, String)> {
        let headers = sign(ID, NOW, BODY, secrets).unwrap();
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    // The WorkOS values were computed with Python's `hmac`.
    #[test]
    fn one_secret_signs_as_published() {
        let expected = [
            ("webhook-id", ID),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            (
                "workos-signature",
                "t=1614265330123, v1=c29b7a4feff7191ee68a473cd75189622479fda0a46ea2c702973e953c2b6f6a",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers(&secrets(SECRET, None)), expected);
    }

    #[test]
    fn two_secrets_make_two_standard_signatures_and_one_workos_signature_by_the_previous() {
        let headers = headers(&secrets(SECRET, Some(PREVIOUS)));
        assert_eq!(
            headers[2].1,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,n+3FEHUk3SEPes8OkJLzz5oNeY7dNUg973c0p9vd8Jo="
        );
        assert_eq!(
            headers[3].1,
            "t=1614265330123, v1=bc7660376fd3776d9615e2c4b5f736c9e8ead2660a2e7d3e1a953ef83837f7e7"
        );
    }

    #[test]
    fn empty_body_is_signed() {
        let headers = sign(ID, NOW, b"", &secrets(SECRET, None)).unwrap();
        assert_eq!(headers[WEBHOOK_SIGNATURE], "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=");
    }

    #[test]
    fn signatures_are_hidden_in_debug_output() {
        let debug = format!("{:?}", sign(ID, NOW, BODY, &secrets(SECRET, None)).unwrap());
        assert!(!debug.contains("g0hM9SsE") && !debug.contains("c29b7a4f"), "{debug}");
    }

    #[test]
    fn id_that_a_header_cannot_hold_is_an_error() {
        assert!(sign("event\n1", NOW, BODY, &secrets(SECRET, None)).is_err());
    }
}
