use shared::{
    feed::{Effect, Epoch, Position, Scope},
    record::Version,
};

use super::*;
use crate::storage::{
    Db, api_keys, edge_sync,
    feed::{self, ScopeChange},
    outbox::{self, Kind, Route},
    reseed::{self, ChangedKey},
    testing::{Tenant, conformance, execute},
};

fn at(millis: i64) -> Timestamp {
    START.plus_millis(millis)
}

fn position(epoch: u32, sequence: u64) -> Option<Position> {
    Some(Position { epoch: Epoch(epoch), sequence })
}

async fn note(db: &Db, now: Option<Position>, before: Option<Position>) -> Option<Position> {
    change!(db, feed::note_position, now.unwrap(), before);
    ask!(db, feed::position)
}

conformance! {
    async fn keys_come_in_the_order_of_their_changes(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut ids = vec![];
        for number in 0..4 {
            ids.push(tenant.api_key(&db, &number.to_string(), &[], at(number)).await.to_string());
        }
        for (id, changed) in [(&ids[0], 30), (&ids[1], 20), (&ids[2], 20)] {
            change!(db, edge_sync::note_change, Kind::ApiKey, id, false, at(changed));
        }
        let changed = |millis: i64, id: &String| ChangedKey { changed_at: at(millis), id: id.clone() };
        let all = [changed(20, &ids[1]), changed(20, &ids[2]), changed(30, &ids[0])];
        assert_eq!(ask!(db, reseed::changed_after, Kind::ApiKey, at(20), "", 10), all);
        assert_eq!(ask!(db, reseed::changed_after, Kind::ApiKey, at(20), &ids[1], 1), all[1..2]);
        assert_eq!(ask!(db, reseed::changed_after, Kind::ApiKey, at(20), &ids[2], 10), all[2..]);
        assert_eq!(ask!(db, reseed::changed_after, Kind::ApiKey, at(21), "", 10), all[2..]);
        assert_eq!(ask!(db, reseed::changed_after, Kind::ManagementKey, at(0), "", 10), []);
        let creator = tenant.creator.to_string();
        change!(db, edge_sync::note_change, Kind::ManagementKey, &creator, false, at(1));
        assert_eq!(ask!(db, reseed::changed_after, Kind::ManagementKey, at(0), "", 10), [changed(1, &creator)]);
    }

    async fn what_waits_behind_the_feed_is_found_by_kind(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        tenant.api_key(&db, "for the store alone", &[], START).await;
        let first = tenant.api_key_by(Route::FeedFirst, &db, "first", &[], at(1)).await.to_string();
        let second = tenant.api_key_by(Route::FeedFirst, &db, "second", &[], at(2)).await.to_string();
        assert_eq!(ask!(db, reseed::unwritten_after, Kind::ApiKey, "", 10), [first.clone(), second.clone()]);
        assert_eq!(ask!(db, reseed::unwritten_after, Kind::ApiKey, "", 1), std::slice::from_ref(&first));
        assert_eq!(ask!(db, reseed::unwritten_after, Kind::ApiKey, &first, 10), [second]);
        assert_eq!(ask!(db, reseed::unwritten_after, Kind::ManagementKey, "", 10), [tenant.creator.to_string()]);
    }

    async fn a_position_is_noted_only_on_top_of_what_was_known(db: Db) {
        assert_eq!(note(&db, position(1, 5), position(1, 3)).await, None, "it was noted once, and is not any more");
        assert_eq!(note(&db, position(1, 5), None).await, position(1, 5));
        assert_eq!(note(&db, position(1, 7), position(1, 5)).await, position(1, 7));
        assert_eq!(note(&db, position(1, 6), position(1, 5)).await, position(1, 7), "it never goes back");
        assert_eq!(note(&db, position(1, 9), position(1, 8)).await, position(1, 7), "it has noted less than was known");
        assert_eq!(note(&db, position(1, 9), position(1, 6)).await, position(1, 9), "another process was faster");
        assert_eq!(note(&db, position(2, 1), position(1, 9)).await, position(2, 1), "another epoch");
        assert_eq!(note(&db, position(3, 8), position(3, 7)).await, position(2, 1), "an epoch that was noted once");
        assert_eq!(note(&db, position(3, 8), None).await, position(3, 8));
    }

    async fn the_oldest_unfed_change_is_of_a_key_or_of_a_scope(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        execute(&db, "DELETE FROM outbox").await;
        assert_eq!(ask!(db, feed::oldest_unfed), None);
        let id = tenant.api_key_by(Route::FeedFirst, &db, "key", &[], at(5)).await;
        assert_eq!(ask!(db, feed::oldest_unfed), Some(at(5)));
        let scope = Scope::Organization(&tenant.organization);
        change!(db, feed::add_scope, &ScopeChange::new(&scope, &tenant.environment, Version(1), Effect::Revoke, at(3)));
        assert_eq!(ask!(db, feed::oldest_unfed), Some(at(3)));
        let fed = |id: String, version| outbox::Changed { id, version };
        change!(db, feed::note_scopes_fed, &[fed(scope.name(), Version(1))]);
        assert_eq!(ask!(db, feed::oldest_unfed), Some(at(5)));
        let version = ask!(db, api_keys::get, &tenant.environment, &id).unwrap().version;
        change!(db, outbox::note_fed, &[fed(id.to_string(), version)]);
        assert_eq!(ask!(db, feed::oldest_unfed), None);
    }
}
