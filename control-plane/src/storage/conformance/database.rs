use std::{collections::BTreeSet, fs, path::Path};

use super::*;
use crate::storage::{
    Db, Failure, OpenOptions, Priority, environments, organizations, probe,
    testing::{self, Tenant, conformance, execute},
};

fn migrations(database: &str) -> BTreeSet<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(file).unwrap()))
        .collect()
}

/// Comments and spaces aside, and the few words that must differ.
fn normalised(sql: &str) -> String {
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    let words = words.join(" ").replace(" COLLATE \"C\"", "").replace("BYTEA", "BLOB").replace(" WITHOUT ROWID", "");
    words
        .replace("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "INTEGER NOT NULL PRIMARY KEY")
        .replace("extract(epoch FROM now())", "strftime('%s', 'now')")
}

#[test]
fn both_databases_have_the_same_migrations() {
    let (sqlite, postgres) = (migrations("sqlite"), migrations("postgres"));
    assert!(!sqlite.is_empty());
    let names = |files: &BTreeSet<(String, String)>| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&sqlite), names(&postgres));
    for ((name, of_sqlite), (_, of_postgres)) in sqlite.iter().zip(&postgres) {
        assert_eq!(normalised(of_sqlite), normalised(of_postgres), "{name}");
    }
}

/// Ids compare by their bytes in SQLite. In Postgres that is said column by column.
#[test]
fn every_id_of_postgres_compares_by_its_bytes() {
    for (name, sql) in migrations("postgres") {
        let ids = sql.lines().filter(|line| {
            line.split_whitespace().next().is_some_and(|column| column == "id" || column.ends_with("_id"))
        });
        for line in ids {
            assert!(line.contains("COLLATE \"C\""), "{name}: {line}");
        }
    }
}

/// However many writes are under way or queued, there are connections for those who read, revoke and publish.
#[tokio::test]
async fn queued_writes_leave_connections_of_postgres_to_others() {
    testing::on_postgres(async |db| {
        let all = OpenOptions::default().connections as usize;
        let mut writes: Vec<_> = (0..all).map(|_| Box::pin(db.write())).collect();
        let mut held = vec![];
        for write in &mut writes[..all / 2] {
            held.push(write.await.unwrap());
        }
        for write in &mut writes[all / 2..] {
            assert!(futures::poll!(write).is_pending());
        }
        let reader = db.read().await.unwrap();
        let revocation = db.write_as(Priority::Revocation).await.unwrap();
        let publisher = db.write_as(Priority::Publisher).await.unwrap();
        drop((held, reader, revocation, publisher));
        for write in &mut writes[all / 2..] {
            write.await.unwrap();
        }
    })
    .await;
}

async fn add_to_name(db: &Db, tenant: &Tenant) {
    let mut transaction = db.write().await.unwrap();
    let locked = organizations::lock(transaction.conn(), &tenant.environment, &tenant.organization).await;
    let mut organization = locked.unwrap().unwrap();
    organization.name.push('+');
    assert!(organizations::update(transaction.conn(), &organization).await.unwrap());
    transaction.commit().await.unwrap();
}

/// Within a process, writers of a SQLite file wait for their one connection. Between two processes, most of these fail
/// under a plain BEGIN.
#[tokio::test]
async fn two_processes_that_read_and_then_write_one_file_both_succeed() {
    let (one, folder) = testing::sqlite().await;
    let other = Db::open(&testing::sqlite_url(&folder)).await.unwrap();
    let tenant = Tenant::new(&one, START).await;
    let in_turns = (0..20).map(|turn| add_to_name(if turn % 2 == 0 { &one } else { &other }, &tenant));
    futures::future::join_all(in_turns).await;
    let organization = ask!(other, organizations::get, &tenant.environment, &tenant.organization).unwrap();
    assert_eq!(organization.name, format!("Acme{}", "+".repeat(20)));
}

