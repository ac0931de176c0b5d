//! Compares Workers KV with the database, in both directions, page by page.
//!
//! Both can change during the comparison. To report no false differences, each page is read in an order in which a key
//! that is published meanwhile is not a difference: the database, then the outbox, then KV. In the other direction KV
//! comes first, because a key is committed before it is published.

use std::collections::{HashMap, HashSet};

use shared::{
    digest::KvKey,
    record::{Grant, Record, Version},
    seal::EdgeSecrets,
};

use super::kv::{self, Kv};
use crate::{
    clock::Clock,
    storage::{
        Db,
        edge_sync::{self, Entry},
        outbox::{self, Kind},
    },
};

/// How many ids of each kind of difference are kept.
const EXAMPLES: usize = 5;

/// What differs in one way.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How many records.
    pub count: u64,
    /// The ids of the first few.
    pub examples: Vec<String>,
}

/// What a comparison found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Keys of the database.
    pub keys: u64,
    /// Records of the store.
    pub records: u64,
    /// Keys that wait in the outbox, and so may differ.
    pub waiting: u64,
    /// Keys without a record.
    pub missing: Difference,
    /// Records that are older than the key, or say something else of it.
    pub stale: Difference,
    /// Records that do not open.
    pub unreadable: Difference,
    /// Records that are newer than the key.
    pub newer: Difference,
    /// Records of no key.
    pub unknown: Difference,
}

impl Report {
    /// What differs, each with its name.
    #[must_use]
    pub const fn differences(&self) -> [(&'static str, &Difference); 5] {
        [
            ("missing", &self.missing),
            ("stale", &self.stale),
            ("unreadable", &self.unreadable),
            ("newer than the database", &self.newer),
            ("unknown to the database", &self.unknown),
        ]
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences().iter().all(|(_, difference)| difference.count == 0)
    }
}

impl Difference {
    fn add(&mut self, id: &str) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(id.to_owned());
        }
    }
}

/// The database and the store, to be compared.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The database.
    pub db: &'a Db,
    /// The clock.
    pub clock: &'a Clock,
    /// The store.
    pub kv: &'a Kv,
    /// What its records are sealed with.
    pub secrets: &'a EdgeSecrets,
}

impl Comparison<'_> {
    /// Compares, and tells after each page how many keys and records have been looked at.
    ///
    /// # Errors
    /// If the database or KV fails.
    pub async fn run(&self, mut looked_at: impl FnMut(u64)) -> anyhow::Result<Report> {
        let mut report = Report::default();
        for kind in Kind::EVERY {
            let mut cursor = String::new();
            while let Some(last) = self.compare_page(kind, &cursor, &mut report).await? {
                cursor = last;
                looked_at(report.keys);
            }
        }
        let mut unknown = Unknown::new(self.db, self.kv);
        while let Some(names) = unknown.next_page().await? {
            self.add_unknown(&names, &mut report).await?;
            report.records = unknown.listed;
            looked_at(report.keys + report.records);
        }
        Ok(report)
    }

    async fn compare_page(&self, kind: Kind, cursor: &str, report: &mut Report) -> anyhow::Result<Option<String>> {
        let entries = self.entries(kind, cursor).await?;
        let Some(last) = entries.last().map(|entry| entry.id.clone()) else { return Ok(None) };
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let waiting: HashSet<String> = outbox::waiting(self.db.read().await?.conn(), &ids).await?.into_iter().collect();
        let names: Vec<&str> = entries.iter().filter_map(|entry| entry.kv_key.as_ref()).map(KvKey::as_str).collect();
        let values = self.kv.get(&names).await?;
        let mut ahead = vec![];
        for entry in &entries {
            report.keys += 1;
            if waiting.contains(&entry.id) {
                report.waiting += 1;
                continue;
            }
            match self.compare(entry, &values) {
                Finding::Same => {}
                Finding::Missing => report.missing.add(&entry.id),
                Finding::Stale => report.stale.add(&entry.id),
                Finding::Unreadable => report.unreadable.add(&entry.id),
                Finding::Newer(version) => ahead.push((entry.id.as_str(), version)),
            }
        }
        self.add_newer(kind, cursor, &ahead, report).await?;
        Ok(Some(last))
    }

    async fn entries(&self, kind: Kind, cursor: &str) -> anyhow::Result<Vec<Entry>> {
        let limit = i64::try_from(kv::GET_LIMIT)?;
        Ok(edge_sync::after(self.db.read().await?.conn(), kind, cursor, limit, self.clock.now()).await?)
    }

    fn compare(&self, entry: &Entry, values: &HashMap<String, String>) -> Finding {
        let Some(kv_key) = &entry.kv_key else { return Finding::Missing };
        let Some(sealed) = values.get(kv_key.as_str()) else { return Finding::Missing };
        let Ok(record) = self.secrets.open(kv_key, sealed) else { return Finding::Unreadable };
        if record.version > entry.record.version {
            Finding::Newer(record.version)
        } else if says_the_same(&record, &entry.record) {
            Finding::Same
        } else {
            Finding::Stale
        }
    }

    /// A record may be newer because the key was changed since the page was read. Reading it again tells.
    async fn add_newer(
        &self,
        kind: Kind,
        cursor: &str,
        ahead: &[(&str, Version)],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        if ahead.is_empty() {
            return Ok(());
        }
        let now = self.entries(kind, cursor).await?;
        let versions: HashMap<&str, Version> = now.iter().map(|e| (e.id.as_str(), e.record.version)).collect();
        for (id, version) in ahead {
            if versions.get(id).is_some_and(|current| current < version) {
                report.newer.add(id);
            }
        }
        Ok(())
    }

    /// Names in the store hold digests, which are nobody's business; the records say whose they are.
    async fn add_unknown(&self, names: &[String], report: &mut Report) -> anyhow::Result<()> {
        let wanted = EXAMPLES - report.unknown.examples.len().min(EXAMPLES);
        let shown: Vec<&str> = names.iter().take(wanted).map(String::as_str).collect();
        let values = if shown.is_empty() { HashMap::new() } else { self.kv.get(&shown).await? };
        for name in names {
            let id = values.get(name).and_then(|sealed| self.id_of(name, sealed));
            report.unknown.add(id.as_deref().unwrap_or("(unreadable)"));
        }
        Ok(())
    }

    fn id_of(&self, name: &str, sealed: &str) -> Option<String> {
        let record = self.secrets.open(&kv_key(name)?, sealed).ok()?;
        Some(match record.grant {
            Grant::ApiKey(grant) => grant.id.into(),
            Grant::ManagementKey(grant) => grant.id.into(),
        })
    }
}

