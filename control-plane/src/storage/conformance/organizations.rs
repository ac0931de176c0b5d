use std::time::Duration;

use shared::{Rfc3339, id::OrganizationDomainId};

use super::*;
use crate::{
    entropy::OsEntropy,
    storage::{
        Db, PageRequest, Position, api_key_settings,
        organizations::{self, Domain, DomainState, Filter, Organization},
        testing::{Tenant, conformance, execute, on_postgres, organization},
    },
};

fn named(tenant: &Tenant, name: &str, external_id: Option<&str>, domains: &[&str]) -> Organization {
    let mut made = organization(&tenant.environment, START);
    let domain = |domain: &&str| Domain {
        object: "organization_domain".to_owned(),
        id: OrganizationDomainId::generate(START, &mut OsEntropy),
        organization_id: made.id.clone(),
        domain: (*domain).to_owned(),
        state: DomainState::Verified,
        created_at: Rfc3339(START),
        updated_at: Rfc3339(START),
    };
    made.domains.0 = domains.iter().map(domain).collect();
    made.name = name.to_owned();
    made.external_id = external_id.map(str::to_owned);
    made
}

async fn names(db: &Db, tenant: &Tenant, search: Option<&str>, domains: Option<&[&str]>) -> Vec<String> {
    let filter = Filter {
        search: search.map(str::to_owned),
        domains: domains.map(|domains| domains.iter().map(|domain| (*domain).to_owned()).collect()),
    };
    let request = PageRequest { limit: 100, newest_first: false, position: Position::Start };
    let page = ask!(db, organizations::list, &tenant.environment, &filter, &request);
    let mut names: Vec<String> = page.items.into_iter().map(|item| item.name).collect();
    names.sort();
    names
}

