use shared::{
    digest::Digest,
    id::{ApiKeyId, EnvironmentId},
    reason::Reason,
    record::Revoked,
    usage::{Batch, Count, EnvironmentUsage, KeyUsage, Outcome},
};

use super::*;
use crate::{
    entropy::OsEntropy,
    storage::{
        Db, api_keys,
        testing::{Tenant, conformance},
        usage::{self, Counted, Hours, Span, Total},
    },
};

/// The hour at which every test begins: the eighth of its day.
const HOUR: i64 = 500_000;
const MIDNIGHT: i64 = HOUR - 8;
const HOURS: Hours = Hours { first: HOUR - 48, last: HOUR + 1 };
const ALL: Span = Span { first: 0, end: 1_000_000, interval: 1 };

const VALID: Outcome = Outcome::Valid;
const EXPIRED: Outcome = Outcome::Refused(Reason::Expired);
const NOT_FOUND: Outcome = Outcome::Refused(Reason::NotFound);
const MALFORMED: Outcome = Outcome::Refused(Reason::Malformed);

const fn count(hour: i64, outcome: Outcome, count: u64) -> Count {
    Count { hour, outcome, count }
}

fn key(environment: &EnvironmentId, text: &str, counts: &[Count]) -> KeyUsage {
    KeyUsage { environment: environment.clone(), digest: Digest::of(text), last_used_at: None, counts: counts.to_vec() }
}

fn no_key(environment: &EnvironmentId, counts: &[Count]) -> EnvironmentUsage {
    EnvironmentUsage { environment: environment.clone(), counts: counts.to_vec() }
}

fn batch(sender: &str, number: u64, keys: Vec<KeyUsage>) -> Batch {
    Batch { sender: sender.to_owned(), number, keys, environments: vec![], lost: 0 }
}

async fn apply(db: &Db, batch: &Batch) -> Option<Counted> {
    change!(db, usage::apply, batch, HOURS, START)
}

async fn of_key(db: &Db, tenant: &Tenant, id: &ApiKeyId, span: Span) -> Vec<(i64, String, i64)> {
    shown(ask!(db, usage::of_key, &tenant.environment, id, span))
}

async fn of_environment(db: &Db, tenant: &Tenant, span: Span) -> Vec<(i64, String, i64)> {
    shown(ask!(db, usage::of_environment, &tenant.environment, span))
}

fn shown(totals: Vec<Total>) -> Vec<(i64, String, i64)> {
    totals.into_iter().map(|total| (total.start, total.outcome, total.count)).collect()
}

fn total(start: i64, outcome: Outcome, count: i64) -> (i64, String, i64) {
    (start, outcome.code().to_owned(), count)
}

async fn last_used_at(db: &Db, tenant: &Tenant, id: &ApiKeyId) -> Option<Timestamp> {
    ask!(db, api_keys::get, &tenant.environment, id).unwrap().last_used_at
}

