use shared::record::Revoked;

use super::*;
use crate::storage::{
    Db, api_keys,
    outbox::{self, Kind},
    reseal,
    testing::{Tenant, conformance, execute},
};

fn at(millis: i64) -> Timestamp {
    START.plus_millis(millis)
}

async fn queued(db: &Db) -> Vec<String> {
    const SQL: &str = "SELECT key_id FROM outbox ORDER BY key_id";
    on_db!(db.read().await.unwrap().conn(), c => sqlx::query_scalar(SQL).fetch_all(c).await).unwrap()
}

conformance! {
    async fn what_was_sealed_longest_ago_is_queued_first_and_once(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut ids = vec![];
        for number in 0..3 {
            ids.push(tenant.api_key(&db, &number.to_string(), &[], at(number)).await.to_string());
        }
        // The key that was created last was sealed first.
        execute(&db, "UPDATE api_keys SET sealed_at = 1800000009000 - created_at + 1800000000000").await;
        change!(db, outbox::clear, 99);
        assert_eq!(change!(db, reseal::queue_sealed_before, Kind::ApiKey, at(8_998), 10, START), 0);
        assert_eq!(change!(db, reseal::queue_sealed_before, Kind::ApiKey, at(9_001), 1, START), 1);
        assert_eq!(queued(&db).await, [ids[2].clone()]);
        assert_eq!(change!(db, reseal::queue_sealed_before, Kind::ApiKey, at(9_001), 10, START), 2);
        assert_eq!(queued(&db).await, ids);
        assert_eq!(change!(db, reseal::queue_sealed_before, Kind::ApiKey, at(9_001), 10, START), 0);
        assert_eq!(change!(db, reseal::queue_sealed_before, Kind::ManagementKey, at(9_001), 10, START), 0);
    }

    async fn a_key_of_which_the_store_was_never_told_is_queued(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let count = async |kind| change!(db, reseal::queue_never_sealed, kind, 10, START);
        assert_eq!(count(Kind::ApiKey).await, 0, "it waits already");
        change!(db, outbox::clear, 99);
        assert_eq!(change!(db, reseal::queue_sealed_before, Kind::ApiKey, at(1), 10, START), 0);
        assert_eq!((count(Kind::ApiKey).await, count(Kind::ManagementKey).await), (1, 1));
        assert_eq!(queued(&db).await, [id.to_string(), tenant.creator.to_string()]);
    }

    async fn what_is_revoked_or_damaged_is_left_alone(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let revoked = tenant.api_key(&db, "revoked", &[], START).await;
        tenant.api_key(&db, "damaged", &[], START).await;
        change!(db, api_keys::revoke, &tenant.environment, &revoked, &Revoked::new("deleted", START), START);
        execute(&db, "UPDATE api_keys SET digest = substr(digest, 1, 3) WHERE name = 'damaged'").await;
        change!(db, outbox::clear, 99);
        assert_eq!(change!(db, reseal::queue_never_sealed, Kind::ApiKey, 10, START), 0);
        execute(&db, "UPDATE api_keys SET sealed_at = 1").await;
        assert_eq!(change!(db, reseal::queue_sealed_before, Kind::ApiKey, START, 10, START), 0);
    }

    async fn the_oldest_seal_is_that_of_a_key_that_still_counts(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        assert_eq!(ask!(db, reseal::oldest_seal), None);
        let revoked = tenant.api_key(&db, "revoked", &[], START).await;
        tenant.api_key(&db, "key", &[], START).await;
        execute(&db, "UPDATE api_keys SET sealed_at = CASE WHEN name = 'key' THEN 7 ELSE 3 END").await;
        execute(&db, "UPDATE management_keys SET sealed_at = 9").await;
        assert_eq!(ask!(db, reseal::oldest_seal), Some(Timestamp::from_millis(3)));
        change!(db, api_keys::revoke, &tenant.environment, &revoked, &Revoked::new("deleted", START), START);
        assert_eq!(ask!(db, reseal::oldest_seal), Some(Timestamp::from_millis(7)));
    }
}
