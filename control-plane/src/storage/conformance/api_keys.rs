use shared::{
    digest::Digest,
    id::ApiKeyId,
    record::{Grant, Owner, Revoked, Version},
};

use super::*;
use crate::storage::{
    Db, PageRequest, Position, api_keys, edge_sync,
    outbox::{self, Kind},
    testing::{Tenant, conformance, organization},
};

async fn permissions(db: &Db, tenant: &Tenant, id: &ApiKeyId) -> Vec<String> {
    ask!(db, api_keys::get, &tenant.environment, id).unwrap().permissions.0
}

async fn version(db: &Db, tenant: &Tenant, text: &str) -> Version {
    ask!(db, api_keys::by_digest, &tenant.environment, &Digest::of(text)).unwrap().version
}

/// The keys that wait for the store, with their versions.
async fn queued(db: &Db) -> Vec<(String, i64)> {
    const SQL: &str = "SELECT key_id, version FROM outbox ORDER BY key_id";
    on_db!(db.read().await.unwrap().conn(), c => sqlx::query_as(SQL).fetch_all(c).await).unwrap()
}

const EARLIER: Timestamp = Timestamp::from_millis(START.as_millis() - 60_000);
const LATER: Timestamp = Timestamp::from_millis(START.as_millis() + 60_000);

