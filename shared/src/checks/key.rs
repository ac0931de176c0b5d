use proptest::prelude::*;
use serde::Deserialize;

use super::{
    Outcome,
    arbitrary::{self, Counting},
    ensure, equal, property, vectors,
};
use crate::{
    digest::{self, Digest, KvKey},
    entropy::Entropy,
    id::EnvironmentId,
    key::{self, BadPrefix, KeyText, MANAGEMENT_PREFIX, Prefix},
};

const GOLDEN: &str = include_str!("../../testdata/keys.json");
const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[derive(Deserialize)]
struct Golden {
    generated: Vec<Generated>,
    texts: Vec<Text>,
    prefixes: Prefixes,
    recognised: Vec<Recognised>,
    stored_under: Vec<Place>,
    no_places: Vec<String>,
}

#[derive(Deserialize)]
struct Generated {
    prefix: String,
    first_byte: u8,
    text: String,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    prefix: Option<String>,
    mask: String,
    digest: String,
}

#[derive(Deserialize)]
struct Prefixes {
    good: Vec<String>,
    taken: Vec<String>,
    reserved: Vec<String>,
    bad: Vec<String>,
}

#[derive(Deserialize)]
struct Recognised {
    text: String,
    prefixes: Vec<Prefix>,
    accepts_foreign: bool,
    recognised: bool,
}

#[derive(Deserialize)]
struct Place {
    environment: EnvironmentId,
    text: String,
    api_key: String,
    management_key: String,
}

fn generate(prefix: &str, entropy: &mut impl Entropy) -> Result<KeyText, String> {
    if prefix == MANAGEMENT_PREFIX {
        return Ok(KeyText::generate_management(entropy));
    }
    let prefix = prefix.parse().map_err(|bad: BadPrefix| format!("{prefix}: {bad}"))?;
    Ok(KeyText::generate(&prefix, entropy))
}

pub fn golden_generated() -> Outcome {
    vectors::<Golden>(GOLDEN)?.generated.iter().try_for_each(|vector| {
        let text = generate(&vector.prefix, &mut Counting(vector.first_byte))?;
        equal(&vector.prefix, text.expose(), &vector.text)
    })
}

pub fn golden_texts() -> Outcome {
    vectors::<Golden>(GOLDEN)?.texts.iter().try_for_each(|vector| {
        let text = vector.text.as_str();
        equal(text, key::parse(text).ok(), vector.prefix.as_deref())?;
        equal(text, key::mask(text), vector.mask.clone())?;
        let digest = Digest::of(text);
        equal(text, digest.to_string(), vector.digest.clone())?;
        equal(text, Digest::from_bytes(digest.as_bytes()), Some(digest))
    })
}

pub fn golden_prefixes() -> Outcome {
    let prefixes = vectors::<Golden>(GOLDEN)?.prefixes;
    for text in &prefixes.good {
        let prefix = text.parse::<Prefix>().map_err(|bad| format!("{text}: {bad}"))?;
        equal(text, prefix.as_str(), text)?;
        equal(text, prefix.is_taken(), prefixes.taken.contains(text))?;
    }
    for text in &prefixes.taken {
        equal(text, text.parse::<Prefix>().map(|prefix| prefix.is_taken()), Ok(true))?;
    }
    for text in &prefixes.reserved {
        equal(text, text.parse::<Prefix>(), Err(BadPrefix::Reserved))?;
    }
    prefixes.bad.iter().try_for_each(|text| equal(text, text.parse::<Prefix>(), Err(BadPrefix::Shape)))
}

pub fn golden_recognised() -> Outcome {
    vectors::<Golden>(GOLDEN)?.recognised.iter().try_for_each(|vector| {
        let found = key::recognise(&vector.text, &vector.prefixes, vector.accepts_foreign).is_ok();
        equal(&vector.text, found, vector.recognised)
    })
}

pub fn golden_places() -> Outcome {
    let Golden { stored_under, no_places, .. } = vectors(GOLDEN)?;
    stored_under.iter().try_for_each(|vector| {
        let digest = Digest::of(&vector.text);
        equal(&vector.text, KvKey::api_key(&vector.environment, &digest).as_str(), &vector.api_key)?;
        equal(&vector.text, KvKey::management_key(&digest).as_str(), &vector.management_key)?;
        let of_api_key = digest::Place::of_api_key(&vector.environment, &digest);
        equal(&vector.text, of_api_key, digest::Place::of(&vector.api_key))?;
        equal(&vector.text, digest::Place::of_management_key(&digest), digest::Place::of(&vector.management_key))?;
        let place = (vector.environment.clone(), digest);
        equal(&vector.text, KvKey::parse_api_key(&vector.api_key), Some(place))?;
        equal(&vector.text, KvKey::parse_management_key(&vector.management_key), Some(digest))?;
        equal(&vector.text, KvKey::parse_api_key(&vector.management_key), None)?;
        equal(&vector.text, KvKey::parse_management_key(&vector.api_key), None)
    })?;
    no_places.iter().try_for_each(|name| {
        equal(name, KvKey::parse_api_key(name), None)?;
        equal(name, KvKey::parse_management_key(name), None)
    })
}

