//! The secret of a webhook endpoint: `whsec_` and standard base64 of random bytes, the format of Standard Webhooks.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use shared::entropy::Entropy;

const PREFIX: &str = "whsec_";
/// 24 bytes are 32 characters of base64 without padding. Some clients refuse padding.
const RANDOM_BYTES: usize = 24;
/// How many bytes Standard Webhooks lets a secret have.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;
const MASKED_LENGTH: usize = 4;

/// A secret that signs deliveries. It cannot be printed or serialized; only [`expose`](Self::expose) gives its text.
#[derive(Debug, Clone)]
pub struct WebhookSecret {
    text: SecretString,
    /// The bytes that the base64 stands for, so that signing cannot fail.
    key: SecretSlice<u8>,
}

impl WebhookSecret {
    /// Generates a new secret.
    #[must_use]
    pub fn generate(entropy: &mut impl Entropy) -> Self {
        let mut key = vec![0; RANDOM_BYTES];
        entropy.fill(&mut key);
        let text = format!("{PREFIX}{}", STANDARD.encode(&key));
        Self { text: text.into(), key: key.into() }
    }

    /// Reads a stored secret. `None` if the text is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let has_length = (BYTES_MIN..=BYTES_MAX).contains(&key.len());
        has_length.then(|| Self { text: text.into(), key: key.into() })
    }

    /// The whole text, to store it or to show it to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The key of Standard Webhooks signatures.
    pub(super) fn key(&self) -> &[u8] {
        self.key.expose_secret()
    }

    /// A short text by which people can tell secrets apart: `whsec_…abcd`.
    #[must_use]
    pub fn masked(&self) -> String {
        let text = self.expose();
        let end = text.len().checked_sub(MASKED_LENGTH).and_then(|start| text.get(start..));
        format!("{PREFIX}…{}", end.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use shared::entropy::Repeating;

    use super::*;

    #[test]
    fn generated_secret_is_24_bytes_of_base64_without_padding() {
        let secret = WebhookSecret::generate(&mut Repeating(0xFB));
        assert_eq!(secret.expose(), "whsec_+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7");
        assert_eq!(secret.key(), [0xFB; 24]);
    }

    #[test]
    fn generated_secret_can_be_reopened() {
        let secret = WebhookSecret::generate(&mut Repeating(7));
        let reopened = WebhookSecret::parse(secret.expose()).unwrap();
        assert_eq!((reopened.expose(), reopened.key()), (secret.expose(), secret.key()));
    }

    #[test]
    fn text_that_is_no_secret_is_refused() {
        let of_length = |length| format!("whsec_{}", STANDARD.encode(vec![1; length]));
        for text in [
            "",
            "whsec_",
            "whsec_é",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
            &of_length(23),
            &of_length(65),
        ] {
            assert!(WebhookSecret::parse(text).is_none(), "{text}");
        }
        for length in [24, 32, 48, 64] {
            assert!(WebhookSecret::parse(&of_length(length)).is_some(), "{length}");
        }
    }

    #[test]
    fn masked_secret_shows_the_last_four_characters() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(secret.masked(), "whsec_\u{2026}LaSw");
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let secret = WebhookSecret::generate(&mut Repeating(7));
        let debug = format!("{secret:?}");
        assert!(!debug.contains("BwcH") && !debug.contains("7, 7"), "{debug}");
    }
}
