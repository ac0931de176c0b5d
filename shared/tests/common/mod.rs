//! What the model and the simulation of the freshness protocol have in common: a feed in memory, and small records.

use std::collections::BTreeMap;

use shared::{
    Timestamp,
    digest::Place,
    feed::{self, Effect, Entry, Mark, PageEntry, Refusal, Sequence, Status, Store},
    freshness::Stored,
    record::Version,
};

/// The entries of a feed, in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemoryFeed {
    pub status: Option<Status>,
    pub entries: BTreeMap<Place, Entry<Option<Record>>>,
    order: BTreeMap<Sequence, Place>,
}

impl MemoryFeed {
    /// A feed that was never written, or that lost everything.
    pub const fn empty() -> Self {
        Self { status: None, entries: BTreeMap::new(), order: BTreeMap::new() }
    }

    fn in_order(&self) -> impl Iterator<Item = &Entry<Option<Record>>> {
        self.order.values().filter_map(|place| self.entries.get(place))
    }

    fn retain(&mut self, stays: impl Fn(&Entry<Option<Record>>) -> bool) {
        self.entries.retain(|_, entry| stays(entry));
        self.order.retain(|_, place| self.entries.contains_key(place));
    }
}

impl Store for MemoryFeed {
    type Body = Option<Record>;
    type Error = Refusal;

    fn status(&self) -> Result<Option<Status>, Refusal> {
        Ok(self.status)
    }

    fn set_status(&mut self, status: Status) -> Result<(), Refusal> {
        self.status = Some(status);
        Ok(())
    }

    fn entry(&self, place: Place) -> Result<Option<Entry<Option<Record>>>, Refusal> {
        Ok(self.entries.get(&place).cloned())
    }

    fn put(&mut self, entry: Entry<Option<Record>>) -> Result<(), Refusal> {
        self.order.insert(entry.sequence, entry.place);
        if let Some(there) = self.entries.insert(entry.place, entry.clone())
            && there.sequence != entry.sequence
        {
            self.order.remove(&there.sequence);
        }
        Ok(())
    }

    fn after(&self, sequence: Sequence, weight: u64) -> Result<Vec<PageEntry>, Refusal> {
        let page_entry = |place| {
            let Entry { sequence, place, version, mark, .. } = self.entries.get(place)?;
            Some(Ok(PageEntry { sequence: *sequence, place: *place, version: *version, mark: mark.clone() }))
        };
        let places = self.order.range(sequence + 1..).map(|(_, place)| place);
        feed::up_to_weight(places.filter_map(page_entry), weight)
    }

    fn weight(&self) -> Result<u64, Refusal> {
        Ok(self.entries.values().map(|entry| entry.mark.weight()).sum())
    }

    fn lowest_kept_beyond(&self, moment: Timestamp) -> Result<Option<Sequence>, Refusal> {
        Ok(self.in_order().find(|entry| entry.kept_until > moment).map(|entry| entry.sequence))
    }

    fn remove_below(&mut self, sequence: Sequence) -> Result<Option<Sequence>, Refusal> {
        let removed = self.order.range(..sequence).next_back().map(|(sequence, _)| *sequence);
        self.retain(|entry| entry.sequence >= sequence);
        Ok(removed)
    }

    fn remove_creations_until(&mut self, moment: Timestamp) -> Result<(), Refusal> {
        self.retain(|entry| entry.mark != Mark::Created || entry.kept_until > moment);
        Ok(())
    }
}

/// A record, as far as freshness goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    pub version: Version,
    pub sealed_at: Timestamp,
    /// Whether it would be accepted, if nothing newer were known.
    pub good: bool,
    /// What it depends on, and the generation of that when it was sealed.
    pub scope: Option<(Place, Version)>,
}

impl Stored for Record {
    fn version(&self) -> Version {
        self.version
    }

    fn sealed_at(&self) -> Timestamp {
        self.sealed_at
    }

    fn is_final(&self) -> bool {
        // Here a key that is refused may be accepted again.
        false
    }

    fn weight(&self) -> usize {
        1
    }

    fn scopes(&self) -> Vec<(Place, Version)> {
        self.scope.into_iter().collect()
    }

    fn subject_to(&mut self, _: Place, _: &Effect) {
        self.good = false;
    }
}
