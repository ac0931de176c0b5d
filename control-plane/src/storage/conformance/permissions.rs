use shared::id::{EnvironmentId, PermissionId};

use super::*;
use crate::{
    entropy::OsEntropy,
    storage::{
        Db, PageRequest, Position,
        permissions::{self, Permission},
        testing::{Tenant, conformance},
    },
};

fn permission(environment: &EnvironmentId, slug: &str, now: Timestamp) -> Permission {
    Permission {
        id: PermissionId::generate(now, &mut OsEntropy),
        environment_id: environment.clone(),
        slug: slug.to_owned(),
        name: format!("May {slug}"),
        description: Some("Why".to_owned()),
        resource_type_slug: "organization".to_owned(),
        created_at: now,
        updated_at: now,
    }
}

conformance! {
    async fn a_slug_is_taken_once_in_an_environment(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let read = permission(&tenant.environment, "read", START);
        assert!(change!(db, permissions::insert, &read));
        assert!(!change!(db, permissions::insert, &permission(&tenant.environment, "read", START)));
        assert!(change!(db, permissions::insert, &permission(&other.environment, "read", START)));
        assert_eq!(ask!(db, permissions::get, &tenant.environment, "read"), Some(read));
        assert_eq!(ask!(db, permissions::get, &tenant.environment, "write"), None);
    }

    async fn only_what_is_given_is_changed(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let read = permission(&tenant.environment, "read", START);
        change!(db, permissions::insert, &read);
        let later = START.plus_millis(1);
        let environment = &tenant.environment;
        let renamed = change!(db, permissions::update, environment, "read", Some("New"), None, later).unwrap();
        assert_eq!(renamed, Permission { name: "New".to_owned(), updated_at: later, ..read });
        let bare = change!(db, permissions::update, environment, "read", None, Some(None), later).unwrap();
        assert_eq!((bare.name.as_str(), &bare.description), ("New", &None));
        let full = change!(db, permissions::update, environment, "read", None, Some(Some("x")), later).unwrap();
        assert_eq!(full.description.as_deref(), Some("x"));
        assert_eq!(change!(db, permissions::update, &other.environment, "read", Some("New"), None, later), None);
    }

    async fn those_that_exist_are_held_and_the_others_are_missing(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        for slug in ["a", "b"] {
            change!(db, permissions::insert, &permission(&tenant.environment, slug, START));
        }
        let asked = ["b".to_owned(), "c".to_owned(), "a".to_owned()];
        let mut held = change!(db, permissions::hold, &tenant.environment, &asked);
        held.sort();
        assert_eq!(held, ["a", "b"]);
        assert_eq!(change!(db, permissions::hold, &tenant.environment, &[]), Vec::<String>::new());
    }

    async fn a_deleted_one_is_gone_and_lists_are_in_order(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        for (slug, millis) in [("a", 0), ("b", 1), ("c", 2)] {
            change!(db, permissions::insert, &permission(&tenant.environment, slug, START.plus_millis(millis)));
        }
        assert_eq!(change!(db, permissions::delete, &other.environment, "b", START), None);
        let (deleted, generation) = change!(db, permissions::delete, &tenant.environment, "b", START).unwrap();
        assert_eq!((deleted.slug.as_str(), generation.0), ("b", START.as_millis()));
        assert_eq!(change!(db, permissions::delete, &tenant.environment, "b", START), None);
        for (newest_first, expected) in [(true, ["c", "a"]), (false, ["a", "c"])] {
            let request = PageRequest { limit: 10, newest_first, position: Position::Start };
            let page = ask!(db, permissions::list, &tenant.environment, &request);
            assert_eq!(page.items.iter().map(|item| item.slug.as_str()).collect::<Vec<_>>(), expected);
        }
    }
}
