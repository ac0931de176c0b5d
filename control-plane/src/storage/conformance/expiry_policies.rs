use super::*;
use crate::storage::{
    Db,
    expiry_policies::{self, ExpiryPolicy},
    organizations,
    testing::{Tenant, conformance},
};

conformance! {
    async fn an_organization_has_a_policy_of_its_own_as_long_as_it_is_there(db: Db) {
        let (tenant, other) = (Tenant::new(&db, START).await, Tenant::new(&db, START).await);
        let (environment, id) = (&tenant.environment, &tenant.organization);
        let policy = ExpiryPolicy { max_lifetime_seconds: Some(3_153_600_000), default_lifetime_seconds: Some(60) };
        assert_eq!(ask!(db, expiry_policies::get, environment, id), Some(ExpiryPolicy::default()));
        assert!(!change!(db, expiry_policies::set, &other.environment, id, &policy));
        assert!(change!(db, expiry_policies::set, environment, id, &policy));
        assert_eq!(ask!(db, expiry_policies::get, environment, id), Some(policy));
        assert_eq!(ask!(db, expiry_policies::get, &other.environment, id), None);
        assert_eq!(ask!(db, expiry_policies::get, &other.environment, &other.organization), Some(ExpiryPolicy::default()));
        change!(db, organizations::delete, environment, id, START);
        assert_eq!(ask!(db, expiry_policies::get, environment, id), None);
        assert!(!change!(db, expiry_policies::set, environment, id, &policy));
    }
}