conformance! {
    async fn migrating_twice_is_migrating_once(db: Db) {
        assert!(db.is_migrated().await.unwrap());
        db.migrate().await.unwrap();
        assert!(db.is_migrated().await.unwrap());
    }

    async fn a_database_that_lacks_migrations_says_so(db: Db) {
        execute(&db, "DELETE FROM _sqlx_migrations").await;
        assert!(!db.is_migrated().await.unwrap());
        execute(&db, "DROP TABLE _sqlx_migrations").await;
        assert!(!db.is_migrated().await.unwrap());
    }

    async fn additive_migration_of_a_newer_version_is_accepted(db: Db) {
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            SELECT 9999, 'of the future', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
        execute(&db, sql).await;
        db.migrate().await.unwrap();
        execute(&db, "INSERT INTO schema_requirements (migration, needs_version) VALUES (9999, '7.8.9')").await;
        let error = db.migrate().await.unwrap_err().to_string();
        assert!(error.contains("install version 7.8.9 or newer"), "{error}");
    }

    async fn database_with_another_first_migration_is_refused(db: Db) {
        execute(&db, "DELETE FROM _sqlx_migrations WHERE version > 1").await;
        execute(&db, "UPDATE _sqlx_migrations SET checksum = ''").await;
        let error = db.migrate().await.unwrap_err().to_string();
        assert!(error.contains("migration 1 of this database differs"), "{error}");
    }

    async fn probe_writes_whether_or_not_a_write_failed(db: Db) {
        probe::write(db.write().await.unwrap().conn(), probe::LARGE).await.unwrap();
        db.try_to_write().await.unwrap();
        db.0.health.fail(Failure::Full);
        assert_eq!(db.check_writes().await, Ok(()), "a write went through, so the failure has passed");
        assert_eq!(db.0.health.known_failure(), None);
        assert_eq!(db.check_writes().await, Ok(()));
    }

    async fn transaction_in_which_a_statement_failed_is_not_committed(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut transaction = db.write().await.unwrap();
        organizations::delete(transaction.conn(), &tenant.environment, &tenant.organization, START).await.unwrap();
        on_db!(transaction.conn(), c => sqlx::query("SELECT no_such_column FROM environments").execute(c).await.map(drop)).unwrap_err();
        transaction.commit().await.unwrap_err();
        assert!(ask!(db, organizations::get, &tenant.environment, &tenant.organization).is_some());
    }

    /// As when a client goes away, or a request takes too long.
    async fn write_that_is_abandoned_half_way_leaves_no_transaction_behind(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        for polls in 1..20 {
            let mut write = std::pin::pin!(add_to_name(&db, &tenant));
            for _ in 0..polls {
                if futures::poll!(&mut write).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // Behind all of those, one of which may just be committing.
        add_to_name(&db, &tenant).await;
        let before = ask!(db, organizations::get, &tenant.environment, &tenant.organization).unwrap().name;
        add_to_name(&db, &tenant).await;
        let after = ask!(db, organizations::get, &tenant.environment, &tenant.organization).unwrap().name;
        assert_eq!(after, format!("{before}+"));
    }

    async fn a_transaction_that_is_not_committed_never_was(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut transaction = db.write().await.unwrap();
        organizations::delete(transaction.conn(), &tenant.environment, &tenant.organization, START).await.unwrap();
        drop(transaction);
        assert!(ask!(db, organizations::get, &tenant.environment, &tenant.organization).is_some());
    }

    /// Without the lock, most of these are lost on Postgres.
    async fn twenty_that_read_and_then_write_at_once_all_succeed(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        futures::future::join_all((0..20).map(|_| add_to_name(&db, &tenant))).await;
        let organization = ask!(db, organizations::get, &tenant.environment, &tenant.organization).unwrap();
        assert_eq!(organization.name, format!("Acme{}", "+".repeat(20)));
    }

    async fn readers_are_not_held_up_by_a_writer(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut transaction = db.write().await.unwrap();
        organizations::delete(transaction.conn(), &tenant.environment, &tenant.organization, START).await.unwrap();
        assert!(ask!(db, organizations::get, &tenant.environment, &tenant.organization).is_some());
        assert!(!ask!(db, environments::list).is_empty());
        transaction.commit().await.unwrap();
        assert!(ask!(db, organizations::get, &tenant.environment, &tenant.organization).is_none());
    }
}
