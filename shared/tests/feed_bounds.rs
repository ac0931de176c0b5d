//! What the change feed holds and answers at once is bounded in bytes too, however long the effects of scopes are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod common;

use common::MemoryFeed;
use shared::{
    Timestamp,
    digest::Place,
    feed::{
        APPEND_MAX, BYTES_OF_AN_ENTRY, Change, ENTRIES_MAX, Effect, Epoch, Feed, Mark, PAGE_MAX, Position, Refusal,
        Rules, wire::ENTRY_BYTES,
    },
    record::Version,
};

/// A change of a role to the longest set of permissions that one can have.
fn change_of_role(number: usize) -> Change<Option<common::Record>> {
    let permissions = (0..200).map(|permission| format!("{number:0>24}:{permission:0>23}")).collect();
    Change {
        place: Place::of(&format!("role:{number}")),
        version: Version(1),
        mark: Mark::Scope(Effect::AllowOnly(permissions)),
        changed_at: Timestamp::from_millis(0),
        body: None,
    }
}

fn feed(store: &mut MemoryFeed) -> Feed<'_, MemoryFeed> {
    let mut feed = Feed::new(store, Epoch(7), Rules::ALL);
    let epoch = feed.status().unwrap().epoch;
    let _ = feed.open(epoch).unwrap();
    feed
}

#[test]
fn a_page_of_long_effects_is_cut_and_nothing_is_left_out() {
    let mut store = MemoryFeed::empty();
    let mut feed = feed(&mut store);
    let count = 100;
    let _ = feed.append(None, (0..count).map(change_of_role).collect()).unwrap();
    let (mut position, mut seen, mut pages) = (None, vec![], 0);
    loop {
        let page = feed.page(position, PAGE_MAX).unwrap();
        let longest = PAGE_MAX as usize * (BYTES_OF_AN_ENTRY + ENTRY_BYTES) + 20_000;
        assert!(page.encode().len() < longest, "{} bytes", page.encode().len());
        position = Some(Position { epoch: page.epoch, sequence: page.up_to });
        seen.extend(page.entries.into_iter().map(|entry| entry.place));
        pages += 1;
        if page.complete {
            break;
        }
    }
    assert!(pages > 1);
    assert_eq!(seen, (0..count).map(|number| change_of_role(number).place).collect::<Vec<_>>());
}

#[test]
fn long_effects_fill_the_feed_sooner() {
    let mut store = MemoryFeed::empty();
    let mut feed = feed(&mut store);
    let weight = change_of_role(0).mark.weight();
    assert!(weight > 300, "{weight}");
    let room = usize::try_from(ENTRIES_MAX / weight).unwrap();
    for start in (0..room).step_by(APPEND_MAX) {
        let _ = feed.append(None, (start..room.min(start + APPEND_MAX)).map(change_of_role).collect()).unwrap();
    }
    assert_eq!(feed.append(None, vec![change_of_role(room)]), Err(Refusal::Full));
    assert!(feed.append(None, vec![]).is_ok());
}

#[test]
fn short_marks_count_once() {
    for mark in [Mark::Created, Mark::Changed, Mark::Revoked, Mark::Scope(Effect::Revoke), Mark::Scope(Effect::Disable)]
    {
        assert_eq!(mark.weight(), 1, "{mark:?}");
    }
}
