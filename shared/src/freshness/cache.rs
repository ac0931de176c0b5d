//! The records that an isolate keeps at hand.

use hashlink::LinkedHashMap;

use super::{Limits, Stored};
use crate::{
    digest::{Place, PlaceHash},
    record::Version,
};

/// A decoded record, and what it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cached<R> {
    record: R,
    scopes: Box<[(Place, Version)]>,
    weight: usize,
}

/// The decoded records that were used most recently.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Cache<R> {
    records: LinkedHashMap<Place, Cached<R>, PlaceHash>,
    weight: usize,
}

impl<R: Stored> Cache<R> {
    pub(super) fn new() -> Self {
        Self { records: LinkedHashMap::default(), weight: 0 }
    }

    /// The record, which is the most recently used one now.
    pub(super) fn used(&mut self, place: Place) -> Option<&R> {
        self.records.to_back(&place).map(|cached| &cached.record)
    }

    pub(super) fn insert(&mut self, place: Place, record: R, scopes: Vec<(Place, Version)>, limits: &Limits) {
        let weight = record.weight() + scopes.len() * size_of::<(Place, Version)>();
        self.remove_if(place, |_| true);
        self.weight += weight;
        self.records.insert(place, Cached { record, scopes: scopes.into(), weight });
        while self.records.len() > limits.records || self.weight > limits.record_bytes {
            let Some((_, oldest)) = self.records.pop_front() else { break };
            self.weight -= oldest.weight;
        }
    }

    pub(super) fn remove_if(&mut self, place: Place, condition: impl Fn(&R) -> bool) {
        if self.records.get(&place).is_some_and(|cached| condition(&cached.record))
            && let Some(removed) = self.records.remove(&place)
        {
            self.weight -= removed.weight;
        }
    }

    /// Removes those that depend on this scope in a generation before this one.
    pub(super) fn remove_below(&mut self, scope: Place, generation: Version) {
        let depends = |(of, sealed_in): &(Place, Version)| *of == scope && *sealed_in < generation;
        let Self { records, weight } = self;
        records.retain(|_, cached| {
            let stays = !cached.scopes.iter().any(depends);
            *weight -= if stays { 0 } else { cached.weight };
            stays
        });
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.weight = 0;
    }
}
