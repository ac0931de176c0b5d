use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{Outcome, arbitrary, ensure, equal, property};
use crate::{
    digest::Place,
    feed::{Effect, Epoch, Mark, Page, PageEntry, wire},
    record::Version,
};

/// A page in hexadecimal, made by another program than this: an entry of each kind.
const GOLDEN: &str = "\
    0107000000020000000000000005000000000000000100000000000000012800000000000000040000000003000000000000\
    00a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a10a00000000000000010400000000000000a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2\
    0b00000000000000020500000000000000a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a30c00000000000000030500000000000000\
    a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a40d000000000000001d0000007b22616c6c6f775f6f6e6c79223a5b22706f7374733a\
    72656164225d7d";

fn golden() -> Page {
    let allowed = BTreeSet::from(["posts:read".to_owned()]);
    let marks = [Mark::Created, Mark::Changed, Mark::Revoked, Mark::Scope(Effect::AllowOnly(allowed))];
    let places = [(3, 0xA1), (4, 0xA2), (5, 0xA3), (5, 0xA4)];
    let entries = places.into_iter().zip(marks).zip(10..).map(|(((sequence, byte), mark), version)| PageEntry {
        sequence,
        place: Place([byte; 16]),
        version: Version(version),
        mark,
    });
    let entries = entries.collect();
    Page { epoch: Epoch(7), after: 2, up_to: 5, trimmed: 1, complete: true, age_millis: 40, entries }
}

fn pages() -> impl Strategy<Value = Page> {
    let effect = prop_oneof![
        Just(Effect::Revoke),
        Just(Effect::Disable),
        vec(0..9_u8, 0..3)
            .prop_map(|slugs| Effect::AllowOnly(slugs.iter().map(|slug| format!("slug:{slug}")).collect())),
        arbitrary::role().prop_map(Effect::Role),
    ];
    let mark =
        prop_oneof![Just(Mark::Created), Just(Mark::Changed), Just(Mark::Revoked), effect.prop_map(Mark::Scope),];
    let entry = (any::<u64>(), any::<[u8; 16]>(), any::<i64>(), mark).prop_map(|(sequence, place, version, mark)| {
        PageEntry { sequence, place: Place(place), version: Version(version), mark }
    });
    let head = (any::<u32>(), any::<[u64; 3]>(), any::<bool>(), any::<i64>());
    (head, vec(entry, 0..6)).prop_map(|((epoch, [after, up_to, trimmed], complete, age_millis), entries)| Page {
        epoch: Epoch(epoch),
        after,
        up_to,
        trimmed,
        complete,
        age_millis,
        entries,
    })
}

pub fn golden_pages() -> Outcome {
    let hexadecimal: String = golden().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    equal("the page", hexadecimal.as_str(), GOLDEN)
}

pub fn what_is_encoded_is_decoded() -> Outcome {
    property(pages(), |page| equal("the page", Page::decode(&page.encode()), Some(page.clone())))
}

pub fn a_cut_page_is_noticed() -> Outcome {
    property((pages(), any::<Index>()), |(page, index)| {
        let bytes = page.encode();
        equal("what is left", Page::decode(&bytes[..index.index(bytes.len())]), None)
    })
}

pub fn a_longer_page_is_noticed() -> Outcome {
    property((pages(), any::<u8>()), |(page, byte)| {
        let bytes = [page.encode(), vec![byte]].concat();
        equal("the page", Page::decode(&bytes), None)
    })
}

pub fn any_bytes_can_be_read_as_a_page() -> Outcome {
    property(vec(any::<u8>(), 0..200), |bytes| {
        let read = Page::decode(&bytes).is_none_or(|page| page.entries.len() * wire::ENTRY_BYTES <= bytes.len());
        ensure("no more entries than there are bytes", read)
    })
}

pub fn another_version_of_a_page_is_not_read() -> Outcome {
    let mut bytes = golden().encode();
    bytes[0] += 1;
    equal("the page", Page::decode(&bytes), None)
}

pub fn an_unknown_mark_is_not_read() -> Outcome {
    let page = Page { entries: golden().entries.into_iter().take(1).collect(), ..golden() };
    let mut bytes = page.encode();
    let mark = bytes.len() - wire::ENTRY_BYTES;
    bytes[mark] = 4;
    equal("the page", Page::decode(&bytes), None)
}
