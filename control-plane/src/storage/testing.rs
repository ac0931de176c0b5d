//! Databases for tests: each test gets a new one, of each kind.

pub(crate) mod recording;

use std::{
    env,
    io::{self, Write},
    sync::Once,
};

use shared::{
    Timestamp,
    digest::Digest,
    id::{ApiKeyId, EnvironmentId, ManagementKeyId, OrganizationId},
    record::{Owner, Version},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;

use super::{
    Conn, Db, JsonText, Priority, Result,
    api_keys::{self, ApiKeySettings, NewApiKey},
    dialect::sql,
    organizations::{self, Organization},
    outbox::{self, Kind, Route},
};
use crate::{
    entropy::OsEntropy,
    events::Actor,
    service::{Database, commit, environments, management_keys},
};

/// Turns each `async fn name(db: Db)` into two tests, `name::sqlite` and `name::postgres`.
macro_rules! conformance {
    ($($(#[$doc:meta])* async fn $name:ident($db:ident: Db) $body:block)*) => {$(
        mod $name {
            use super::*;

            $(#[$doc])*
            async fn check($db: Db) $body

            #[tokio::test]
            async fn sqlite() {
                let (db, _folder) = crate::storage::testing::sqlite().await;
                check(db).await;
            }

            #[tokio::test]
            async fn postgres() {
                crate::storage::testing::on_postgres(check).await;
            }
        }
    )*};
}
pub(crate) use conformance;

/// A new SQLite database, which is there as long as its folder.
pub(crate) async fn sqlite() -> (Db, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&sqlite_url(&folder)).await.unwrap();
    db.migrate().await.unwrap();
    (db, folder)
}

pub(crate) fn sqlite_url(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("test.db").display())
}

/// Runs a test on a new database of the server that `LATCHKEY_TEST_POSTGRES` names, if it names one.
pub(crate) async fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(Db) -> F) {
    let Ok(server) = env::var("LATCHKEY_TEST_POSTGRES") else {
        assert!(env::var_os("CI").is_none(), "LATCHKEY_TEST_POSTGRES must name a server when CI is set");
        return say_that_it_is_skipped();
    };
    let (name, template) = (unique_name(), template(&server).await);
    let mut admin = PgConnection::connect(&server).await.unwrap();
    run(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    test(Db::open(&url_of(&server, &name)).await.unwrap()).await;
    // The database of a test that failed stays, to be looked at.
    run(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

/// The migrated database that each test gets a copy of, because copying is quicker than migrating. It stays on the server for
/// other runs with the same migrations.
async fn template(server: &str) -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE.get_or_init(|| make_template(server)).await
}

async fn make_template(server: &str) -> String {
    let db = Db::open(server).await.unwrap();
    let checksums: Vec<_> = db.migrations().iter().map(|migration| migration.checksum.clone()).collect();
    db.close().await;
    let digest = Digest::of(&format!("{checksums:?}"));
    let name = format!("latchkey_test_template_{:x}", u64::from_be_bytes(*digest.as_bytes().first_chunk().unwrap()));
    let mut admin = PgConnection::connect(server).await.unwrap();
    // Until the end of the connection, so that of several processes one makes it.
    run(&mut admin, "SELECT pg_advisory_lock(4710)".to_owned()).await;
    const IS_COMPLETE: &str = "SELECT datistemplate FROM pg_database WHERE datname = $1";
    let is_complete: Option<bool> =
        sqlx::query_scalar(IS_COMPLETE).bind(&name).fetch_optional(&mut admin).await.unwrap();
    if is_complete != Some(true) {
        run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        run(&mut admin, format!("CREATE DATABASE {name}")).await;
        let db = Db::open(&url_of(server, &name)).await.unwrap();
        db.migrate().await.unwrap();
        db.close().await;
        run(&mut admin, format!("ALTER DATABASE {name} IS_TEMPLATE true")).await;
    }
    name
}

fn url_of(server: &str, database: &str) -> String {
    let (before, _) = server.rsplit_once('/').unwrap();
    format!("{before}/{database}")
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

/// Past the test harness, which would keep it to itself.
fn say_that_it_is_skipped() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let what = "skipped: the tests on Postgres, because LATCHKEY_TEST_POSTGRES names no server; `cargo xtask test` starts one";
        writeln!(io::stderr(), "{what}").unwrap();
    });
}

fn unique_name() -> String {
    use shared::entropy::Entropy;
    let mut random = [0; 8];
    OsEntropy.fill(&mut random);
    format!("latchkey_test_{:x}", u64::from_be_bytes(random))
}

/// An environment with an organization and a management key, for keys to belong to.
pub(crate) struct Tenant {
    pub environment: EnvironmentId,
    pub organization: OrganizationId,
    pub creator: ManagementKeyId,
}

impl Tenant {
    pub(crate) async fn new(db: &Db, now: Timestamp) -> Self {
        let mut transaction =
            Database::without_edge(db.clone()).begin(Actor::Operator, Priority::Normal).await.unwrap();
        let prefix = "lk_test".parse().unwrap();
        let (environment, creation) =
            environments::create(&mut transaction, "Test", prefix, now, &mut OsEntropy).await.unwrap();
        let environment = environment.id;
        let (creator, change) =
            management_keys::create(&mut transaction, &environment, "Test", &[], now, &mut OsEntropy).await.unwrap();
        commit(transaction, creation.and(change), now).await.unwrap();
        let creator = creator.id;
        let organization = organization(&environment, now);
        let tenant = Self { environment, organization: organization.id.clone(), creator };
        tenant.add(db, &organization).await;
        tenant
    }

