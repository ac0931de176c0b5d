use shared::record::{Revoked, Version};

use super::*;
use crate::storage::{
    Db, api_key_settings,
    api_keys::{self, ApiKeySettings},
    testing::{Tenant, conformance},
};

const EARLIER: Timestamp = Timestamp::from_millis(START.as_millis() - 60_000);
const LATER: Timestamp = Timestamp::from_millis(START.as_millis() + 60_000);

conformance! {
    async fn a_change_has_a_version_that_never_goes_back_and_a_revoked_key_has_none(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let terms = change!(db, api_key_settings::lock, &tenant.environment, &id).unwrap().settings();
        for (now, version) in [(START, START.as_millis() + 1), (EARLIER, START.as_millis() + 2), (LATER, LATER.as_millis())] {
            let terms = ApiKeySettings { expires_at: Some(now), ..terms.clone() };
            assert_eq!(change!(db, api_key_settings::set, &id, &terms, now), Version(version));
            assert_eq!(change!(db, api_key_settings::lock, &tenant.environment, &id).unwrap().settings(), terms);
        }
        let elsewhere = Tenant::new(&db, START).await.environment;
        assert_eq!(change!(db, api_key_settings::lock, &elsewhere, &id), None);
        change!(db, api_keys::revoke, &tenant.environment, &id, &Revoked::new("deleted", LATER), LATER);
        assert_eq!(change!(db, api_key_settings::lock, &tenant.environment, &id), None, "revoked is not found");
    }

    async fn all_that_is_said_of_a_key_is_changed_and_of_no_other(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &["a"], START).await;
        let other = tenant.api_key(&db, "other", &["a"], START).await;
        let terms = ApiKeySettings {
            name: "New name".to_owned(),
            permissions: vec!["b".to_owned()],
            resources: vec!["r".to_owned()],
            ip_allow_list: vec!["2001:db8::/32".parse().unwrap()],
            metadata: [("k".to_owned(), "\"v\"".to_owned())].into(),
            expires_at: Some(LATER),
            not_before: Some(EARLIER),
            disabled: true,
        };
        assert_eq!(change!(db, api_key_settings::set, &id, &terms, EARLIER), Version(START.as_millis() + 1));
        let row = ask!(db, api_keys::get, &tenant.environment, &id).unwrap();
        assert_eq!((row.settings(), row.updated_at, row.created_at), (terms, EARLIER, START));
        let row = ask!(db, api_keys::get, &tenant.environment, &other).unwrap();
        assert_eq!((row.name.as_str(), row.disabled, row.version), ("other", false, Version::first(START)));
    }

    async fn a_key_that_was_rotated_says_what_took_its_place(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let id = tenant.api_key(&db, "key", &[], START).await;
        let next = tenant.api_key(&db, "next", &[], START).await;
        let version = change!(db, api_key_settings::set_rotated, &id, &next, LATER, EARLIER);
        assert_eq!(version, Version(START.as_millis() + 1));
        let row = ask!(db, api_keys::get, &tenant.environment, &id).unwrap();
        assert_eq!((row.rotated_to, row.expires_at, row.updated_at), (Some(next.clone()), Some(LATER), EARLIER));
        assert_eq!(ask!(db, api_keys::get, &tenant.environment, &next).unwrap().rotated_to, None);
    }
}
