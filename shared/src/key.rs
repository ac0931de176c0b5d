//! The text of a key: `<prefix>_<32 base62 characters><6 base62 characters of CRC-32>`.
//!
//! The 32 characters are 190 bits. The checksum covers all that stands before it, so a typo or a truncated copy is
//! refused without a look-up. It is no proof of anything: whoever can count can forge it.

use std::{fmt, str::FromStr};

use crc::{CRC_32_ISO_HDLC, Crc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::entropy::Entropy;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LENGTH: usize = 32;
const CHECKSUM_LENGTH: usize = 6;
const PREFIX_MAX_LENGTH: usize = 24;

/// CRC-32 as in gzip.
static CRC_32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The longest text that any key can have, imported ones included.
pub const MAX_LENGTH: usize = 512;

/// The prefix of every management key. No environment can have it.
pub const MANAGEMENT_PREFIX: &str = "mk";

/// What secret scanners already know as somebody else's, and what would be mistaken for it.
const TAKEN_PREFIXES: &[&str] = &[
    "ghp",
    "gho",
    "ghu",
    "ghs",
    "ghr",
    "github_pat",
    "glpat",
    "npm",
    "pypi",
    "sk",
    "sk_live",
    "sk_test",
    "pk_live",
    "pk_test",
    "rk_live",
    "rk_test",
    "whsec",
    "xoxb",
    "xoxp",
    "xapp",
    "hf",
    "dop_v1",
    "shpat",
    "shpss",
    "r8",
    "re",
];

/// What stands before the last underscore of a key: `[a-z][a-z0-9_]{0,22}[a-z0-9]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "server", derive(sqlx::Type), sqlx(transparent))]
pub struct Prefix(String);

/// Why a text cannot be a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPrefix {
    /// It has the wrong characters or length.
    #[error(
        "a key prefix must have 2 to 24 lowercase letters, digits and underscores, begin with a letter and end with a \
         letter or digit"
    )]
    Shape,
    /// It is that of management keys.
    #[error("the key prefix `mk` is reserved for management keys")]
    Reserved,
}

impl Prefix {
    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether secret scanners take keys of this prefix for another company's.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        TAKEN_PREFIXES.contains(&self.0.as_str())
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        if text == MANAGEMENT_PREFIX {
            return Err(BadPrefix::Reserved);
        }
        if has_prefix_shape(text) { Ok(Self(text.to_owned())) } else { Err(BadPrefix::Shape) }
    }
}

impl TryFrom<String> for Prefix {
    type Error = BadPrefix;

    fn try_from(text: String) -> Result<Self, BadPrefix> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn has_prefix_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    (2..=PREFIX_MAX_LENGTH).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'_'
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
}

/// A whole key, in the clear. It can be neither printed nor serialized by accident; [`KeyText::expose`] is the one way out.
pub struct KeyText(SecretString);

impl KeyText {
    /// A new customer key.
    pub fn generate(prefix: &Prefix, entropy: &mut impl Entropy) -> Self {
        Self::with_prefix(prefix.as_str(), entropy)
    }

    /// A new management key.
    pub fn generate_management(entropy: &mut impl Entropy) -> Self {
        Self::with_prefix(MANAGEMENT_PREFIX, entropy)
    }

    fn with_prefix(prefix: &str, entropy: &mut impl Entropy) -> Self {
        let mut text = String::with_capacity(prefix.len() + 1 + RANDOM_LENGTH + CHECKSUM_LENGTH);
        text.push_str(prefix);
        text.push('_');
        push_random(&mut text, entropy);
        let checksum = checksum(&text);
        text.extend(checksum.iter().map(|&b| char::from(b)));
        Self(text.into())
    }

    /// The text itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Draws characters without favouring any: a byte from 248 on would make the first eight likelier, so it is drawn again.
fn push_random(text: &mut String, entropy: &mut impl Entropy) {
    const UNBIASED: u8 = (256 / ALPHABET.len() * ALPHABET.len()) as u8;
    let end = text.len() + RANDOM_LENGTH;
    let mut bytes = [0; RANDOM_LENGTH];
    while text.len() < end {
        entropy.fill(&mut bytes);
        let fair = bytes.iter().filter(|&&b| b < UNBIASED);
        text.extend(fair.take(end - text.len()).map(|&b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])));
    }
}

fn checksum(text: &str) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = CRC_32.checksum(text.as_bytes()) as usize;
    let mut digits = [ALPHABET[0]; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % ALPHABET.len()];
        rest /= ALPHABET.len();
    }
    digits
}

/// The text is not of the shape of a key: mistyped, cut short, or something else altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key")]
pub struct Malformed;

/// Checks the shape and the checksum of a key, and returns its prefix.
pub fn parse(text: &str) -> Result<&str, Malformed> {
    let (prefix, body) = text.rsplit_once('_').ok_or(Malformed)?;
    let well_shaped = body.len() == RANDOM_LENGTH + CHECKSUM_LENGTH
        && body.bytes().all(|b| b.is_ascii_alphanumeric())
        && has_prefix_shape(prefix);
    if !well_shaped {
        return Err(Malformed);
    }
    let (covered, given) = text.split_at(text.len() - CHECKSUM_LENGTH);
    if checksum(covered) == given.as_bytes() { Ok(prefix) } else { Err(Malformed) }
}

/// The longest text of a caller's that errors repeat: too short to be a key.
pub const REPEATED_MAX: usize = 20;

/// Whether something in the text looks like one of our keys, whatever its checksum, or like the better part of one: many letters
/// and digits, of both cases. The Worker's `request_id.js` has the same rule.
#[must_use]
pub fn is_within(text: &str) -> bool {
    const PART_LENGTH: usize = 30;
    let is_part = |word: &str| {
        word.len() >= PART_LENGTH
            && word.bytes().any(|b| b.is_ascii_lowercase())
            && word.bytes().any(|b| b.is_ascii_uppercase())
    };
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_part) || has_shape_of_key(text)
}

fn has_shape_of_key(text: &str) -> bool {
    text.match_indices('_').any(|(at, _)| {
        let (prefix, rest) = text.as_bytes().split_at(at);
        let follows_prefix = prefix.last().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let length = rest[1..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        follows_prefix && length == RANDOM_LENGTH + CHECKSUM_LENGTH
    })
}

/// Whether the text can be a key of an environment with these prefixes at all. What cannot be is refused unseen.
pub fn recognise(text: &str, prefixes: &[Prefix], accepts_foreign: bool) -> Result<(), Malformed> {
    let ours = parse(text).is_ok_and(|prefix| prefixes.iter().any(|p| p.as_str() == prefix));
    let foreign =
        accepts_foreign && (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if ours || foreign { Ok(()) } else { Err(Malformed) }
}

/// The prefix of the key that is shown so. `None` if its shape is not ours.
#[must_use]
pub fn mask_prefix(mask: &str) -> Option<Prefix> {
    let (prefix, _) = mask.split_once("_…")?;
    prefix.parse().ok()
}

/// What a person may see of a key for ever: `<prefix>_…<last 4>`, or `…<last 4>` of one whose shape is not ours, since
/// nobody knows which part of it is secret.
#[must_use]
pub fn mask(text: &str) -> String {
    let prefix = parse(text).map_or("", |prefix| &text[..=prefix.len()]);
    let start = text.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    format!("{prefix}…{}", &text[start..])
}
