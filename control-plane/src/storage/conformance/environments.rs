use shared::digest::Digest;

use super::*;
use crate::{
    clock::Clock,
    keys,
    storage::{Db, environments, testing::conformance},
};

conformance! {
    async fn what_was_made_is_found_and_listed_in_order(db: Db) {
        assert_eq!(ask!(db, environments::database_id), None);
        assert_eq!(ask!(db, environments::list), []);
        change!(db, environments::lock_all);
        let mut made = vec![];
        for (name, millis) in [("first", 0), ("second", 1), ("third", 2)] {
            let clock = Clock::from_fn(move || START.plus_millis(millis));
            let prefix = "lk_test".parse().unwrap();
            made.push(change!(db, keys::create_environment, name, prefix, &clock));
        }
        let named_after_the_first = Digest::of(made[0].id.as_str()).to_string();
        assert_eq!(ask!(db, environments::database_id), Some(named_after_the_first));
        assert_eq!(ask!(db, environments::list), made);
        assert_eq!(ask!(db, environments::get, &made[1].id).as_ref(), Some(&made[1]));
        let other = "environment_00000000000000000000000000".parse().unwrap();
        assert_eq!(ask!(db, environments::get, &other), None);
    }
}