    pub(crate) async fn add(&self, db: &Db, organization: &Organization) {
        let mut transaction = db.write().await.unwrap();
        assert!(organizations::insert(transaction.conn(), organization).await.unwrap());
        transaction.commit().await.unwrap();
    }

    /// Makes a key of the organization, and queues it for the edge's store.
    pub(crate) async fn api_key(&self, db: &Db, text: &str, permissions: &[&str], now: Timestamp) -> ApiKeyId {
        self.api_key_by(Route::StoreOnly, db, text, permissions, now).await
    }

    /// Makes a key of the organization, and queues it. The management API does so with [`Route::FeedFirst`].
    pub(crate) async fn api_key_by(
        &self,
        route: Route,
        db: &Db,
        text: &str,
        permissions: &[&str],
        now: Timestamp,
    ) -> ApiKeyId {
        let id = ApiKeyId::generate(now, &mut OsEntropy);
        let permissions: Vec<String> = permissions.iter().map(|slug| (*slug).to_owned()).collect();
        let key = NewApiKey {
            id: &id,
            environment_id: &self.environment,
            owner: &Owner::Organization { id: self.organization.clone() },
            digest: &Digest::of(text),
            obfuscated_value: "lk_test_…abcd",
            settings: &ApiKeySettings { name: text.to_owned(), permissions, ..ApiKeySettings::default() },
            rotated_from: None,
            created_by: &self.creator,
            now,
        };
        let mut transaction = db.write().await.unwrap();
        api_keys::insert(transaction.conn(), &key).await.unwrap();
        let version = Version::first(now);
        outbox::add(transaction.conn(), Kind::ApiKey, id.as_str(), version, route, now).await.unwrap();
        transaction.commit().await.unwrap();
        id
    }
}

/// Makes very many keys of the tenant's organization, which wait for nothing.
pub(crate) async fn very_many_keys(db: &Db, tenant: &Tenant, count: i64) {
    let mut transaction = db.write().await.unwrap();
    let conn = transaction.conn();
    let sql = sql!(conn,
        "WITH RECURSIVE numbers (number) AS (
            SELECT CAST(1000000000000000 AS BIGINT)
            UNION ALL SELECT number + 1 FROM numbers WHERE number < 1000000000000000 + $1 - 1)
         INSERT INTO api_keys (id, environment_id, organization_id, name, digest, obfuscated_value, permissions, version,
            created_by, created_at, updated_at)
         SELECT 'api_key_01KF0JZ4G0' || CAST(number AS TEXT), $2, $3, 'One of many', "
         (bytes of hex "('000000000000000000000000000000000000000000000000' || CAST(number AS TEXT))")
         ", 'lk_test_…abcd', '[\"a\"]', 1, $4, 1, 1 FROM numbers");
    on_db!(conn, c => sqlx::query(sql)
        .bind(count)
        .bind(&tenant.environment)
        .bind(&tenant.organization)
        .bind(&tenant.creator)
        .execute(c).await.map(drop))
    .unwrap();
    transaction.commit().await.unwrap();
}

/// Sets from when on a key is refused, and returns its new version.
pub(crate) async fn set_expiry(
    conn: Conn<'_>,
    id: &ApiKeyId,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Version> {
    const SQL: &str = "UPDATE api_keys
        SET expires_at = $2, updated_at = $3, version = CASE WHEN version >= $3 THEN version + 1 ELSE $3 END
        WHERE id = $1
        RETURNING version";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(id).bind(expires_at).bind(now).fetch_one(c).await)
}

/// An organization that is in no database yet.
pub(crate) fn organization(environment: &EnvironmentId, now: Timestamp) -> Organization {
    Organization {
        id: OrganizationId::generate(now, &mut OsEntropy),
        environment_id: environment.clone(),
        name: "Acme".to_owned(),
        external_id: None,
        metadata: JsonText::default(),
        domains: JsonText(vec![]),
        allow_profiles_outside_organization: false,
        created_at: now,
        updated_at: now,
    }
}

/// Runs a statement that no function of storage offers, because only a test would want it.
pub(crate) async fn execute(db: &Db, sql: &'static str) {
    execute_all(db, [sql]).await;
}

/// The same of several, in one transaction.
pub(crate) async fn execute_all(db: &Db, all: impl IntoIterator<Item = &'static str>) {
    let mut transaction = db.write().await.unwrap();
    for sql in all {
        on_db!(transaction.conn(), c => sqlx::query(sql).execute(c).await.map(drop)).unwrap();
    }
    transaction.commit().await.unwrap();
}

/// When the record that the edge's store holds of each customer's key was sealed, by the names of the keys.
pub(crate) async fn sealed_at(db: &Db) -> Vec<Option<Timestamp>> {
    const SQL: &str = "SELECT sealed_at FROM api_keys ORDER BY name";
    on_db!(db.read().await.unwrap().conn(), c => sqlx::query_scalar(SQL).fetch_all(c).await).unwrap()
}

/// All that is kept of creations that may be repeated: of each its place, its fingerprint and its answer.
pub(crate) async fn idempotent_answers(db: &Db) -> Vec<[Vec<u8>; 3]> {
    const SQL: &str = "SELECT place, fingerprint, answer FROM idempotent_answers";
    let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> =
        on_db!(db.read().await.unwrap().conn(), c => sqlx::query_as(SQL).fetch_all(c).await).unwrap();
    rows.into_iter().map(|(place, fingerprint, answer)| [place, fingerprint, answer]).collect()
}
