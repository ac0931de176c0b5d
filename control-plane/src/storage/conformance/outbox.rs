use std::time::Duration;

use shared::{
    feed::{Epoch, Position},
    record::Version,
};
use sqlx::FromRow;

use super::*;
use crate::storage::{
    self, Db, api_key_settings, api_keys, environments, feed,
    outbox::{self, Backlog, Changed, Claim, Fate, Kind, Route},
    testing::{self, Tenant, conformance},
};

#[derive(Debug, PartialEq, Eq, FromRow)]
struct Row {
    key_id: String,
    version: Version,
    queued_at: Timestamp,
    next_attempt_at: Timestamp,
    claim: Option<i64>,
    unsettled_until: Option<Timestamp>,
}

async fn rows(db: &Db) -> Vec<Row> {
    const SQL: &str = "SELECT * FROM outbox ORDER BY key_id";
    on_db!(db.read().await.unwrap().conn(), c => sqlx::query_as(SQL).fetch_all(c).await).unwrap()
}

fn at(millis: i64) -> Timestamp {
    START.plus_millis(millis)
}

async fn add(db: &Db, id: &str, version: i64, now: Timestamp) {
    change!(db, outbox::add, Kind::ApiKey, id, Version(version), Route::StoreOnly, now);
}

fn claim(id: i64, until: i64) -> Claim {
    Claim { id, until: at(until) }
}

