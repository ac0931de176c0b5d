use super::*;
use crate::{
    clock::Clock,
    keys,
    storage::{Db, environments, testing::conformance},
};

conformance! {
    async fn what_was_made_is_found_and_listed_in_order(db: Db) {
        assert!(!ask!(db, environments::any));
        assert_eq!(ask!(db, environments::list), []);
        change!(db, environments::lock_all);
        let mut made = vec![];
        for (name, millis) in [("first", 0), ("second", 1), ("third", 2)] {
            let clock = Clock::from_fn(move || START.plus_millis(millis));
            let prefix = "lk_test".parse().unwrap();
            made.push(change!(db, keys::create_environment, name, prefix, &clock));
        }
        assert!(ask!(db, environments::any));
        assert_eq!(ask!(db, environments::list), made);
        assert_eq!(ask!(db, environments::get, &made[1].id).as_ref(), Some(&made[1]));
        let other = "environment_00000000000000000000000000".parse().unwrap();
        assert_eq!(ask!(db, environments::get, &other), None);
    }
}