pub fn a_new_key_is_a_key() -> Outcome {
    property((arbitrary::prefix(), any::<u8>()), |(prefix, first_byte)| {
        let text = KeyText::generate(&prefix, &mut Counting(first_byte));
        equal("its length", text.expose().len(), prefix.as_str().len() + 1 + 32 + 6)?;
        equal("its prefix", key::parse(text.expose()), Ok(prefix.as_str()))?;
        equal("its environment", key::recognise(text.expose(), &[prefix], false), Ok(()))
    })
}

pub fn a_changed_character_is_noticed() -> Outcome {
    let other = prop_oneof![any::<char>(), proptest::sample::select(ALPHABET.chars().collect::<Vec<_>>())];
    property((arbitrary::key(), arbitrary::place(), other), |(text, place, other)| {
        let at = place.index(text.len());
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        ensure("refused", changed == text || key::parse(&changed).is_err())
    })
}

pub fn a_cut_is_noticed() -> Outcome {
    property((arbitrary::key(), arbitrary::place()), |(text, place)| {
        let at = place.index(text.len());
        ensure("the beginning alone", key::parse(&text[..at]).is_err())?;
        ensure("the end alone", at == 0 || key::parse(&text[at..]).is_err())?;
        ensure("one character less", key::parse(&format!("{}{}", &text[..at], &text[at + 1..])).is_err())
    })
}

pub fn swapped_neighbours_are_noticed() -> Outcome {
    property((arbitrary::key(), arbitrary::place()), |(text, place)| {
        let mut characters: Vec<char> = text.chars().collect();
        let at = place.index(characters.len() - 1);
        characters.swap(at, at + 1);
        let swapped = String::from_iter(characters);
        ensure("refused", swapped == text || key::parse(&swapped).is_err())
    })
}

/// A generator that is even enough: xorshift over all 64 bits.
struct Even(u64);

impl Entropy for Even {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 32) as u8;
        }
    }
}

pub fn no_character_is_favoured() -> Outcome {
    const KEYS: usize = 2000;
    let mut counts = [0_usize; 128];
    let mut entropy = Even(0x9E37_79B9_7F4A_7C15);
    for _ in 0..KEYS {
        let text = generate("lk_live", &mut entropy)?;
        text.expose()[8..40].bytes().for_each(|b| counts[usize::from(b)] += 1);
    }
    let expected = (KEYS * 32) as f64 / ALPHABET.len() as f64;
    let chi_squared: f64 =
        ALPHABET.bytes().map(|b| (counts[usize::from(b)] as f64 - expected).powi(2) / expected).sum();
    // With 61 degrees of freedom an even draw stays below this in all but one of a hundred thousand; a draw modulo 62
    // comes to about 360.
    ensure(&format!("chi squared of {chi_squared} below 120"), chi_squared < 120.0)?;
    equal("characters of the alphabet", ALPHABET.bytes().map(|b| counts[usize::from(b)]).sum(), KEYS * 32)
}

/// Bytes that were told, and then zeros.
struct Told(Vec<u8>);

impl Entropy for Told {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = if self.0.is_empty() { 0 } else { self.0.remove(0) });
    }
}

pub fn bytes_that_would_favour_are_drawn_again() -> Outcome {
    for byte in 248..=255 {
        let text = generate("lk_live", &mut Told(vec![byte; 100]))?;
        equal(&format!("byte {byte}"), &text.expose()[8..40], &*"0".repeat(32))?;
    }
    for byte in 0..248 {
        let text = generate("lk_live", &mut Told(vec![byte; 32]))?;
        let expected = &ALPHABET[usize::from(byte % 62)..][..1];
        equal(&format!("byte {byte}"), &text.expose()[8..40], &*expected.repeat(32))?;
    }
    Ok(())
}

pub fn a_mask_shows_the_prefix_and_four_characters() -> Outcome {
    property((arbitrary::key(), arbitrary::text()), |(text, other)| {
        let prefix = key::parse(&text).map_err(|_| "the key does not parse")?;
        equal("of ours", key::mask(&text), format!("{prefix}_…{}", &text[text.len() - 4..]))?;
        equal("its prefix", key::mask_prefix(&key::mask(&text)), prefix.parse().ok())?;
        let masked = key::mask(&other);
        equal("no prefix", key::mask_prefix(&masked), None)?;
        let shown = masked.strip_prefix('…').ok_or("of another: no ellipsis")?;
        equal("characters of another", shown.chars().count(), other.chars().count().min(4))?;
        ensure("the end of another", other.ends_with(shown))
    })
}

pub fn any_text_can_be_asked_about() -> Outcome {
    property((arbitrary::text_like_a_key(), arbitrary::prefix()), |(text, prefix)| {
        if let Ok(found) = key::parse(&text) {
            equal("its length", text.len(), found.len() + 39)?;
            ensure("its beginning", text.starts_with(&format!("{found}_")))?;
            equal(
                "its parts again",
                key::recognise(&text, std::slice::from_ref(&prefix), false).is_ok(),
                found == prefix.as_str(),
            )?;
        }
        let graphic = (1..=512).contains(&text.len()) && text.bytes().all(|b| (33..=126).contains(&b));
        equal("a foreign key", key::recognise(&text, &[prefix], true).is_ok(), graphic)
    })
}
