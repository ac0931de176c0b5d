use proptest::prelude::*;
use serde::Deserialize;

use super::{Outcome, arbitrary, ensure, equal, property, vectors};
use crate::{
    digest::{Digest, KvKey},
    record::Record,
    seal::{BadEdgeSecret, EdgeSecrets, Unsealed},
};

const GOLDEN: &str = include_str!("../../testdata/seals.json");
const SECRET: &str = "a secret of 32 characters or more";
const OTHER_SECRET: &str = "another secret that is long enough";

#[derive(Deserialize)]
struct Golden {
    secrets: Vec<Secret>,
    bad_secrets: Vec<String>,
    records: Vec<Sealed>,
}

#[derive(Deserialize)]
struct Secret {
    setting: String,
    id: String,
    ingress_token: String,
    usage_token: String,
    admits_usage: Vec<String>,
    forwarding_token: String,
    admits_forwarding: Vec<String>,
    admits: Vec<String>,
    turns_away: Vec<String>,
}

#[derive(Deserialize)]
struct Sealed {
    name: String,
    secrets: String,
    kv_key: String,
    sealed: String,
    #[serde(flatten)]
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Opens { record: Box<Record>, is_how_we_seal: bool },
    Refused { refused: String },
}

fn secrets(setting: &str) -> Result<EdgeSecrets, String> {
    EdgeSecrets::parse(setting).map_err(|bad| bad.to_string())
}

/// The place with this name.
fn place(name: &str) -> Result<KvKey, String> {
    let api_key = KvKey::parse_api_key(name).map(|(environment, digest)| KvKey::api_key(&environment, &digest));
    let management_key = || KvKey::parse_management_key(name).map(|digest| KvKey::management_key(&digest));
    api_key.or_else(management_key).ok_or_else(|| format!("{name}: not the name of a place"))
}

pub fn golden_secrets() -> Outcome {
    vectors::<Golden>(GOLDEN)?.secrets.iter().try_for_each(|vector| {
        let secrets = secrets(&vector.setting)?;
        let sealed = secrets.seal(&KvKey::management_key(&Digest::of("")), &Record::example());
        equal("the id of the first", sealed.split('.').nth(1), Some(&vector.id))?;
        equal("the token of the first", secrets.ingress_token(), &vector.ingress_token)?;
        equal("the usage token of the first", secrets.usage_token(), &vector.usage_token)?;
        for token in &vector.admits_usage {
            ensure(&format!("admits {token} for usage"), secrets.admits_usage(token) && !secrets.admits(token))?;
        }
        equal("the forwarding token of the first", secrets.forwarding_token(), &vector.forwarding_token)?;
        for token in &vector.admits_forwarding {
            let is_for_nothing_else = !secrets.admits(token) && !secrets.admits_usage(token);
            ensure(&format!("admits {token} for forwarding"), secrets.admits_forwarding(token) && is_for_nothing_else)?;
        }
        ensure("a token is for one use", !secrets.admits_usage(secrets.ingress_token()))?;
        ensure("a token is for one use", !secrets.admits_forwarding(secrets.usage_token()))?;
        vector.admits.iter().try_for_each(|token| ensure(&format!("admits {token}"), secrets.admits(token)))?;
        vector.turns_away.iter().try_for_each(|token| ensure(&format!("turns away {token:?}"), !secrets.admits(token)))
    })
}

pub fn golden_bad_secrets() -> Outcome {
    vectors::<Golden>(GOLDEN)?
        .bad_secrets
        .iter()
        .try_for_each(|setting| equal(setting, EdgeSecrets::parse(setting).err(), Some(BadEdgeSecret)))
}

pub fn golden_records() -> Outcome {
    vectors::<Golden>(GOLDEN)?.records.iter().try_for_each(|vector| {
        let (name, secrets, place) = (&vector.name, secrets(&vector.secrets)?, place(&vector.kv_key)?);
        equal(name, place.as_str(), &vector.kv_key)?;
        let opened = secrets.open(&place, &vector.sealed);
        match &vector.expected {
            Expected::Refused { refused } => {
                equal(name, opened.map_err(|why| format!("{why:?}")), Err(refused.clone()))
            }
            Expected::Opens { record, is_how_we_seal } => {
                equal(name, opened.as_ref(), Ok(&**record))?;
                equal(name, secrets.seal(&place, record) == vector.sealed, *is_how_we_seal)
            }
        }
    })
}