conformance! {
    async fn a_key_has_one_row_with_its_newest_version(db: Db) {
        add(&db, "a", 5, at(0)).await;
        add(&db, "a", 7, at(10)).await;
        let expected = Row {
            key_id: "a".to_owned(),
            version: Version(7),
            queued_at: at(0),
            next_attempt_at: at(10),
            claim: None,
            unsettled_until: None,
        };
        assert_eq!(rows(&db).await, [expected]);
        let older = [("a", 6), ("b", 1), ("a", 7)].map(|(id, version)| Changed { id: id.to_owned(), version: Version(version) });
        for older in older {
            change!(db, outbox::add_all, Kind::ApiKey, &[older], Route::StoreOnly, at(20));
        }
        let rows = rows(&db).await;
        assert_eq!((rows[0].version, rows[0].next_attempt_at), (Version(7), at(10)), "an older version changes nothing");
        assert_eq!((rows[1].key_id.as_str(), rows[1].version), ("b", Version(1)));
        change!(db, outbox::add_all, Kind::ApiKey, &[], Route::StoreOnly, at(30));
    }

    async fn what_must_be_fed_first_is_claimed_only_then(db: Db) {
        let feed_first = async |id: &str, version| {
            change!(db, outbox::add, Kind::ApiKey, id, Version(version), Route::FeedFirst, at(0));
        };
        let unfed = async || ask!(db, outbox::unfed, 9).into_iter().map(|row| row.key_id).collect::<Vec<_>>();
        let fed = |id: &str, version| Changed { id: id.to_owned(), version: Version(version) };
        feed_first("a", 3).await;
        assert!(!ask!(db, outbox::any_past_feed));
        add(&db, "b", 3, at(0)).await;
        assert!(ask!(db, outbox::any_past_feed));
        assert_eq!(unfed().await, ["a"]);
        assert_eq!(ask!(db, outbox::unfed_of, &["a", "b", "c"]), ["a"]);
        assert_eq!(ask!(db, outbox::backlog, at(0)), Backlog { depth: 2, due: true, oldest: Some(at(0)) });
        assert_eq!(change!(db, outbox::claim, claim(1, 0), at(0), 9), 1);
        change!(db, outbox::note_fed, &[fed("a", 2), fed("b", 9), fed("unheard of", 1)]);
        assert_eq!(unfed().await, ["a"], "the feed has an older version");
        change!(db, outbox::note_fed, &[fed("a", 3)]);
        change!(db, outbox::note_fed, &[fed("a", 2)]);
        assert!(unfed().await.is_empty() && ask!(db, outbox::is_fed, "a", Version(3)));
        assert_eq!(change!(db, outbox::claim, claim(2, 0), at(0), 9), 2);
        // Once it has to go to the feed, it has to until it is gone.
        add(&db, "a", 4, at(0)).await;
        assert_eq!(unfed().await, ["a"]);
        assert!(ask!(db, outbox::is_fed, "a", Version(3)) && !ask!(db, outbox::is_fed, "a", Version(4)));
        assert!(ask!(db, outbox::is_fed, "b", Version(9)), "nothing of it must be fed");
        feed_first("b", 10).await;
        assert_eq!(unfed().await, ["a", "b"]);
    }

    async fn without_an_edge_only_what_an_earlier_one_must_be_told_stays(db: Db) {
        change!(db, outbox::add, Kind::ApiKey, "a", Version(1), Route::FeedFirst, at(0));
        add(&db, "b", 1, at(0)).await;
        change!(db, feed::note_position, Position { epoch: Epoch(1), sequence: 1 }, None);
        assert!(ask!(db, outbox::any_to_clear));
        assert_eq!(change!(db, outbox::clear, 9), 1);
        assert!(!ask!(db, outbox::any_to_clear));
        assert_eq!(ask!(db, outbox::waiting, &["a", "b"]), ["a"]);
    }

    async fn without_an_edge_rows_go_a_few_at_a_time(db: Db) {
        assert!(!ask!(db, outbox::any_to_clear));
        change!(db, outbox::add, Kind::ApiKey, "a", Version(1), Route::FeedFirst, at(0));
        add(&db, "b", 1, at(0)).await;
        add(&db, "c", 1, at(0)).await;
        let mut cleared = vec![];
        while ask!(db, outbox::any_to_clear) {
            cleared.push(change!(db, outbox::clear, 2));
        }
        assert_eq!(cleared, [2, 1]);
        assert_eq!(ask!(db, outbox::backlog, at(0)).depth, 0);
    }

    async fn a_change_and_its_row_are_committed_together_or_not_at_all(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut transaction = db.write().await.unwrap();
        outbox::clear(transaction.conn(), 9).await.unwrap();
        drop(transaction);
        assert_eq!(ask!(db, outbox::waiting, &[tenant.creator.as_str()]).len(), 1);
    }

    async fn the_backlog_counts_what_waits_and_what_is_due(db: Db) {
        assert_eq!(ask!(db, outbox::backlog, at(0)), Backlog { depth: 0, due: false, oldest: None });
        add(&db, "a", 1, at(3)).await;
        add(&db, "b", 1, at(9)).await;
        assert_eq!(ask!(db, outbox::backlog, at(5)), Backlog { depth: 2, due: true, oldest: Some(at(3)) });
        assert_eq!(ask!(db, outbox::waiting, &["b", "c"]), ["b"]);
        change!(db, outbox::make_all_due, at(5));
        assert!(ask!(db, outbox::backlog, at(5)).due);
        change!(db, outbox::clear, 9);
        assert_eq!(ask!(db, outbox::backlog, at(5)).depth, 0);
    }

    async fn a_claim_takes_what_is_due_longest_and_hides_it(db: Db) {
        for (id, due) in [("a", 3), ("b", 1), ("c", 2), ("d", 99)] {
            add(&db, id, 1, at(due)).await;
        }
        assert_eq!(change!(db, outbox::claim, claim(1, 60), at(10), 2), 2);
        let claimed = |rows: &[Row]| rows.iter().map(|row| row.claim).collect::<Vec<_>>();
        assert_eq!(claimed(&rows(&db).await), [None, Some(1), Some(1), None]);
        assert_eq!(change!(db, outbox::claim, claim(2, 60), at(10), 9), 1);
        assert_eq!(change!(db, outbox::claim, claim(3, 60), at(10), 9), 0);
        assert_eq!(change!(db, outbox::claim, claim(4, 160), at(60), 9), 3, "a claim that nobody ended");
        let rows = rows(&db).await;
        assert_eq!((rows[1].claim, rows[1].unsettled_until), (Some(4), Some(at(60))));
    }

    async fn settling_ends_ones_own_claim_alone(db: Db) {
        add(&db, "a", 1, at(0)).await;
        change!(db, outbox::claim, claim(1, 60), at(0), 9);
        change!(db, outbox::make_all_due, at(1));
        change!(db, outbox::claim, claim(2, 61), at(1), 9);
        change!(db, outbox::settle, claim(1, 60), at(2));
        assert_eq!(rows(&db).await[0].claim, Some(2), "it was overtaken");
        change!(db, outbox::settle, claim(2, 61), at(2));
        let row = &rows(&db).await[0];
        assert_eq!((row.claim, row.next_attempt_at), (None, at(60)), "the first may still land");
        change!(db, outbox::claim, claim(3, 120), at(60), 9);
        change!(db, outbox::settle, claim(3, 120), at(60));
        assert_eq!(rows(&db).await, []);
    }

    async fn what_was_changed_meanwhile_stays_and_is_due(db: Db) {
        add(&db, "a", 1, at(0)).await;
        add(&db, "b", 1, at(0)).await;
        change!(db, outbox::claim, claim(1, 60), at(0), 9);
        add(&db, "a", 2, at(5)).await;
        change!(db, outbox::settle, claim(1, 60), at(6));
        let rows = rows(&db).await;
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].version, rows[0].next_attempt_at, rows[0].claim), (Version(2), at(5), None));
        change!(db, outbox::claim, claim(2, 60), at(6), 9);
        change!(db, outbox::settle, claim(2, 60), at(7));
        assert_eq!(self::rows(&db).await, [], "the first write is known to have landed");
    }

    async fn what_is_given_back_is_due_later_and_remembered_if_it_may_land(db: Db) {
        for id in ["a", "b", "c"] {
            add(&db, id, 1, at(0)).await;
        }
        change!(db, outbox::claim, claim(1, 60), at(0), 9);
        add(&db, "c", 2, at(3)).await;
        change!(db, outbox::release, claim(1, 60), &["a"], Fate::NeverLands, at(20));
        change!(db, outbox::release, claim(1, 60), &["b", "c", "unheard of"], Fate::MayLand, at(20));
        change!(db, outbox::release, claim(9, 60), &["a"], Fate::NeverLands, at(99));
        let due = rows(&db).await.iter().map(|row| row.next_attempt_at).collect::<Vec<_>>();
        assert_eq!(due, [at(20), at(20), at(3)]);
        change!(db, outbox::claim, claim(2, 80), at(20), 9);
        let unsettled = rows(&db).await.iter().map(|row| row.unsettled_until).collect::<Vec<_>>();
        assert_eq!(unsettled, [None, Some(at(60)), Some(at(60))]);
    }

    async fn of_two_unsettled_claims_the_longer_counts(db: Db) {
        add(&db, "a", 1, at(0)).await;
        for (number, until) in [(1, 90), (2, 60), (3, 70)] {
            change!(db, outbox::make_all_due, at(0));
            change!(db, outbox::claim, claim(number, until), at(0), 9);
        }
        assert_eq!(rows(&db).await[0].unsettled_until, Some(at(90)));
    }

    /// Requests that change keys, one at a time and many at once, beside flushes and each other. On Postgres each takes
    /// locks, and none may end in a deadlock.
    async fn changes_and_flushes_at_once_all_succeed(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut ids = vec![];
        for number in 0..12 {
            ids.push(tenant.api_key(&db, &number.to_string(), &["a", "b", "c"], START).await);
        }
        let expire = async |round: usize| -> storage::Result<()> {
            for id in ids.iter().cycle().skip(round).take(ids.len()) {
                let mut transaction = db.write().await?;
                api_key_settings::lock(transaction.conn(), &tenant.environment, id).await?;
                let version = testing::set_expiry(transaction.conn(), id, None, START).await?;
                outbox::add(transaction.conn(), Kind::ApiKey, id.as_str(), version, Route::StoreOnly, START).await?;
                transaction.commit().await?;
            }
            Ok(())
        };
        let take = async |slug: &str| -> storage::Result<()> {
            let mut transaction = db.write().await?;
            api_keys::remove_permission(transaction.conn(), &tenant.environment, slug, &[], slug, START).await?;
            transaction.commit().await
        };
        let flush = async |number: i64| -> storage::Result<()> {
            for round in 0..10 {
                let claim = claim(100 * number + round, 0);
                let mut transaction = db.write().await?;
                outbox::claim(transaction.conn(), claim, START, 8).await?;
                transaction.commit().await?;
                let mut transaction = db.write().await?;
                let held: Vec<&str> = ids.iter().take(2).map(shared::id::ApiKeyId::as_str).collect();
                outbox::release(transaction.conn(), claim, &held, Fate::NeverLands, START).await?;
                outbox::settle(transaction.conn(), claim, START).await?;
                transaction.commit().await?;
            }
            Ok(())
        };
        let (expired, taken, flushed) = tokio::join!(
            futures::future::try_join_all((0..4).map(|round| expire(3 * round))),
            futures::future::try_join_all(["a", "b", "c"].map(take)),
            futures::future::try_join_all((0..2).map(flush)),
        );
        expired.unwrap();
        taken.unwrap();
        flushed.unwrap();
        let versions = ask!(db, api_keys::after, "", 100).into_iter().map(|key| key.version);
        assert!(versions.clone().all(|version| version == Version(START.as_millis() + 7)), "4 + 3 changes each");
        assert!(!ask!(db, environments::list).is_empty());
    }
}