conformance! {
    async fn an_organization_is_found_in_its_environment_alone(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let mut made = named(&tenant, "Umbrella", Some("ext"), &["a.example"]);
        made.metadata.0.insert("tier".to_owned(), "gold".to_owned());
        assert!(change!(db, organizations::insert, &made));
        let id = made.id.clone();
        assert_eq!(ask!(db, organizations::get, &tenant.environment, &id), Some(made.clone()));
        assert_eq!(change!(db, organizations::lock, &tenant.environment, &id), Some(made.clone()));
        assert_eq!(ask!(db, organizations::by_external_id, &tenant.environment, "ext"), Some(made));
        assert!(change!(db, organizations::hold, &tenant.environment, &id));
        assert_eq!(ask!(db, organizations::get, &other.environment, &id), None);
        assert_eq!(change!(db, organizations::lock, &other.environment, &id), None);
        assert_eq!(ask!(db, organizations::by_external_id, &other.environment, "ext"), None);
        assert!(!change!(db, organizations::hold, &other.environment, &id));
    }

    async fn an_external_id_is_taken_once_until_its_organization_is_deleted(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let first = named(&tenant, "first", Some("ext"), &[]);
        let mut second = named(&tenant, "second", Some("ext"), &[]);
        assert!(change!(db, organizations::insert, &first));
        assert!(!change!(db, organizations::insert, &second));
        second.external_id = None;
        assert!(change!(db, organizations::insert, &second));
        second.external_id = Some("ext".to_owned());
        let mut transaction = db.write().await.unwrap();
        assert!(!organizations::update(transaction.conn(), &second).await.unwrap());
        drop(transaction);
        assert_eq!(change!(db, organizations::delete, &tenant.environment, &first.id, START), Some(shared::record::Version(START.as_millis())));
        assert!(change!(db, organizations::update, &second));
        assert_eq!(ask!(db, organizations::by_external_id, &tenant.environment, "ext").unwrap().id, second.id);
    }

    async fn a_deleted_organization_is_found_nowhere(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let other = Tenant::new(&db, START).await;
        let made = named(&tenant, "Umbrella", Some("ext"), &["a.example"]);
        change!(db, organizations::insert, &made);
        change!(db, organizations::index_domains, &made);
        assert_eq!(change!(db, organizations::delete, &other.environment, &made.id, START), None);
        assert_eq!(change!(db, organizations::delete, &tenant.environment, &made.id, START), Some(shared::record::Version(START.as_millis())));
        assert_eq!(change!(db, organizations::delete, &tenant.environment, &made.id, START), None);
        assert_eq!(ask!(db, organizations::get, &tenant.environment, &made.id), None);
        assert!(!change!(db, organizations::hold, &tenant.environment, &made.id));
        assert_eq!(names(&db, &tenant, None, None).await, ["Acme"]);
        assert_eq!(names(&db, &tenant, None, Some(&["a.example"])).await, Vec::<String>::new());
    }

    async fn a_list_is_filtered_by_name_and_by_domain(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        for (name, domains) in [("100% Umbrella", &["a.example", "b.example"][..]), ("Under_score", &["c.example"])] {
            let made = named(&tenant, name, None, domains);
            change!(db, organizations::insert, &made);
            change!(db, organizations::index_domains, &made);
        }
        assert_eq!(names(&db, &tenant, None, None).await, ["100% Umbrella", "Acme", "Under_score"]);
        assert_eq!(names(&db, &tenant, Some("UMB"), None).await, ["100% Umbrella"]);
        assert_eq!(names(&db, &tenant, Some("0%"), None).await, ["100% Umbrella"], "no wildcard of the caller's");
        assert_eq!(names(&db, &tenant, Some("r_s"), None).await, ["Under_score"]);
        assert_eq!(names(&db, &tenant, None, Some(&["b.example", "a.example"])).await, ["100% Umbrella"]);
        assert_eq!(names(&db, &tenant, None, Some(&["b.example", "c.example"])).await, ["100% Umbrella", "Under_score"]);
        assert_eq!(names(&db, &tenant, Some("under"), Some(&["b.example"])).await, Vec::<String>::new());
    }

    async fn domains_that_were_replaced_are_found_no_more(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut made = named(&tenant, "Umbrella", None, &["a.example", "b.example"]);
        change!(db, organizations::insert, &made);
        change!(db, organizations::index_domains, &made);
        made.domains.0.remove(0);
        change!(db, organizations::update, &made);
        change!(db, organizations::index_domains, &made);
        assert_eq!(names(&db, &tenant, None, Some(&["a.example"])).await, Vec::<String>::new());
        assert_eq!(names(&db, &tenant, None, Some(&["b.example"])).await, ["Umbrella"]);
    }

    async fn search_finds_what_an_older_server_wrote_once_it_is_folded(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut renamed = named(&tenant, "Café", None, &[]);
        for made in [&named(&tenant, "ÄRZTE GmbH", None, &[]), &named(&tenant, "Straße", None, &[]), &renamed] {
            change!(db, organizations::insert, made);
        }
        // A server of the first migration knows nothing of what search compares.
        execute(&db, "UPDATE organizations SET search_name = NULL, search_name_of = NULL").await;
        assert_eq!(names(&db, &tenant, Some("gmbh"), None).await, ["ÄRZTE GmbH"], "as well as the database can");
        for left in [2, 2, 0] {
            assert_eq!(change!(db, organizations::fold_names, 2), left);
        }
        for (search, found) in [("ärzte", "ÄRZTE GmbH"), ("STRASSE", "Straße"), ("CAFÉ", "Café"), ("acme", "Acme")] {
            assert_eq!(names(&db, &tenant, Some(search), None).await, [found], "{search}");
        }

        execute(&db, "UPDATE organizations SET name = 'Öl & Co' WHERE name = 'Café'").await;
        assert_eq!(names(&db, &tenant, Some("café"), None).await, Vec::<String>::new(), "the old name is gone at once");
        assert_eq!(change!(db, organizations::fold_names, 2), 1);
        assert_eq!(names(&db, &tenant, Some("öL"), None).await, ["Öl & Co"]);
        renamed.name = "CAFÉ II".to_owned();
        change!(db, organizations::update, &renamed);
        assert_eq!(names(&db, &tenant, Some("café"), None).await, ["CAFÉ II"]);
        assert_eq!(change!(db, organizations::fold_names, 2), 0);
    }

    async fn search_takes_wildcards_and_escapes_literally(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        for name in ["50% off", "a_b", "back\\slash", "wow!", "％ wide"] {
            change!(db, organizations::insert, &named(&tenant, name, None, &[]));
        }
        for (search, found) in [
            ("%", &["50% off", "％ wide"][..]),
            ("_", &["a_b"]),
            ("\\", &["back\\slash"]),
            ("!", &["wow!"]),
            ("a%b", &[]),
            ("\\%", &[]),
            ("!_", &[]),
        ] {
            assert_eq!(names(&db, &tenant, Some(search), None).await, found, "{search}");
        }
    }
}

/// Otherwise the deletion of an organization and the revocation of one of its keys can wait for each other. SQLite has one writer.
#[tokio::test]
async fn a_locked_organization_does_not_block_a_second_write_to_its_key() {
    on_postgres(async |db: Db| {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let mut changing = db.write().await.unwrap();
        organizations::lock(changing.conn(), &tenant.environment, &tenant.organization).await.unwrap();
        let twice = async {
            let mut transaction = db.write().await.unwrap();
            let settings =
                api_key_settings::lock(transaction.conn(), &tenant.environment, &id).await.unwrap().unwrap().settings();
            for _ in 0..2 {
                api_key_settings::set(transaction.conn(), &id, &settings, START).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), twice).await.expect("neither waits for the other");
    })
    .await;
}
