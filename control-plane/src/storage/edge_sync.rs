//! Keys as the edge's store should hold them, of either kind; and how far a rebuild of that store has come.

use serde::Serialize;
use shared::{
    Timestamp,
    digest::{Digest, KvKey},
    id::EnvironmentId,
    record::{Record, Version},
};
use sqlx::FromRow;

use super::{
    Conn, JsonText, Result,
    api_keys::{self, ApiKey, select_api_keys},
    dialect::sql,
    management_keys::{self, ManagementKey, select_management_keys},
    outbox::{Changed, Claim, Kind},
};

/// What the edge's store should hold of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub id: String,
    /// Where it stands. `None` if the row's digest has been tampered with.
    pub kv_key: Option<KvKey>,
    /// When it was last changed in a way that the change feed has an entry of its own for. `None`: never.
    pub changed_at: Option<Timestamp>,
    /// Its record, as of now.
    pub record: Record,
}

impl Entry {
    fn of_api_key(key: ApiKey, now: Timestamp) -> Self {
        let (id, kv_key, changed_at) = (key.id.to_string(), key.kv_key(), key.changed_at);
        Self { id, kv_key, changed_at, record: key.into_record(now) }
    }

    fn of_management_key(key: ManagementKey, now: Timestamp) -> Self {
        let (id, kv_key, changed_at) = (key.id.to_string(), key.kv_key(), key.changed_at);
        Self { id, kv_key, changed_at, record: key.into_record(now) }
    }
}

/// The keys of a kind with these ids.
pub async fn by_ids(conn: Conn<'_>, kind: Kind, ids: &[&str], now: Timestamp) -> Result<Vec<Entry>> {
    Ok(match kind {
        Kind::ApiKey => {
            let sql = sql!(conn, (text select_api_keys) "WHERE k.id IN (" (texts of "$1") ") ORDER BY k.id");
            let keys = on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(ids)).fetch_all(c).await)?;
            entries(keys, Entry::of_api_key, now)
        }
        Kind::ManagementKey => {
            let sql = sql!(conn, (text select_management_keys) "WHERE m.id IN (" (texts of "$1") ") ORDER BY m.id");
            let keys = on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(ids)).fetch_all(c).await)?;
            entries(keys, Entry::of_management_key, now)
        }
    })
}

/// Notes that a key was changed in a way that the change feed has an entry for, and whether somebody has still to be
/// told that it reached the edge.
pub async fn note_change(conn: Conn<'_>, kind: Kind, id: &str, acknowledged: bool, now: Timestamp) -> Result<()> {
    let sql = match kind {
        Kind::ApiKey => "UPDATE api_keys SET changed_at = $2, acknowledged = $3 WHERE id = $1",
        Kind::ManagementKey => "UPDATE management_keys SET changed_at = $2, acknowledged = $3 WHERE id = $1",
    };
    on_db!(conn, c => sqlx::query(sql).bind(id).bind(now).bind(acknowledged).execute(c).await.map(drop))
}

/// Notes that somebody was told that this version of a key reached the edge.
pub async fn note_acknowledged(conn: Conn<'_>, kind: Kind, id: &str, version: Version) -> Result<()> {
    let sql = match kind {
        Kind::ApiKey => "UPDATE api_keys SET acknowledged = TRUE WHERE id = $1 AND version <= $2",
        Kind::ManagementKey => "UPDATE management_keys SET acknowledged = TRUE WHERE id = $1 AND version <= $2",
    };
    on_db!(conn, c => sqlx::query(sql).bind(id).bind(version).execute(c).await.map(drop))
}