conformance! {
    async fn a_key_is_found_by_id_and_by_digest_in_its_environment_alone(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &["posts:read"], START).await;
        let key = ask!(db, api_keys::get, &tenant.environment, &id).unwrap();
        assert_eq!(key.digest, Digest::of("key").as_bytes());
        assert_eq!(key.created_by, tenant.creator.as_str());
        assert_eq!(ask!(db, api_keys::by_digest, &tenant.environment, &Digest::of("key")), Some(key.clone()));
        assert_eq!(ask!(db, api_keys::get, &other.environment, &id), None);
        assert_eq!(ask!(db, api_keys::by_digest, &other.environment, &Digest::of("key")), None);
        assert_eq!(ask!(db, api_keys::by_digest, &tenant.environment, &Digest::of("other")), None);

        let record = key.into_record(LATER);
        assert_eq!((record.version, record.sealed_at, record.revoked), (Version::first(START), LATER, None));
        let Grant::ApiKey(grant) = record.grant else { panic!("a customer's key") };
        assert_eq!(grant.owner, Owner::Organization { id: tenant.organization.clone() });
        assert_eq!(grant.permissions, ["posts:read"]);
    }

    async fn a_digest_is_taken_once_in_an_environment(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        other.api_key(&db, "key", &[], START).await;
        change!(db, api_keys::revoke, &tenant.environment, &id, &Revoked::new("deleted", START), START);
        let mut transaction = db.write().await.unwrap();
        let again = api_keys::NewApiKey {
            id: &ApiKeyId::generate(START, &mut crate::entropy::OsEntropy),
            environment_id: &tenant.environment,
            owner: &Owner::Organization { id: tenant.organization.clone() },
            digest: &Digest::of("key"),
            obfuscated_value: "",
            settings: &api_keys::ApiKeySettings { name: "again".to_owned(), ..Default::default() },
            rotated_from: None,
            created_by: &tenant.creator,
            now: START,
        };
        let error = api_keys::insert(transaction.conn(), &again).await.unwrap_err();
        assert!(error.into_database_error().unwrap().is_unique_violation(), "revoked keys keep their digests");
    }

    async fn a_revoked_key_is_a_tombstone_and_is_revoked_once(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        assert_eq!(change!(db, api_keys::revoke, &other.environment, &id, &Revoked::new("deleted", LATER), LATER), None);
        let version = change!(db, api_keys::revoke, &tenant.environment, &id, &Revoked::new("deleted", EARLIER), EARLIER);
        assert_eq!(version, Some(Version(START.as_millis() + 1)));
        assert_eq!(change!(db, api_keys::revoke, &tenant.environment, &id, &Revoked::new("deleted", LATER), LATER), None);
        assert_eq!(ask!(db, api_keys::unacknowledged_revocation, &tenant.environment, &id), None, "nobody waits for it");
        change!(db, edge_sync::note_change, Kind::ApiKey, id.as_str(), false, START);
        assert_eq!(ask!(db, api_keys::unacknowledged_revocation, &tenant.environment, &id), version);
        assert_eq!(ask!(db, api_keys::unacknowledged_revocation, &other.environment, &id), None);
        assert_eq!(ask!(db, api_keys::get, &tenant.environment, &id), None);
        let tombstone = ask!(db, api_keys::by_digest, &tenant.environment, &Digest::of("key")).unwrap();
        let revoked = tombstone.into_record(START).revoked.unwrap();
        assert_eq!((revoked.at, revoked.reason.as_str()), (EARLIER, "deleted"));
    }

    async fn an_organization_takes_its_keys_with_it_and_no_others(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let first = tenant.api_key(&db, "first", &[], START).await;
        let second = tenant.api_key(&db, "second", &[], START.plus_millis(1)).await;
        let gone = tenant.api_key(&db, "gone before", &[], START).await;
        change!(db, api_keys::revoke, &tenant.environment, &gone, &Revoked::new("deleted", START), START);
        let neighbour = organization(&tenant.environment, START);
        tenant.add(&db, &neighbour).await;
        let next_door = Tenant { organization: neighbour.id, ..Tenant::new(&db, START).await };
        let next_door = Tenant { environment: tenant.environment.clone(), creator: tenant.creator.clone(), ..next_door };
        let spared = next_door.api_key(&db, "spared", &[], START).await;

        change!(db, outbox::clear, 99);
        change!(db, api_keys::revoke_all_of_organization, &tenant.environment, &tenant.organization, "why", "first", EARLIER);
        assert_eq!(version(&db, &tenant, "first").await, Version(START.as_millis() + 1));
        let expected = [(first.to_string(), START.as_millis() + 1), (second.to_string(), START.as_millis() + 2)];
        assert_eq!(queued(&db).await, expected);
        assert_eq!(ask!(db, api_keys::get, &tenant.environment, &first), None);
        assert!(ask!(db, api_keys::get, &tenant.environment, &spared).is_some());
        let before = ask!(db, api_keys::by_digest, &tenant.environment, &Digest::of("gone before")).unwrap();
        assert_eq!(before.revoked_reason.as_deref(), Some("deleted"));
        change!(db, outbox::clear, 99);
        change!(db, api_keys::revoke_all_of_organization, &tenant.environment, &tenant.organization, "why", "second", LATER);
        assert_eq!(queued(&db).await, []);
    }

    async fn a_permission_is_taken_wherever_it_stands(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let cases: [(&[&str], &[&str]); 7] = [
            (&["a", "b", "c"], &["b", "c"]),
            (&["b", "a", "c"], &["b", "c"]),
            (&["b", "c", "a"], &["b", "c"]),
            (&["a"], &[]),
            // Slugs that hold the other's text.
            (&["aa", "a:b", "b.a", "*a"], &["aa", "a:b", "b.a", "*a"]),
            (&["b:a", "a", "a:b"], &["b:a", "a:b"]),
            (&[], &[]),
        ];
        let mut ids = vec![];
        for (number, (held, _)) in cases.iter().enumerate() {
            ids.push(tenant.api_key(&db, &number.to_string(), held, START).await);
        }
        let elsewhere = other.api_key(&db, "elsewhere", &["a"], START).await;
        let revoked = tenant.api_key(&db, "revoked", &["a"], START).await;
        change!(db, api_keys::revoke, &tenant.environment, &revoked, &Revoked::new("deleted", START), START);

        change!(db, outbox::clear, 99);
        change!(db, api_keys::remove_permission, &tenant.environment, "a", &[], "batch", EARLIER);
        let queued = queued(&db).await;
        assert_eq!(queued.len(), 5);
        assert!(queued.iter().all(|(_, version)| *version == START.as_millis() + 1), "{queued:?}");
        for (number, (held, left)) in cases.iter().enumerate() {
            assert_eq!(permissions(&db, &tenant, &ids[number]).await, *left, "of {held:?}");
            let expected = START.as_millis() + i64::from(held.len() != left.len());
            assert_eq!(version(&db, &tenant, &number.to_string()).await, Version(expected), "of {held:?}");
        }
        assert_eq!(permissions(&db, &other, &elsewhere).await, ["a"]);
        assert_eq!(version(&db, &tenant, "revoked").await, Version(START.as_millis() + 1), "a tombstone stays as it is");
    }

    async fn a_list_shows_what_the_organization_has_and_is_not_revoked(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let first = tenant.api_key(&db, "first", &[], START).await;
        let second = tenant.api_key(&db, "second", &[], START.plus_millis(1)).await;
        let revoked = tenant.api_key(&db, "revoked", &[], START.plus_millis(2)).await;
        change!(db, api_keys::revoke, &tenant.environment, &revoked, &Revoked::new("deleted", START), START);
        other.api_key(&db, "other", &[], START).await;
        let list = async |newest_first| {
            let request = PageRequest { limit: 10, newest_first, position: Position::Start };
            let page = ask!(db, api_keys::list_of_organization, &tenant.environment, &tenant.organization, api_keys::Which::Unrevoked, &request);
            page.items.into_iter().map(|key| key.id).collect::<Vec<_>>()
        };
        assert_eq!(list(false).await, [first.clone(), second.clone()]);
        assert_eq!(list(true).await, [second, first]);
        let request = PageRequest { limit: 10, newest_first: true, position: Position::Start };
        let foreign = ask!(db, api_keys::list_of_organization, &other.environment, &tenant.organization, api_keys::Which::Unrevoked, &request);
        assert_eq!(foreign.items, []);
    }

    async fn a_walk_by_id_meets_every_key_once_tombstones_too(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut ids = vec![];
        for number in 0..5 {
            ids.push(tenant.api_key(&db, &number.to_string(), &[], START.plus_millis(number)).await);
        }
        change!(db, api_keys::revoke, &tenant.environment, &ids[2], &Revoked::new("deleted", START), START);
        let (mut cursor, mut met) = (String::new(), vec![]);
        loop {
            let page = ask!(db, api_keys::after, &cursor, 2);
            let Some(last) = page.last() else { break };
            cursor = last.id.to_string();
            met.extend(page.into_iter().map(|key| key.id));
        }
        assert_eq!(met, ids);
    }
}