enum Finding {
    Same,
    Missing,
    Stale,
    Unreadable,
    Newer(Version),
}

/// Three fields follow the moment at which a record was made, not the key. The environment's generation goes up when a
/// permission is deleted, and no key without that permission is written again for it.
fn says_the_same(record: &Record, current: &Record) -> bool {
    let mut current = current.clone();
    current.sealed_at = record.sealed_at;
    current.generations.environment = record.generations.environment;
    if let (Grant::ApiKey(of_current), Grant::ApiKey(of_record)) = (&mut current.grant, &record.grant) {
        of_current.last_used_at = of_record.last_used_at;
    }
    current == *record
}

fn kv_key(name: &str) -> Option<KvKey> {
    let api_key = KvKey::parse_api_key(name).map(|(environment, digest)| KvKey::api_key(&environment, &digest));
    api_key.or_else(|| KvKey::parse_management_key(name).map(|digest| KvKey::management_key(&digest)))
}

/// Lists what the store holds and the database does not know.
#[derive(Debug)]
pub struct Unknown<'a> {
    db: &'a Db,
    kv: &'a Kv,
    kinds: Vec<Kind>,
    cursor: Option<String>,
    /// How many names have been looked at.
    pub listed: u64,
}

impl<'a> Unknown<'a> {
    /// Begins to list.
    #[must_use]
    pub fn new(db: &'a Db, kv: &'a Kv) -> Self {
        Self { db, kv, kinds: Kind::EVERY.to_vec(), cursor: None, listed: 0 }
    }

    /// The unknown names of the next page of the store. There may be none on a page; `None` ends the list.
    ///
    /// # Errors
    /// If the database or KV fails.
    pub async fn next_page(&mut self) -> anyhow::Result<Option<Vec<String>>> {
        let Some(kind) = self.kinds.last().copied() else { return Ok(None) };
        let prefix = match kind {
            Kind::ApiKey => KvKey::API_KEYS,
            Kind::ManagementKey => KvKey::MANAGEMENT_KEYS,
        };
        let listing = self.kv.list(prefix, self.cursor.as_deref()).await?;
        self.cursor = listing.cursor;
        if self.cursor.is_none() {
            self.kinds.pop();
        }
        self.listed += u64::try_from(listing.names.len())?;
        let known = self.known(kind, &listing.names).await?;
        Ok(Some(listing.names.into_iter().filter(|name| !known.contains(name)).collect()))
    }

    async fn known(&self, kind: Kind, names: &[String]) -> anyhow::Result<HashSet<String>> {
        let mut reader = self.db.read().await?;
        let known = match kind {
            Kind::ApiKey => {
                let places: Vec<_> = names.iter().filter_map(|name| KvKey::parse_api_key(name)).collect();
                edge_sync::known_api_keys(reader.conn(), &places).await?
            }
            Kind::ManagementKey => {
                let digests: Vec<_> = names.iter().filter_map(|name| KvKey::parse_management_key(name)).collect();
                edge_sync::known_management_keys(reader.conn(), &digests).await?
            }
        };
        Ok(known.iter().map(|kv_key| kv_key.as_str().to_owned()).collect())
    }
}

#[cfg(test)]
mod tests;