conformance! {
    async fn a_batch_counts_once_however_often_and_in_what_order_it_is_told(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let of_number = |number| batch("a", number, vec![key(&tenant.environment, "key", &[count(HOUR, VALID, 1)])]);
        for (number, is_counted) in [(1, true), (1, false), (2, true), (5, true), (3, false), (1, false), (5, false)] {
            assert_eq!(apply(&db, &of_number(number)).await.is_some(), is_counted, "{number}");
        }
        assert_eq!(of_key(&db, &tenant, &id, ALL).await, [total(HOUR, VALID, 3)]);
        assert_eq!(of_environment(&db, &tenant, ALL).await, [total(HOUR, VALID, 3)]);
        let other = Batch { sender: "b".to_owned(), ..of_number(1) };
        assert!(apply(&db, &other).await.is_some(), "another sender has numbers of its own");
        assert_eq!(of_key(&db, &tenant, &id, ALL).await, [total(HOUR, VALID, 4)]);
    }

    async fn what_was_not_committed_counts_once_after_the_repeat(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let used = KeyUsage { last_used_at: Some(START), ..key(&tenant.environment, "key", &[count(HOUR, VALID, 7)]) };
        let batch = batch("a", 1, vec![used]);
        let mut killed = db.write().await.unwrap();
        assert!(usage::apply(killed.conn(), &batch, HOURS, START).await.unwrap().is_some());
        drop(killed);
        assert_eq!((of_key(&db, &tenant, &id, ALL).await, last_used_at(&db, &tenant, &id).await), (vec![], None));
        assert!(apply(&db, &batch).await.is_some());
        assert_eq!(apply(&db, &batch).await, None);
        assert_eq!(of_key(&db, &tenant, &id, ALL).await, [total(HOUR, VALID, 7)]);
        assert_eq!(last_used_at(&db, &tenant, &id).await, Some(START));
    }

    async fn many_senders_at_once_are_added_up_and_copies_are_not(db: Db) {
        const KEYS: usize = 30;
        let tenant = Tenant::new(&db, START).await;
        let texts: Vec<String> = (0..KEYS).map(|number| format!("key {number}")).collect();
        let mut ids = vec![];
        for text in &texts {
            ids.push(tenant.api_key(&db, text, &[], START).await);
        }
        let of_sender = |sender: i64| {
            let used = |text: &String| KeyUsage {
                last_used_at: Some(START.plus_millis(-sender)),
                ..key(&tenant.environment, text, &[count(HOUR, VALID, 2), count(HOUR, EXPIRED, 1)])
            };
            let mut keys: Vec<KeyUsage> = texts.iter().map(used).collect();
            // Whatever order they come in, nobody may wait for each other.
            if sender % 2 == 1 {
                keys.reverse();
            }
            batch(&format!("sender {sender}"), 1, keys)
        };
        let batches: Vec<Batch> = (1..=20).chain(1..=20).map(of_sender).collect();
        let told = futures::future::join_all(batches.iter().map(|batch| apply(&db, batch))).await;
        assert_eq!(told.iter().flatten().count(), 20);
        for id in &ids {
            assert_eq!(of_key(&db, &tenant, id, ALL).await, [total(HOUR, EXPIRED, 20), total(HOUR, VALID, 40)]);
            assert_eq!(last_used_at(&db, &tenant, id).await, Some(START.plus_millis(-1)), "the newest of them");
        }
        assert_eq!(of_environment(&db, &tenant, ALL).await, [total(HOUR, EXPIRED, 600), total(HOUR, VALID, 1_200)]);
    }

    async fn keys_are_counted_in_their_environment_and_what_is_no_key_in_that_of_its_caller(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let same_text = other.api_key(&db, "key", &[], START).await;
        let nobody = EnvironmentId::generate(START, &mut OsEntropy);
        let told = Batch {
            environments: vec![
                no_key(&tenant.environment, &[count(HOUR, NOT_FOUND, 3), count(HOUR, MALFORMED, 4)]),
                no_key(&nobody, &[count(HOUR, MALFORMED, 9)]),
            ],
            lost: 2,
            ..batch("a", 1, vec![
                key(&tenant.environment, "key", &[count(HOUR, VALID, 5)]),
                key(&tenant.environment, "no such key", &[count(HOUR, EXPIRED, 6)]),
                key(&nobody, "key", &[count(HOUR, VALID, 8)]),
            ])
        };
        let counted = apply(&db, &told).await.unwrap();
        assert_eq!(counted.outcomes.into_iter().collect::<Vec<_>>(), [(VALID, 13), (MALFORMED, 13), (NOT_FOUND, 3), (EXPIRED, 6)]);
        assert_eq!(counted.lost, 2);
        assert_eq!(of_key(&db, &tenant, &id, ALL).await, [total(HOUR, VALID, 5)]);
        let all = [total(HOUR, EXPIRED, 6), total(HOUR, MALFORMED, 4), total(HOUR, NOT_FOUND, 3), total(HOUR, VALID, 5)];
        assert_eq!(of_environment(&db, &tenant, ALL).await, all);
        assert_eq!(of_key(&db, &other, &same_text, ALL).await, []);
        assert_eq!(of_environment(&db, &other, ALL).await, []);
        assert_eq!(of_key(&db, &other, &id, ALL).await, [], "a stranger sees nothing of it");
        assert_eq!(last_used_at(&db, &other, &same_text).await, None);
    }

    async fn the_last_use_never_goes_back_and_changes_nothing_else(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let before = ask!(db, api_keys::get, &tenant.environment, &id).unwrap();
        let cases = [(-500, -500), (-100, -100), (-300, -100), (0, 0), (5_000, 0)];
        for ((used, expected), number) in cases.into_iter().zip(1..) {
            let at = Some(START.plus_millis(used));
            let used = KeyUsage { last_used_at: at, ..key(&tenant.environment, "key", &[count(HOUR, VALID, 1)]) };
            // The same key twice in a batch is no reason to forget one of the two.
            apply(&db, &batch("a", number, vec![used, key(&tenant.environment, "key", &[count(HOUR, EXPIRED, 1)])])).await;
            assert_eq!(last_used_at(&db, &tenant, &id).await, Some(START.plus_millis(expected)), "{at:?}");
        }
        let after = ask!(db, api_keys::get, &tenant.environment, &id).unwrap();
        assert_eq!(api_keys::ApiKey { last_used_at: None, ..after }, before, "no new version, so nothing to publish");
        assert_eq!(of_key(&db, &tenant, &id, ALL).await, [total(HOUR, EXPIRED, 5), total(HOUR, VALID, 5)]);
    }

    async fn a_revoked_key_is_counted_and_found(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        change!(db, api_keys::revoke, &tenant.environment, &id, &Revoked::new("deleted", START), START);
        let refused = Outcome::Refused(Reason::Revoked);
        apply(&db, &batch("a", 1, vec![key(&tenant.environment, "key", &[count(HOUR, refused, 3)])])).await;
        assert_eq!(of_key(&db, &tenant, &id, ALL).await, [total(HOUR, refused, 3)]);
        assert!(ask!(db, api_keys::ever_was, &tenant.environment, &id));
        assert!(!ask!(db, api_keys::ever_was, &other.environment, &id));
    }

    async fn what_is_of_another_time_is_lost_and_no_number_is_too_large(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let counts = [
            count(i64::MIN, VALID, 1), count(HOURS.first - 1, VALID, 10), count(HOURS.first, VALID, 100),
            count(HOURS.last, VALID, 1_000), count(HOURS.last + 1, VALID, 10_000), count(i64::MAX, VALID, u64::MAX),
            count(HOUR, EXPIRED, u64::MAX), count(HOUR, EXPIRED, u64::MAX),
        ];
        let counted = apply(&db, &batch("a", u64::MAX, vec![key(&tenant.environment, "key", &counts)])).await.unwrap();
        assert_eq!(counted.lost, 1_000_010_011);
        assert_eq!(of_key(&db, &tenant, &id, ALL).await, [
            total(HOURS.first, VALID, 100), total(HOUR, EXPIRED, 2_000_000_000), total(HOURS.last, VALID, 1_000),
        ]);
        let lost = Batch { lost: u64::MAX, ..batch("b", 1, vec![key(&tenant.environment, "key", &counts)]) };
        assert_eq!(apply(&db, &lost).await.unwrap().lost, u64::MAX);
    }

    async fn intervals_are_hours_or_days_of_utc(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let counts: Vec<Count> = (-25..=1).map(|hour| count(HOUR + hour, VALID, 1)).collect();
        apply(&db, &batch("a", 1, vec![key(&tenant.environment, "key", &counts)])).await;
        let span = |first, end| Span { first, end, interval: 1 };
        let one = [total(HOUR - 3, VALID, 1), total(HOUR - 2, VALID, 1)];
        assert_eq!(of_key(&db, &tenant, &id, span(HOUR - 3, HOUR - 1)).await, one);
        assert_eq!(of_environment(&db, &tenant, span(HOUR - 3, HOUR - 1)).await, one);
        assert_eq!(of_key(&db, &tenant, &id, span(HOUR + 2, HOUR + 5)).await, []);
        let days = Span { first: MIDNIGHT - 24, end: MIDNIGHT + 24, interval: 24 };
        let both = [total(MIDNIGHT - 24, VALID, 17), total(MIDNIGHT, VALID, 10)];
        assert_eq!(of_key(&db, &tenant, &id, days).await, both);
        assert_eq!(of_environment(&db, &tenant, days).await, both);
    }

    async fn what_is_old_is_forgotten_step_by_step(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let counts: Vec<Count> = (0..5).flat_map(|ago| [VALID, EXPIRED].map(|outcome| count(HOUR - ago, outcome, 1))).collect();
        apply(&db, &batch("a", 1, vec![key(&tenant.environment, "key", &counts)])).await;
        let left = async || (of_key(&db, &tenant, &id, ALL).await.len(), of_environment(&db, &tenant, ALL).await.len());
        assert_eq!(change!(db, usage::forget_before, HOUR - 10, 100), 0);
        assert_eq!(change!(db, usage::forget_before, HOUR - 1, 3), 6);
        assert_eq!(left().await, (7, 7));
        assert_eq!(of_key(&db, &tenant, &id, ALL).await[0].0, HOUR - 3, "the oldest go first");
        assert_eq!(change!(db, usage::forget_before, HOUR - 1, 100), 6);
        assert_eq!(change!(db, usage::forget_before, HOUR - 1, 100), 0);
        assert_eq!(left().await, (4, 4));
        assert_eq!(of_key(&db, &tenant, &id, ALL).await[0].0, HOUR - 1);
    }

    async fn senders_that_are_gone_are_forgotten(db: Db) {
        for (sender, ago) in [("long gone", 3), ("gone", 2), ("here", 1)] {
            let at = START.plus_millis(-ago);
            assert!(change!(db, usage::apply, &batch(sender, 1, vec![]), HOURS, at).is_some());
        }
        let before = START.plus_millis(-1);
        assert_eq!(change!(db, usage::forget_senders, before, 1), 1);
        assert_eq!(apply(&db, &batch("gone", 1, vec![])).await, None, "the one that was seen last goes last");
        assert_eq!(change!(db, usage::forget_senders, before, 10), 1);
        assert_eq!(change!(db, usage::forget_senders, before, 10), 0);
        assert_eq!(apply(&db, &batch("here", 1, vec![])).await, None);
        assert!(apply(&db, &batch("gone", 1, vec![])).await.is_some());
    }
}
