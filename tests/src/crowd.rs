//! Databases with very many keys.
//!
//! They are inserted by one statement, past the server. Of some the texts are known, so that they can be asked about.

use crate::{
    database::Database,
    hand::{self, Numbered},
    latchkey::{Latchkey, Tenant},
};
use shared::{
    digest::Digest,
    key::{KeyText, Prefix},
};

/// Of so many keys the texts are known.
const KNOWN: usize = 10_000;
/// How many of those one statement inserts.
const AT_ONCE: usize = 1_000;
/// The organization of all keys.
pub const ORGANIZATION: &str = "org_01KF0JZ4G0000000000000000A";

/// Adds an organization with so many keys, whose texts nobody knows, and returns its id. There is no event about it.
///
/// # Panics
/// If the database refuses.
#[must_use]
pub fn add_organization(database: &Database, tenant: &Tenant, keys: usize) -> String {
    let number = crate::unique() % 10_000_000_000_000_000;
    let organization = format!("org_01KF0JZ4G0{number:016}");
    let (Tenant { environment, management_key_id, .. }, now) = (tenant, hand::now().as_millis());
    database.execute(&format!(
        "INSERT INTO organizations (id, environment_id, name, metadata, domains, created_at, updated_at)
         VALUES ('{organization}', '{environment}', 'Acme', '{{}}', '[]', {now}, {now})"
    ));
    let digest = if database.is_postgres() {
        "sha256(convert_to(number::text || random()::text, 'UTF8'))"
    } else {
        "randomblob(32)"
    };
    // All ids have 16 digits.
    let first = 1_000_000_000_000_000 + number % 8_000_000_000_000_000;
    database.execute(&format!(
        "INSERT INTO api_keys (id, environment_id, organization_id, name, digest, obfuscated_value, permissions,
            version, created_by, created_at, updated_at, sealed_at)
         WITH RECURSIVE numbers (number) AS (SELECT {first}
            UNION ALL SELECT number + 1 FROM numbers WHERE number < {first} + {keys} - 1)
         SELECT 'api_key_01KF0JZ4G0' || CAST(number AS TEXT), '{environment}', '{organization}', 'One of many', {digest},
            'lk_live_…abcd', '[]', {now}, '{management_key_id}', {now}, {now}, {now}
         FROM numbers"
    ));
    organization
}

/// A database, and `latchkey` on it.
#[derive(Debug)]
pub struct Crowd {
    /// The program, without an edge.
    pub latchkey: Latchkey,
    /// Whose keys they are.
    pub tenant: Tenant,
    /// The texts that are known.
    pub values: Vec<String>,
    database: Database,
}

impl Crowd {
    /// Fills an empty database with so many keys.
    ///
    /// # Panics
    /// If the database refuses.
    #[must_use]
    pub fn of(database: Database, keys: usize) -> Self {
        let latchkey = Latchkey::on(&database);
        Self::of_build(latchkey, database, keys)
    }

    /// The same, with this program on that database.
    ///
    /// # Panics
    /// If the database refuses.
    #[must_use]
    pub fn of_build(latchkey: Latchkey, database: Database, keys: usize) -> Self {
        let _ = latchkey.run(&["migrate"]).success();
        let tenant = latchkey.create_tenant();
        let prefix: Prefix = "lk_live".parse().expect("a prefix");
        let text = |number| KeyText::generate(&prefix, &mut Numbered(number)).expose().to_owned();
        let values = (0..keys.min(KNOWN) as u64).map(text).collect();
        let crowd = Self { latchkey, tenant, values, database };
        crowd.fill(keys);
        crowd
    }

    fn fill(&self, keys: usize) {
        let (environment, now) = (&self.tenant.environment, hand::now().as_millis());
        self.database.execute(&format!(
            "INSERT INTO organizations (id, environment_id, name, metadata, domains, created_at, updated_at)
             VALUES ('{ORGANIZATION}', '{environment}', 'Acme', '{{}}', '[]', {now}, {now})"
        ));
        for (number, values) in self.values.chunks(AT_ONCE).enumerate() {
            let rows: Vec<String> = (number * AT_ONCE..)
                .zip(values)
                .map(|(number, value)| format!("({}, {})", 2_000_000_000_000_000 + number, self.bytes(value)))
                .collect();
            let values = rows.join(", ");
            let from = format!("(SELECT column1 AS number, column2 AS digest FROM (VALUES {values}) pairs) numbers");
            self.insert(&from, "digest");
        }
        let others = keys - self.values.len();
        if self.database.is_postgres() {
            let from = format!("generate_series(1000000000000000, 1000000000000000 + {others} - 1) number");
            self.insert(&from, "sha256(convert_to(number::text || random()::text, 'UTF8'))");
            self.database.execute("VACUUM ANALYZE");
        } else if others > 0 {
            let from = format!(
                "(WITH RECURSIVE numbers (number) AS (SELECT 1000000000000000
                    UNION ALL SELECT number + 1 FROM numbers WHERE number < 1000000000000000 + {others} - 1)
                  SELECT number FROM numbers)"
            );
            self.insert(&from, "randomblob(32)");
        }
    }

    /// Inserts keys whose `number` comes from somewhere. Their records seem to have been sealed now, so that an edge is
    /// not told of all of them at once.
    fn insert(&self, from: &str, digest: &str) {
        let Tenant { environment, management_key_id, .. } = &self.tenant;
        let now = hand::now().as_millis();
        self.database.execute(&format!(
            "INSERT INTO api_keys (id, environment_id, organization_id, name, digest, obfuscated_value, permissions,
                version, created_by, created_at, updated_at, sealed_at)
             SELECT 'api_key_01KF0JZ4G0' || CAST(number AS TEXT), '{environment}', '{ORGANIZATION}', 'One of many', {digest},
                'lk_live_…abcd', '[\"posts:read\", \"posts:write\"]', {now}, '{management_key_id}', {now}, {now}, {now}
             FROM {from}"
        ));
    }

    /// The digest of a text, as the database wants it.
    fn bytes(&self, value: &str) -> String {
        let hex: String = Digest::of(value).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        if self.database.is_postgres() { format!("decode('{hex}', 'hex')") } else { format!("x'{hex}'") }
    }
}