/// Notes when the records of keys that the store holds were sealed. It passes over keys that are being changed: those
/// will be sealed again.
pub async fn note_sealed(mut conn: Conn<'_>, ids: &[&str], sealed_at: Timestamp) -> Result<()> {
    let of_api_keys = sql!(conn,
        "WITH written AS (
            SELECT id FROM api_keys
            WHERE id IN (" (texts of "$1") ") AND (sealed_at IS NULL OR sealed_at < $2)" (for update skip locked) ")
         UPDATE api_keys SET sealed_at = $2 WHERE id IN (SELECT id FROM written)");
    let of_management_keys = sql!(conn,
        "WITH written AS (
            SELECT id FROM management_keys
            WHERE id IN (" (texts of "$1") ") AND (sealed_at IS NULL OR sealed_at < $2)" (for update skip locked) ")
         UPDATE management_keys SET sealed_at = $2 WHERE id IN (SELECT id FROM written)");
    for sql in [of_api_keys, of_management_keys] {
        on_db!(conn.reborrow(), c => sqlx::query(sql).bind(JsonText(ids)).bind(sealed_at).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// The next keys of a kind by id.
pub async fn after(conn: Conn<'_>, kind: Kind, cursor: &str, limit: i64, now: Timestamp) -> Result<Vec<Entry>> {
    Ok(match kind {
        Kind::ApiKey => entries(api_keys::after(conn, cursor, limit).await?, Entry::of_api_key, now),
        Kind::ManagementKey => {
            entries(management_keys::after(conn, cursor, limit).await?, Entry::of_management_key, now)
        }
    })
}

/// The next keys of a kind by id, of those that a claim holds.
pub async fn claimed(
    conn: Conn<'_>,
    kind: Kind,
    claim: Claim,
    cursor: &str,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<Entry>> {
    const API_KEYS: &str = select_api_keys!(
        "JOIN outbox q ON q.key_id = k.id WHERE q.claim = $1 AND q.key_id > $2 ORDER BY q.key_id LIMIT $3"
    );
    const MANAGEMENT_KEYS: &str = select_management_keys!(
        "JOIN outbox q ON q.key_id = m.id WHERE q.claim = $1 AND q.key_id > $2 ORDER BY q.key_id LIMIT $3"
    );
    Ok(match kind {
        Kind::ApiKey => {
            let keys = on_db!(conn, c => sqlx::query_as(API_KEYS)
                .bind(claim.id).bind(cursor).bind(limit).fetch_all(c).await)?;
            entries(keys, Entry::of_api_key, now)
        }
        Kind::ManagementKey => {
            let keys = on_db!(conn, c => sqlx::query_as(MANAGEMENT_KEYS)
                .bind(claim.id).bind(cursor).bind(limit).fetch_all(c).await)?;
            entries(keys, Entry::of_management_key, now)
        }
    })
}

fn entries<K>(keys: Vec<K>, entry: fn(K, Timestamp) -> Entry, now: Timestamp) -> Vec<Entry> {
    keys.into_iter().map(|key| entry(key, now)).collect()
}

/// The next keys of a kind by id, without their records.
pub async fn versions_after(conn: Conn<'_>, kind: Kind, cursor: &str, limit: i64) -> Result<Vec<Changed>> {
    let sql = match kind {
        Kind::ApiKey => "SELECT id, version FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2",
        Kind::ManagementKey => "SELECT id, version FROM management_keys WHERE id > $1 ORDER BY id LIMIT $2",
    };
    on_db!(conn, c => sqlx::query_as(sql).bind(cursor).bind(limit).fetch_all(c).await)
}

/// How many keys of a kind there are beyond an id.
pub async fn count_after(conn: Conn<'_>, kind: Kind, cursor: &str) -> Result<i64> {
    let sql = match kind {
        Kind::ApiKey => "SELECT COUNT(*) FROM api_keys WHERE id > $1",
        Kind::ManagementKey => "SELECT COUNT(*) FROM management_keys WHERE id > $1",
    };
    on_db!(conn, c => sqlx::query_scalar(sql).bind(cursor).fetch_one(c).await)
}

/// Of these places in the edge's store, those that belong to a customer's key.
pub async fn known_api_keys(conn: Conn<'_>, places: &[(EnvironmentId, Digest)]) -> Result<Vec<KvKey>> {
    #[derive(FromRow)]
    struct Known {
        environment_id: EnvironmentId,
        digest: Vec<u8>,
    }
    let sql = sql!(conn,
        "SELECT k.environment_id, k.digest FROM " (elements of "$1") " place
         JOIN api_keys k ON k.environment_id = place.value ->> 'environment' AND k.digest = "
         (bytes of hex "place.value ->> 'digest'"));
    let wanted =
        places.iter().map(|(environment, digest)| Place { environment: environment.as_str(), digest: hex(digest) });
    let known: Vec<Known> =
        on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(wanted.collect::<Vec<_>>())).fetch_all(c).await)?;
    let place = |known: Known| Some(KvKey::api_key(&known.environment_id, &Digest::from_bytes(&known.digest)?));
    Ok(known.into_iter().filter_map(place).collect())
}

/// Of these digests, the places of those that are a management key's.
pub async fn known_management_keys(conn: Conn<'_>, digests: &[Digest]) -> Result<Vec<KvKey>> {
    let sql = sql!(conn,
        "SELECT m.digest FROM " (elements of "$1") " place
         JOIN management_keys m ON m.digest = " (bytes of hex "place.value ->> 'digest'"));
    let wanted = digests.iter().map(|digest| Place { environment: "", digest: hex(digest) });
    let known: Vec<Vec<u8>> =
        on_db!(conn, c => sqlx::query_scalar(sql).bind(JsonText(wanted.collect::<Vec<_>>())).fetch_all(c).await)?;
    let place = |digest: Vec<u8>| Some(KvKey::management_key(&Digest::from_bytes(&digest)?));
    Ok(known.into_iter().filter_map(place).collect())
}

/// A place in the edge's store, as a question names it.
#[derive(Serialize)]
pub(super) struct Place<'a> {
    pub(super) environment: &'a str,
    pub(super) digest: String,
}

pub(super) fn hex(digest: &Digest) -> String {
    digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How far a rebuild has come.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Progress {
    /// The last key that is in the outbox.
    pub cursor: String,
    /// Since when.
    pub updated_at: Timestamp,
}

/// How far the rebuild of a namespace has come, if one was begun and not finished.
pub async fn progress(conn: Conn<'_>, namespace: &str, kind: Kind) -> Result<Option<Progress>> {
    const SQL: &str = "SELECT cursor, updated_at FROM edge_sync WHERE namespace = $1 AND kind = $2";
    on_db!(conn, c => sqlx::query_as(SQL).bind(namespace).bind(kind.as_str()).fetch_optional(c).await)
}

/// Notes how far a rebuild has come.
pub async fn set_progress(conn: Conn<'_>, namespace: &str, kind: Kind, cursor: &str, now: Timestamp) -> Result<()> {
    const SQL: &str = "INSERT INTO edge_sync (namespace, kind, cursor, updated_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (namespace, kind) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(namespace)
        .bind(kind.as_str())
        .bind(cursor)
        .bind(now)
        .execute(c).await.map(drop))
}

/// Ends the rebuild of a namespace: the next one begins anew.
pub async fn forget_progress(conn: Conn<'_>, namespace: &str) -> Result<()> {
    const SQL: &str = "DELETE FROM edge_sync WHERE namespace = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(namespace).execute(c).await.map(drop))
}
