use shared::{
    digest::Digest,
    id::ManagementKeyId,
    record::{Grant, Record, Revoked, Version},
};

use super::*;
use crate::{
    entropy::OsEntropy,
    events::Actor,
    service::{self, Database, commit},
    storage::{
        Db, Priority, edge_sync, management_keys,
        outbox::{self, Kind},
        restore,
        testing::{Tenant, conformance},
    },
};

async fn create(db: &Db, tenant: &Tenant, name: &str, now: Timestamp) -> (ManagementKeyId, Digest) {
    let mut transaction = Database::without_edge(db.clone()).begin(Actor::Operator, Priority::Normal).await.unwrap();
    let (environment, scopes) = (&tenant.environment, ["api_keys:read".to_owned(), "api_keys:write".to_owned()]);
    let entropy = &mut OsEntropy;
    let created = service::management_keys::create(&mut transaction, environment, name, &scopes, now, entropy).await;
    let (key, change) = created.unwrap();
    commit(transaction, change, now).await.unwrap();
    (key.id, Digest::of(key.text.expose()))
}

conformance! {
    async fn a_key_is_found_by_its_digest_with_its_environment(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let (id, digest) = create(&db, &tenant, "Back end", START).await;
        let key = ask!(db, management_keys::by_digest, &digest).unwrap();
        assert_eq!((&key.id, key.name.as_str(), key.version), (&id, "Back end", Version::first(START)));
        assert_eq!(key.scopes.0, ["api_keys:read", "api_keys:write"]);
        assert_eq!(key.prefixes.0, ["lk_test".parse().unwrap()]);
        assert_eq!(ask!(db, management_keys::by_digest, &Digest::of("another")), None);
        assert_eq!(ask!(db, outbox::waiting, &[id.as_str()]), [id.as_str()]);
    }

    async fn a_revoked_key_stays_as_a_tombstone_and_is_revoked_once(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let (id, digest) = create(&db, &tenant, "Back end", START).await;
        // The clock was turned back since; the version does not follow it.
        let earlier = START.plus_millis(-1000);
        let version = change!(db, management_keys::revoke, &id, &Revoked::new("revoked_by_operator", earlier), earlier);
        assert_eq!(version, Some(Version(START.as_millis() + 1)));
        assert_eq!(change!(db, management_keys::revoke, &id, &Revoked::new("again", START), START), None);
        assert_eq!(ask!(db, management_keys::unacknowledged_revocation, &id), None, "nobody waits for it");
        change!(db, edge_sync::note_change, Kind::ManagementKey, id.as_str(), false, START);
        assert_eq!(ask!(db, management_keys::unacknowledged_revocation, &id), version);
        let key = ask!(db, management_keys::by_digest, &digest).unwrap();
        assert_eq!((key.revoked_at, key.revoked_reason.as_deref()), (Some(earlier), Some("revoked_by_operator")));
        assert!(key.into_record(START).revoked.is_some());
    }

    async fn a_newer_state_of_a_record_is_taken_over_and_an_older_one_is_not(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let (id, digest) = create(&db, &tenant, "Back end", START).await;
        let read = async || ask!(db, management_keys::by_digest, &digest).unwrap();
        let mut record = read().await.into_record(START);
        let Grant::ManagementKey(mut grant) = record.grant.clone() else { unreachable!() };
        grant.scopes = vec!["api_keys:read".to_owned()];
        let take_over = async |record: &Record| {
            change!(db, restore::take_over_management_key, id.as_str(), record, &grant, START.plus_millis(5))
        };
        assert!(!take_over(&record).await, "it has this version");
        (record.version, record.name) = (Version(record.version.0 + 1), "Renamed".to_owned());
        assert!(take_over(&record).await);
        let key = read().await;
        assert_eq!((key.version, key.name.as_str()), (record.version, "Renamed"));
        assert_eq!((key.scopes.0, key.changed_at), (grant.scopes.clone(), Some(START.plus_millis(5))));
    }

    async fn keys_are_listed_oldest_first_each_in_its_environment(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let (second, _) = create(&db, &tenant, "second", START.plus_millis(1)).await;
        let (third, _) = create(&db, &tenant, "third", START.plus_millis(2)).await;
        let ids = |keys: Vec<management_keys::ManagementKey>| keys.into_iter().map(|key| key.id).collect::<Vec<_>>();
        let listed = ids(ask!(db, management_keys::list, &tenant.environment));
        assert_eq!(listed, [tenant.creator.clone(), second.clone(), third.clone()]);
        assert_eq!(ids(ask!(db, management_keys::list, &other.environment)), std::slice::from_ref(&other.creator));
        assert_eq!(ids(ask!(db, management_keys::after, second.as_str(), 10)), [third]);
        assert_eq!(ids(ask!(db, management_keys::after, "", 2)).len(), 2);
        assert_eq!(ask!(db, outbox::backlog, START).depth, 4);
        assert_eq!(Kind::EVERY[0], Kind::ManagementKey);
    }
}
