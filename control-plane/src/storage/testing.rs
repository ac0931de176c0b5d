//! Databases for tests: each test gets a new one, of each kind.

use std::env;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::Db;
use crate::entropy::OsEntropy;

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
                if let Some(db) = crate::storage::testing::postgres().await {
                    check(db).await;
                }
            }
        }
    )*};
}
pub(crate) use conformance;

/// A new SQLite database, which is there as long as its folder.
pub(crate) async fn sqlite() -> (Db, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", folder.path().join("test.db").display())).await.unwrap();
    db.migrate().await.unwrap();
    (db, folder)
}

/// A new database on the server that `LATCHKEY_TEST_POSTGRES` names, if it names one.
pub(crate) async fn postgres() -> Option<Db> {
    let Ok(server) = env::var("LATCHKEY_TEST_POSTGRES") else {
        assert!(env::var_os("CI").is_none(), "LATCHKEY_TEST_POSTGRES must name a server when CI is set");
        println!("skipped: LATCHKEY_TEST_POSTGRES names no Postgres server; `cargo xtask test` starts one");
        return None;
    };
    let name = unique_name();
    let mut admin = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    let (before, _) = server.rsplit_once('/').unwrap();
    let db = Db::open(&format!("{before}/{name}")).await.unwrap();
    db.migrate().await.unwrap();
    Some(db)
}

fn unique_name() -> String {
    use shared::entropy::Entropy;
    let mut random = [0; 8];
    OsEntropy.fill(&mut random);
    format!("latchkey_test_{:x}", u64::from_be_bytes(random))
}
