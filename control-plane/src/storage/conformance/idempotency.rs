use super::*;
use crate::storage::{
    Db,
    idempotency::{self, Kept},
    testing::conformance,
};

const ID: [u8; 32] = [1; 32];

fn kept(fingerprint: &[u8], answer: Option<&[u8]>) -> Option<Kept> {
    Some(Kept { fingerprint: fingerprint.to_vec(), answer: answer.map(<[u8]>::to_vec) })
}

conformance! {
    async fn a_place_is_taken_once_and_again_when_its_answer_is_old(db: Db) {
        let a_second_before = START.plus_millis(-1000);
        assert_eq!(ask!(db, idempotency::get, &ID), None);
        assert!(change!(db, idempotency::claim, &ID, b"first", START, a_second_before));
        change!(db, idempotency::keep, &ID, b"answer");
        assert!(!change!(db, idempotency::claim, &ID, b"second", START, a_second_before));
        assert_eq!(ask!(db, idempotency::get, &ID), kept(b"first", Some(b"answer")));
        assert!(change!(db, idempotency::claim, &ID, b"second", START.plus_millis(1000), START));
        assert_eq!(ask!(db, idempotency::get, &ID), kept(b"second", None));
    }

    async fn a_place_that_was_not_committed_is_free(db: Db) {
        let mut transaction = db.write().await.unwrap();
        assert!(idempotency::claim(transaction.conn(), &ID, b"first", START, START).await.unwrap());
        drop(transaction);
        assert!(change!(db, idempotency::claim, &ID, b"second", START, START.plus_millis(-1)));
    }

    async fn the_oldest_are_forgotten_so_many_at_once(db: Db) {
        for number in 0..4 {
            let now = START.plus_millis(i64::from(number));
            change!(db, idempotency::claim, &[number; 32], b"", now, now);
        }
        assert_eq!(change!(db, idempotency::forget, START.plus_millis(2), 2), 2);
        assert_eq!(ask!(db, idempotency::get, &[1; 32]), None);
        assert_eq!(change!(db, idempotency::forget, START.plus_millis(2), 2), 1);
        assert!(ask!(db, idempotency::get, &[3; 32]).is_some());
    }
}
