use shared::{
    feed::{Effect, Epoch, Position, Scope},
    id::OrganizationId,
    record::Version,
};

use super::*;
use crate::storage::{
    Db,
    feed::{self, ScopeChange},
    outbox::Changed,
    testing::{Tenant, conformance},
};

fn deleted(tenant: &Tenant, organization: &OrganizationId, generation: i64) -> ScopeChange {
    let scope = Scope::Organization(organization);
    let now = START.plus_millis(generation);
    ScopeChange::new(&scope, &tenant.environment, Version(generation), Effect::Revoke, now)
}

fn fed(name: &str, generation: i64) -> Changed {
    Changed { id: name.to_owned(), version: Version(generation) }
}

conformance! {
    async fn a_scope_has_its_last_change_until_that_is_fed(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let change = deleted(&tenant, &tenant.organization, 5);
        let name = change.name.as_str();
        change!(db, feed::add_scope, &change);
        assert_eq!(ask!(db, feed::scopes, &[name, "unheard of"]), std::slice::from_ref(&change));
        assert_eq!(ask!(db, feed::unfed_scopes, 9), [name]);
        change!(db, feed::note_scopes_fed, &[fed(name, 4)]);
        assert!(!ask!(db, feed::is_scope_fed, name, Version(5)), "an older one is");
        change!(db, feed::note_scopes_fed, &[fed(name, 5), fed("unheard of", 1)]);
        assert!(ask!(db, feed::is_scope_fed, name, Version(5)));
        assert!(ask!(db, feed::unfed_scopes, 9).is_empty());
        change!(db, feed::add_scope, &deleted(&tenant, &tenant.organization, 5));
        assert!(ask!(db, feed::is_scope_fed, name, Version(5)), "it is the same one");
        change!(db, feed::add_scope, &deleted(&tenant, &tenant.organization, 6));
        assert!(ask!(db, feed::is_scope_fed, name, Version(5)) && !ask!(db, feed::is_scope_fed, name, Version(6)));
        assert_eq!(ask!(db, feed::scopes, &[name])[0].generation, Version(6));
    }

    async fn a_scope_is_acknowledged_once_and_in_its_environment(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let change = deleted(&tenant, &tenant.organization, 5);
        change!(db, feed::add_scope, &change);
        let scope = Scope::Organization(&tenant.organization);
        assert_eq!(ask!(db, feed::unacknowledged_scope, &tenant.environment, &scope), Some(Version(5)));
        assert_eq!(ask!(db, feed::unacknowledged_scope, &other.environment, &scope), None);
        change!(db, feed::note_scope_acknowledged, &change.name, Version(4));
        assert_eq!(ask!(db, feed::unacknowledged_scope, &tenant.environment, &scope), Some(Version(5)));
        change!(db, feed::note_scope_acknowledged, &change.name, Version(5));
        assert_eq!(ask!(db, feed::unacknowledged_scope, &tenant.environment, &scope), None);
    }

    async fn scopes_are_walked_and_forgotten_by_their_time(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        for (slug, generation) in [("a", 1), ("b", 2), ("c", 3)] {
            let scope = Scope::Permission(&tenant.environment, slug);
            let now = START.plus_millis(generation);
            let change = ScopeChange::new(&scope, &tenant.environment, Version(generation), Effect::Revoke, now);
            change!(db, feed::add_scope, &change);
        }
        let all = ask!(db, feed::scopes_since, START.plus_millis(2), "", 9);
        assert_eq!(all.iter().map(|change| change.generation.0).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(ask!(db, feed::scopes_since, START, &all[0].name, 1), all[1..]);
        change!(db, feed::note_scopes_fed, &[fed(&all[0].name, 2)]);
        assert_eq!(change!(db, feed::remove_scopes, START.plus_millis(3), false), 1, "the feed has one of them");
        assert_eq!(change!(db, feed::remove_scopes, START.plus_millis(3), true), 1);
        assert_eq!(ask!(db, feed::scopes_since, START, "", 9), all[1..]);
    }

    async fn the_position_never_goes_back_within_an_epoch(db: Db) {
        let position = |epoch, sequence| Position { epoch: Epoch(epoch), sequence };
        assert_eq!(ask!(db, feed::position), None);
        for (noted, expected) in [
            (position(u32::MAX, 7), position(u32::MAX, 7)),
            (position(u32::MAX, 6), position(u32::MAX, 7)),
            (position(u32::MAX, 9), position(u32::MAX, 9)),
            (position(3, 1), position(3, 1)),
        ] {
            change!(db, feed::note_position, noted, None);
            assert_eq!(ask!(db, feed::position), Some(expected));
        }
    }
}
