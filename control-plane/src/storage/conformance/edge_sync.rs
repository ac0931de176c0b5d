use shared::{
    digest::{Digest, KvKey},
    record::Version,
};

use super::*;
use crate::storage::{
    Db, api_keys,
    edge_sync::{self, Progress},
    outbox::{self, Changed, Claim, Kind},
    testing::{Tenant, conformance, execute},
};

conformance! {
    async fn entries_are_what_the_edge_should_hold(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &["a"], START).await;
        let entries = ask!(db, edge_sync::after, Kind::ApiKey, "", 10, START.plus_millis(5));
        let key = ask!(db, api_keys::get, &tenant.environment, &id).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].id.as_str(), &entries[0].kv_key), (id.as_str(), &key.kv_key()));
        assert_eq!(entries[0].record, key.into_record(START.plus_millis(5)));
        let management = ask!(db, edge_sync::after, Kind::ManagementKey, "", 10, START);
        assert_eq!(management[0].id, tenant.creator.as_str());
        assert!(management[0].kv_key.as_ref().unwrap().as_str().starts_with(KvKey::MANAGEMENT_KEYS));
        assert_eq!(ask!(db, edge_sync::after, Kind::ApiKey, id.as_str(), 10, START), []);
    }

    async fn keys_remember_their_change_and_who_was_told_and_what_was_sealed(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let of = async || {
            let key = ask!(db, api_keys::get, &tenant.environment, &id).unwrap();
            (key.changed_at, key.acknowledged)
        };
        assert_eq!(of().await, (None, true), "nobody waits for a creation");
        let later = START.plus_millis(9);
        change!(db, edge_sync::note_change, Kind::ApiKey, id.as_str(), false, later);
        assert_eq!(of().await, (Some(later), false));
        let version = Version::first(START);
        change!(db, edge_sync::note_acknowledged, Kind::ApiKey, id.as_str(), Version(version.0 - 1));
        assert_eq!(of().await, (Some(later), false), "they were told of an older one");
        change!(db, edge_sync::note_acknowledged, Kind::ApiKey, id.as_str(), version);
        assert_eq!(of().await, (Some(later), true));
        change!(db, edge_sync::note_change, Kind::ManagementKey, tenant.creator.as_str(), false, later);
        let change = ask!(db, edge_sync::by_ids, Kind::ManagementKey, &[tenant.creator.as_str(), id.as_str()], START);
        assert_eq!(change.iter().map(|entry| entry.changed_at).collect::<Vec<_>>(), [Some(later)]);
        change!(db, edge_sync::note_acknowledged, Kind::ManagementKey, tenant.creator.as_str(), version);

        let both = [id.as_str(), tenant.creator.as_str()];
        change!(db, edge_sync::note_sealed, &both, later);
        change!(db, edge_sync::note_sealed, &both[..1], START);
        for table in ["api_keys", "management_keys"] {
            let sql = sqlx::AssertSqlSafe(format!("SELECT sealed_at FROM {table}"));
            let sealed_at: Timestamp =
                on_db!(db.read().await.unwrap().conn(), c => sqlx::query_scalar(sql).fetch_one(c).await).unwrap();
            assert_eq!(sealed_at, later, "{table}: the greatest wins");
        }
    }

    async fn a_damaged_digest_has_no_place(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        tenant.api_key(&db, "key", &[], START).await;
        execute(&db, "UPDATE api_keys SET digest = substr(digest, 1, 3)").await;
        assert_eq!(ask!(db, edge_sync::after, Kind::ApiKey, "", 10, START)[0].kv_key, None);
    }

    async fn a_claim_brings_its_own_keys_page_by_page(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut ids = vec![];
        for number in 0..3 {
            ids.push(tenant.api_key(&db, &number.to_string(), &[], START.plus_millis(number)).await.to_string());
        }
        let fed = outbox::Changed { id: tenant.creator.to_string(), version: Version::first(START) };
        change!(db, outbox::note_fed, &[fed]);
        tenant.api_key(&db, "not due yet", &[], START.plus_millis(100)).await;
        let claim = Claim { id: -7, until: START.plus_millis(60_000) };
        assert_eq!(change!(db, outbox::claim, claim, START.plus_millis(10), 100), 4);
        let first = ask!(db, edge_sync::claimed, Kind::ApiKey, claim, "", 2, START);
        let second = ask!(db, edge_sync::claimed, Kind::ApiKey, claim, &first[1].id, 2, START);
        let met: Vec<String> = first.into_iter().chain(second).map(|entry| entry.id).collect();
        assert_eq!(met, ids);
        let management = ask!(db, edge_sync::claimed, Kind::ManagementKey, claim, "", 2, START);
        assert_eq!(management[0].id, tenant.creator.as_str());
        let other = Claim { id: 7, ..claim };
        assert_eq!(ask!(db, edge_sync::claimed, Kind::ApiKey, other, "", 2, START), []);
    }

    async fn keys_are_counted_and_walked_without_their_records(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let first = tenant.api_key(&db, "first", &[], START).await;
        let second = tenant.api_key(&db, "second", &[], START.plus_millis(1)).await;
        assert_eq!(ask!(db, edge_sync::count_after, Kind::ApiKey, ""), 2);
        assert_eq!(ask!(db, edge_sync::count_after, Kind::ApiKey, first.as_str()), 1);
        assert_eq!(ask!(db, edge_sync::count_after, Kind::ManagementKey, ""), 1);
        let expected = Changed { id: second.to_string(), version: Version::first(START.plus_millis(1)) };
        assert_eq!(ask!(db, edge_sync::versions_after, Kind::ApiKey, first.as_str(), 9), [expected]);
        assert_eq!(ask!(db, edge_sync::versions_after, Kind::ApiKey, "", 1).len(), 1);
        assert_eq!(ask!(db, edge_sync::versions_after, Kind::ManagementKey, "", 9)[0].id, tenant.creator.as_str());
    }

    async fn places_are_known_by_environment_and_digest_together(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        tenant.api_key(&db, "key", &[], START).await;
        let digest = Digest::of("key");
        let asked =
            [(tenant.environment.clone(), digest), (other.environment, digest), (tenant.environment.clone(), Digest::of("x"))];
        let known = ask!(db, edge_sync::known_api_keys, &asked);
        assert_eq!(known, [KvKey::api_key(&tenant.environment, &digest)]);
        assert_eq!(ask!(db, edge_sync::known_api_keys, &[]), []);

        let management = ask!(db, edge_sync::after, Kind::ManagementKey, "", 10, START);
        let place = management[0].kv_key.clone().unwrap();
        let its_digest = KvKey::parse_management_key(place.as_str()).unwrap();
        assert_eq!(ask!(db, edge_sync::known_management_keys, &[its_digest, digest]), [place]);
    }

    async fn progress_is_kept_for_each_namespace_and_kind(db: Db) {
        let progress = async |namespace, kind| ask!(db, edge_sync::progress, namespace, kind);
        assert_eq!(progress("one", Kind::ApiKey).await, None);
        for (cursor, millis) in [("a", 1), ("b", 2)] {
            change!(db, edge_sync::set_progress, "one", Kind::ApiKey, cursor, START.plus_millis(millis));
        }
        change!(db, edge_sync::set_progress, "two", Kind::ApiKey, "c", START);
        let expected = Progress { cursor: "b".to_owned(), updated_at: START.plus_millis(2) };
        assert_eq!(progress("one", Kind::ApiKey).await, Some(expected));
        assert_eq!(progress("one", Kind::ManagementKey).await, None);
        change!(db, edge_sync::forget_progress, "one");
        assert_eq!(progress("one", Kind::ApiKey).await, None);
        assert!(progress("two", Kind::ApiKey).await.is_some());
    }
}