fn kv_key() -> impl Strategy<Value = KvKey> {
    (prop::option::of(arbitrary::environment_id()), arbitrary::key()).prop_map(|(environment, text)| {
        let digest = Digest::of(&text);
        environment.map_or_else(|| KvKey::management_key(&digest), |environment| KvKey::api_key(&environment, &digest))
    })
}

pub fn what_is_sealed_opens() -> Outcome {
    let (new, both) = (secrets(SECRET)?, secrets(&format!("{OTHER_SECRET},{SECRET}"))?);
    property((kv_key(), arbitrary::record()), |(place, record)| {
        let sealed = new.seal(&place, &record);
        equal("with its secret", new.open(&place, &sealed).as_ref(), Ok(&record))?;
        equal("with two secrets", both.open(&place, &sealed).as_ref(), Ok(&record))?;
        equal("sealed again", new.seal(&place, &record), sealed)
    })
}

pub fn a_changed_byte_is_noticed() -> Outcome {
    let secrets = secrets(SECRET)?;
    property((arbitrary::record(), arbitrary::place(), 1..=255_u8), |(record, at, mask)| {
        let place = KvKey::management_key(&Digest::of(&record.name));
        let mut sealed = secrets.seal(&place, &record).into_bytes();
        let at = at.index(sealed.len());
        sealed[at] ^= mask;
        // What is no text any more does not even come as far as this.
        let Ok(changed) = String::from_utf8(sealed) else { return Ok(()) };
        ensure("refused", secrets.open(&place, &changed).is_err())
    })
}

pub fn a_cut_is_noticed() -> Outcome {
    let secrets = secrets(SECRET)?;
    property((arbitrary::record(), arbitrary::place()), |(record, at)| {
        let place = KvKey::management_key(&Digest::of(&record.name));
        let sealed = secrets.seal(&place, &record);
        let (kept, _) = sealed.split_at(sealed.floor_char_boundary(at.index(sealed.len())));
        ensure("refused", secrets.open(&place, kept).is_err())
    })
}

pub fn another_place_is_noticed() -> Outcome {
    let secrets = secrets(SECRET)?;
    property((kv_key(), kv_key(), arbitrary::record()), |(place, other, record)| {
        let opened = secrets.open(&other, &secrets.seal(&place, &record));
        ensure("refused", place == other || opened == Err(Unsealed::BadMac))
    })
}

pub fn another_secret_is_noticed() -> Outcome {
    let (ours, theirs) = (secrets(SECRET)?, secrets(OTHER_SECRET)?);
    property(arbitrary::record(), |record| {
        let place = KvKey::management_key(&Digest::of(&record.name));
        let sealed = theirs.seal(&place, &record);
        equal("as it is", ours.open(&place, &sealed), Err(Unsealed::UnknownSecret))?;
        let id_of = |sealed: &str| sealed.split('.').nth(1).unwrap_or_default().to_owned();
        let relabelled = sealed.replacen(&id_of(&sealed), &id_of(&ours.seal(&place, &record)), 1);
        equal("with our id", ours.open(&place, &relabelled), Err(Unsealed::BadMac))
    })
}

pub fn any_text_can_be_opened() -> Outcome {
    let secrets = secrets(SECRET)?;
    let place = KvKey::management_key(&Digest::of(""));
    let sealed = secrets.seal(&place, &Record::example());
    let parts: Vec<String> = sealed.splitn(4, '.').map(str::to_owned).collect();
    let part = prop_oneof![arbitrary::text(), prop::sample::select(parts)];
    property(prop::collection::vec(part, 0..6), |parts| {
        let text = parts.join(".");
        ensure("refused", text == sealed || secrets.open(&place, &text).is_err())
    })
}

pub fn the_secret_is_not_shown() -> Outcome {
    let both = secrets(&format!("{SECRET},{OTHER_SECRET}"))?;
    let shown = format!("{both:?} {:#?}", both);
    for secret in [SECRET, OTHER_SECRET, both.ingress_token(), both.usage_token()] {
        ensure("hidden", !shown.contains(secret))?;
    }
    Ok(())
}
