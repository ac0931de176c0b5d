use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

/// How many requests are let through at this moment.
fn taken(buckets: &Buckets<u8>, millis: i64) -> usize {
    (0..1000).filter(|_| buckets.take(1, at(millis)).is_ok()).count()
}

#[test]
fn ten_seconds_worth_at_once_and_then_as_many_as_come_in() {
    let buckets = Buckets::new(20).unwrap();
    let at_moments = [0, 49, 50, 1_050, 100_000].map(|millis| taken(&buckets, millis));
    assert_eq!(at_moments, [200, 0, 1, 20, 200]);
    assert!(buckets.take(2, at(0)).is_ok());
    assert!(Buckets::<u8>::new(0).is_none());
}

#[test]
fn whoever_waits_as_told_is_let_through_and_nobody_waits_longer() {
    for per_second in [1, 2, 3, 7, 1000, 1_000_000] {
        let buckets = Buckets::new(per_second).unwrap();
        while buckets.take(1, at(0)).is_ok() {}
        let Err(Exceeded::Rate { retry_after_seconds: seconds }) = buckets.take(1, at(0)) else { unreachable!() };
        assert_eq!(seconds, 1);
        assert!(buckets.take(1, at(seconds * 1000)).is_ok(), "{per_second}");
    }
}

#[test]
fn a_clock_that_is_turned_back_hinders_nobody_for_long() {
    let buckets = Buckets::new(1).unwrap();
    while buckets.take(1, at(1_000_000_000)).is_ok() {}
    assert_eq!(buckets.take(1, at(0)), Err(Exceeded::Rate { retry_after_seconds: 1 }));
    assert!(buckets.take(1, at(1000)).is_ok());
}

#[test]
fn those_who_asked_longest_ago_are_forgotten_first() {
    let buckets = Buckets::new(1).unwrap();
    let callers = u32::try_from(REMEMBERED_MAX).unwrap();
    for who in 0..callers {
        for _ in 0..10 {
            buckets.take(who, at(0)).unwrap();
        }
    }
    assert!(buckets.take(0, at(0)).is_err(), "and it asked just now");
    assert!(buckets.take(callers, at(0)).is_ok());
    assert!(buckets.take(1, at(0)).is_ok(), "it was forgotten");
    assert!(buckets.take(0, at(0)).is_err());
    assert_eq!(buckets.full_at.lock().unwrap().len(), REMEMBERED_MAX);
}
