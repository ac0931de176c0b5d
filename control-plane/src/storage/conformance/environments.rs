use shared::digest::Digest;

use super::*;
use crate::{
    entropy::OsEntropy,
    events::Actor,
    service::{self, Database, commit},
    storage::{
        Db, Priority,
        environments::{self, Environment},
        testing::conformance,
    },
};

async fn create(db: &Db, name: &str, now: Timestamp) -> Environment {
    let prefix = "lk_test".parse().unwrap();
    let mut transaction = Database::without_edge(db.clone()).begin(Actor::Operator, Priority::Normal).await.unwrap();
    let created = service::environments::create(&mut transaction, name, prefix, now, &mut OsEntropy).await;
    let (environment, change) = created.unwrap();
    commit(transaction, change, now).await.unwrap();
    environment
}

conformance! {
    async fn what_was_made_is_found_and_listed_in_order(db: Db) {
        assert_eq!(ask!(db, environments::database_id), None);
        assert_eq!(ask!(db, environments::list), []);
        change!(db, environments::lock_all);
        let mut made = vec![];
        for (name, millis) in [("first", 0), ("second", 1), ("third", 2)] {
            made.push(create(&db, name, START.plus_millis(millis)).await);
        }
        let named_after_the_first = Digest::of(made[0].id.as_str()).to_string();
        assert_eq!(ask!(db, environments::database_id), Some(named_after_the_first));
        assert_eq!(ask!(db, environments::list), made);
        assert_eq!(ask!(db, environments::get, &made[1].id).as_ref(), Some(&made[1]));
        let other = "environment_00000000000000000000000000".parse().unwrap();
        assert_eq!(ask!(db, environments::get, &other), None);
    }
}