/// On SQLite there is one writer at a time.
#[tokio::test]
async fn on_postgres_a_flush_passes_over_rows_that_a_change_has_locked() {
    testing::on_postgres(a_flush_passes_over_rows_that_a_change_has_locked).await;
}

async fn a_flush_passes_over_rows_that_a_change_has_locked(db: Db) {
    add(&db, "locked", 1, at(0)).await;
    add(&db, "free", 1, at(0)).await;
    let mut change = db.write().await.unwrap();
    outbox::add(change.conn(), Kind::ApiKey, "locked", Version(2), Route::StoreOnly, at(0)).await.unwrap();
    let flush = async {
        assert_eq!(change!(db, outbox::claim, claim(1, 60), at(0), 9), 1);
        change!(db, outbox::make_all_due, at(0));
        change!(db, outbox::release, claim(1, 60), &["locked", "free"], Fate::NeverLands, at(0));
        assert_eq!(change!(db, outbox::claim, claim(2, 60), at(0), 9), 1);
        change!(db, outbox::settle, claim(2, 60), at(0));
    };
    tokio::time::timeout(Duration::from_secs(60), flush).await.expect("it waits for nobody");
    change.commit().await.unwrap();
    let rows = rows(&db).await;
    assert_eq!((rows.len(), rows[0].version), (1, Version(2)));
}
