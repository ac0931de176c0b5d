//! The validation of a key that is in use allocates nothing, as far as the rules go. What JavaScript hands over and is
//! handed is counted in `tests/tests/hot_path.rs`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

use std::rc::Rc;

use shared::{
    Timestamp, caller,
    digest::{Digest, Place},
    entropy::Repeating,
    feed::{Epoch, Page},
    freshness::{Isolate, Limits, Rules, Step},
    key::{KeyText, Prefix},
    record::{Grant, ManagementKeyGrant, Record},
    scope::Scope,
    usage::{Outcome, Reporter},
    validation::Validation,
};

const NOW: Timestamp = Timestamp::from_millis(1_768_478_400_000);
const NOBODY: Place = Place([0; 16]);

/// An isolate that knows two keys.
struct World {
    isolate: Isolate<Rc<Record>>,
    reporter: Reporter,
    header: String,
    body: String,
}

fn world() -> World {
    let prefix: Prefix = "lk_live".parse().unwrap();
    let management_key = KeyText::generate_management(&mut Repeating(1));
    let key = KeyText::generate(&prefix, &mut Repeating(2));
    let mut record = Record::example();
    record.sealed_at = NOW;
    let mut of_management_key = record.clone();
    of_management_key.grant = Grant::ManagementKey(ManagementKeyGrant {
        id: "management_key_01KF0JZ4G0000000000000000A".to_owned().try_into().unwrap(),
        scopes: vec!["api_keys:validate".to_owned()],
        prefixes: vec![prefix],
        accepts_foreign: false,
    });

    let mut isolate = Isolate::new(Limits::with_lease(2_000), Rules::ALL);
    let poll = isolate.begin_poll(NOW).unwrap();
    let page = Page { epoch: Epoch(1), after: 0, up_to: 0, trimmed: 0, complete: true, age_millis: 0, entries: vec![] };
    isolate.finish_poll(&poll, &page, NOW);
    for (place, known) in [
        (Place::of_management_key(&Digest::of(management_key.expose())), of_management_key),
        (Place::of_api_key(&record.environment, &Digest::of(key.expose())), record.clone()),
    ] {
        let mut look_up = isolate.look_up(place, NOBODY);
        assert_eq!(isolate.step(&mut look_up, NOW), Step::AskStore);
        isolate.store_answered(&mut look_up, Ok(Some(Rc::new(known))));
        assert!(matches!(isolate.step(&mut look_up, NOW), Step::Decide(_)));
    }
    World {
        isolate,
        reporter: Reporter::new("somebody".to_owned()),
        header: format!("Bearer {}", management_key.expose()),
        body: format!(r#"{{"value":"{}"}}"#, key.expose()),
    }
}

fn known(isolate: &mut Isolate<Rc<Record>>, place: Place) -> Rc<Record> {
    let mut look_up = isolate.look_up(place, NOBODY);
    match isolate.step(&mut look_up, NOW) {
        Step::Decide(record) => record,
        other => panic!("{other:?}"),
    }
}

/// The steps of the Worker's short way, in its order.
fn validate(world: &mut World) {
    let text = caller::management_key(Some(&world.header)).unwrap();
    let caller = known(&mut world.isolate, Place::of_management_key(&Digest::of(text)));
    let grant = caller::authorize(&caller, Scope::ApiKeysValidate, NOW).unwrap();
    let validation = Validation::parse(world.body.as_bytes()).unwrap();
    let digest = Digest::of(validation.key_text(grant).unwrap());
    let place = Place::of_api_key(&caller.environment, &digest);
    let record = known(&mut world.isolate, place);
    assert!(validation.decide(&caller.environment, Some(&record), NOW).is_ok());
    world.reporter.tally().count_key(place, Outcome::Valid, NOW, || (caller.environment.clone(), digest));
    let _ = world.reporter.begin(NOW);
}

#[test]
fn a_hot_validation_allocates_nothing() {
    let mut world = world();
    // The first one makes room for what is counted.
    assert!(allocation_counter::measure(|| validate(&mut world)).count_total > 0);
    for _ in 0..10 {
        assert_eq!(allocation_counter::measure(|| validate(&mut world)).count_total, 0);
    }
}
