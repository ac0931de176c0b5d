//! Databases of earlier versions, later versions, and databases that an operator set up in their own way.
//!
//! `testdata/upgrade` has databases of earlier schemas; its README says how they are made.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop, and say why")]

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use tests::{
    calls::text,
    cluster::Cluster,
    database::Database,
    http::Client,
    latchkey::{Latchkey, Server},
    parts,
    process::Signal,
    session::Session,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// The schema that every database in `testdata/upgrade` is of.
const FIXTURE: &str = "0001";

/// A database of an earlier schema, and what is known of it.
struct Fixture {
    database: Database,
    known: Value,
    tables: &'static str,
}

impl Fixture {
    fn load(database: Database, name: &str, tables: &'static str) -> Self {
        let read = |extension: &str| {
            let file = parts::workspace().join(format!("tests/testdata/upgrade/{FIXTURE}.{name}.{extension}"));
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        if let Some(file) = database.url().strip_prefix("sqlite:") {
            fs::write(file, "").expect("the test's own folder");
        }
        database.execute(&read("sql"));
        Self { database, known: serde_json::from_str(&read("json")).expect("JSON"), tables }
    }

    fn sqlite() -> Self {
        Self::load(Database::sqlite(), "sqlite", "SELECT name FROM sqlite_master WHERE type = 'table'")
    }

    fn postgres() -> Option<Self> {
        const TABLES: &str = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
        Some(Self::load(Database::postgres()?, "postgres", TABLES))
    }

    /// How many rows each table has.
    fn rows(&self) -> BTreeMap<String, i64> {
        let mut session = self.database.session();
        let tables = session.texts(self.tables);
        tables
            .into_iter()
            .map(|table| (table.clone(), session.number(&format!("SELECT count(*) FROM {table}"))))
            .collect()
    }

    /// The management key with this name in the file.
    fn client(&self, server: &Server, management_key: &str) -> Client {
        server.client.with_token(&text(&self.known, management_key))
    }
}

fn upgrade_keeps_everything(fixture: &Fixture) {
    let before = fixture.rows();
    for (table, rows) in &before {
        assert!(*rows > 0, "the fixture has no rows in {table}");
    }
    let latchkey = Latchkey::on(&fixture.database);
    // Not `serve`, which deletes rows that have become old.
    let _ = latchkey.run(&["migrate"]).success();
    let after = fixture.rows();
    for (table, rows) in &before {
        let now = after.get(table).copied();
        if table == "_sqlx_migrations" {
            assert!(now >= Some(*rows), "{table}: {rows} before, {now:?} now");
        } else {
            assert_eq!(now, Some(*rows), "{table}");
        }
    }
    let _ = latchkey.run(&["migrate"]).success();
    assert_eq!(fixture.rows(), after, "migrating again changes nothing");

    // Saved responses are kept for a day, and this one is as old as the fixture.
    fixture.database.execute("UPDATE idempotent_answers SET created_at = 9000000000000");
    let mut server = latchkey.serve();
    assert!(!server.process.stdout().contains("mk_"), "an upgrade is not a first run: {}", server.process.stdout());
    let client = fixture.client(&server, "management_key");
    let keys = fixture.known["keys"].as_array().expect("a list");
    assert!(keys.len() > 10);
    for key in keys {
        let body = json!({"value": key["value"], "ip": "198.51.100.7"});
        let answer = client.post("/api_keys/validations", &body).expect(200);
        assert_eq!(answer.get("code").unwrap_or(&Value::Null), &key["code"], "{key}: {answer}");
        assert_eq!(
            answer["api_key"].get("permissions").unwrap_or(&Value::Null),
            &key["permissions"],
            "{key}: {answer}"
        );
        let details = client.get(&format!("/api_keys/{}", text(key, "id")));
        assert_eq!(details.status, if key["code"] == "revoked" { 404 } else { 200 }, "{key}: {details:?}");
    }
    // Environments stay apart, and management keys are worth what they were.
    let staging = fixture.client(&server, "staging_management_key");
    let staging_key = text(&fixture.known, "staging_key");
    assert!(staging.validate(&staging_key).expect(200)["api_key"].is_object());
    assert!(client.validate(&staging_key).expect(200)["api_key"].is_null());
    let _ = fixture.client(&server, "revoked_management_key").get("/organizations").expect(401);
    let limited = fixture.client(&server, "validate_only_management_key");
    assert!(limited.validate(&text(&keys[0], "value")).expect(200)["api_key"].is_object());
    let _ = limited.get("/organizations").expect(403);

    let found = client.get("/organizations?search=%C3%A4rzte").expect(200);
    assert_eq!(found["data"][0]["name"], "ÄRZTE GmbH", "{found}");
    let by_domain = client.get("/organizations?domains=aerzte.example").expect(200);
    assert_eq!(by_domain["data"][0]["id"], fixture.known["organization"], "{by_domain}");
    let _ = client.get("/organizations/external_id/customer-2").expect(200);
    let _ = client.get("/user_management/users/external_id/user-1").expect(200);
    for membership in fixture.known["memberships"].as_array().expect("a list") {
        let path = format!("/user_management/organization_memberships/{}", membership.as_str().expect("an id"));
        let _ = client.get(&path).expect(200);
    }
    let request = &fixture.known["idempotent_request"];
    // Byte by byte, because the fingerprint is of the text.
    let replay = client
        .with_header("idempotency-key", &text(request, "idempotency_key"))
        .send("POST", &text(request, "path"), Some(text(request, "body").as_bytes()))
        .expect(201);
    let first = keys.iter().find(|key| key["name"] == "idempotent").expect("the key of that request");
    assert_eq!((&replay["id"], &replay["value"]), (&first["id"], &first["value"]));

    let key = client.create_key(&text(&fixture.known, "organization"), &["posts:read"]);
    let _ = client.until_valid(&key);
    client.revoke(&key);
    client.create_permission("made:after");
    let _ = client.create_organization();
    let stored = fixture.rows()["api_keys"];
    server.stop();
    let mut again = latchkey.serve();
    assert_eq!(fixture.rows()["api_keys"], stored);
    assert_eq!(fixture.client(&again, "management_key").validate(&key.value).expect(200)["code"], "revoked");
    again.stop();
}

#[test]
fn sqlite_database_of_an_earlier_schema_keeps_everything() {
    upgrade_keeps_everything(&Fixture::sqlite());
}

#[test]
fn postgres_database_of_an_earlier_schema_keeps_everything() {
    if let Some(fixture) = Fixture::postgres() {
        upgrade_keeps_everything(&fixture);
    }
}

/// What a later version leaves in the database that added a migration. The version that it needs is `None` if earlier
/// programs can go on.
fn migrate_as_a_later_version(database: &Database, needs_version: Option<&str>) {
    let checksum = if database.url().starts_with("sqlite:") { "x'00'" } else { "'\\x00'" };
    database.execute(&format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9000, 'of a later version', TRUE, {checksum}, 1)"
    ));
    if let Some(version) = needs_version {
        database
            .execute(&format!("INSERT INTO schema_requirements (migration, needs_version) VALUES (9000, '{version}')"));
    }
}

fn database_of_a_later_version_is_used_if_that_is_safe(database: &Database) {
    let latchkey = Latchkey::on(database);
    let _ = latchkey.run(&["migrate"]).success();
    migrate_as_a_later_version(database, None);
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let _ = server.client.with_token(&tenant.management_key).create_lone_key();
    assert_eq!(server.client.get("/ready").status, 200);
    server.stop();
    let _ = latchkey.run(&["migrate"]).success();
}

fn database_that_needs_a_later_version_is_refused_with_that_version(database: &Database) {
    let latchkey = Latchkey::on(database);
    let _ = latchkey.run(&["migrate"]).success();
    migrate_as_a_later_version(database, Some("7.8.9"));
    for command in [&["serve"][..], &["migrate"], &["environments", "list"]] {
        let error = latchkey.run(command).failure();
        assert!(error.contains("7.8.9"), "{command:?}: {error}");
    }
}

#[test]
fn sqlite_database_of_a_later_version_is_used_if_that_is_safe() {
    database_of_a_later_version_is_used_if_that_is_safe(&Database::sqlite());
}

#[test]
fn postgres_database_of_a_later_version_is_used_if_that_is_safe() {
    if let Some(database) = Database::postgres() {
        database_of_a_later_version_is_used_if_that_is_safe(&database);
    }
}

#[test]
fn sqlite_database_that_needs_a_later_version_is_refused_with_that_version() {
    database_that_needs_a_later_version_is_refused_with_that_version(&Database::sqlite());
}

#[test]
fn postgres_database_that_needs_a_later_version_is_refused_with_that_version() {
    if let Some(database) = Database::postgres() {
        database_that_needs_a_later_version_is_refused_with_that_version(&database);
    }
}

fn latchkey_on(url: &str) -> Latchkey {
    Latchkey::without_settings().set("database_url", url).set("listen", "127.0.0.1:0")
}

#[test]
fn role_without_ddl_rights_serves_an_up_to_date_schema() {
    let Some(cluster) = Cluster::started() else { return };
    let owner = latchkey_on(&cluster.url());
    let _ = owner.run(&["migrate"]).success();
    cluster.session().execute(
        "CREATE ROLE app LOGIN PASSWORD 'app';
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         REVOKE CREATE, TEMPORARY ON DATABASE postgres FROM PUBLIC;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app",
    );
    let app = latchkey_on(&format!("postgres://app:app@127.0.0.1:{}/postgres", cluster.port()));
    let mut server = app.serve();
    let tenant = app.create_tenant();
    let client = server.client.with_token(&tenant.management_key);
    let key = client.create_lone_key();
    let _ = client.until_valid(&key);
    client.revoke(&key);
    assert_eq!(server.client.get("/ready").status, 200);
    server.stop();
}

#[test]
fn latin1_database_is_refused_before_anything_is_created() {
    let Some(cluster) = Cluster::started() else { return };
    cluster.session().execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    let url = cluster.url().replace("/postgres", "/old").replace("//old", "//postgres");
    let error = latchkey_on(&url).run(&["serve"]).failure();
    assert!(error.contains("LATIN1") && error.contains("UTF8"), "{error}");
    let mut session = Session::connect(&url).expect("the database is there");
    assert_eq!(session.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
}

#[test]
fn postgres_that_is_not_up_yet_is_waited_for() {
    let Some(mut cluster) = Cluster::create() else { return };
    let latchkey = latchkey_on(&cluster.url());
    let mut server = latchkey.start(&["serve"]);
    server.until(PATIENCE, "it says that it waits", |process| {
        process.stderr().to_lowercase().contains("wait").then_some(())
    });
    cluster.start();
    server.until(PATIENCE, "it listens", |process| process.stdout().contains("listening").then_some(()));
    assert!(!server.stderr().contains(cluster.password()), "{}", server.stderr());
}

#[test]
fn postgres_that_does_not_come_up_is_waited_for_no_longer_than_the_setting() {
    let Some(cluster) = Cluster::create() else { return };
    let error = latchkey_on(&cluster.url()).set("database_wait_seconds", "1").run(&["serve"]).failure();
    assert!(!error.contains(cluster.password()), "{error}");
}

#[test]
fn sigterm_ends_the_wait_for_postgres() {
    let Some(cluster) = Cluster::create() else { return };
    let mut server = latchkey_on(&cluster.url()).start(&["serve"]);
    server.until(PATIENCE, "it says that it waits", |process| {
        process.stderr().to_lowercase().contains("wait").then_some(())
    });
    server.signal(Signal::SIGTERM);
    // Handled, because a process 1 of a container would not notice it otherwise.
    let status = server.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{server:?}");
}

/// Runs `openssl` in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(folder).args(arguments.split(' ')).output().expect("there is openssl");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and with `host`, a certificate that it issued for this name.
fn issue(folder: &Path, authority: &str, host: &str) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30";
    openssl(folder, &format!("req -x509 {key} -keyout {authority}.key -out {authority}.pem -subj /CN={authority}"));
    openssl(
        folder,
        &format!(
            "req -x509 {key} -keyout {host}.key -out {host}.pem -subj /CN={host} -CA {authority}.pem -CAkey \
             {authority}.key -addext subjectAltName=DNS:{host} -addext basicConstraints=critical,CA:FALSE"
        ),
    );
}

/// A server that accepts connections with TLS, with a certificate for this name.
fn cluster_with_tls(certificates: &Path, host: &str) -> Option<Cluster> {
    let mut cluster = Cluster::create()?;
    for extension in ["pem", "key"] {
        let content = fs::read(certificates.join(format!("{host}.{extension}"))).expect("openssl wrote it");
        let file = cluster.put_file(&format!("server.{extension}"), &content);
        let setting = if extension == "pem" { "ssl_cert_file" } else { "ssl_key_file" };
        cluster = cluster.with_setting(&format!("{setting}={}", file.display()));
    }
    cluster = cluster.with_setting("ssl=on");
    cluster.start();
    Some(cluster)
}

#[test]
fn tls_to_postgres_with_verify_full_accepts_only_its_authority_and_its_host() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    issue(folder.path(), "ours", "localhost");
    issue(folder.path(), "stranger", "elsewhere.example");
    let url = |cluster: &Cluster, authority: &str| {
        let url = cluster.url().replace("127.0.0.1", "localhost");
        format!("{url}?sslmode=verify-full&sslrootcert={}", folder.path().join(authority).display())
    };
    let Some(cluster) = cluster_with_tls(folder.path(), "localhost") else { return };
    let latchkey = latchkey_on(&url(&cluster, "ours.pem"));
    let server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let _ = server.client.with_token(&tenant.management_key).create_lone_key();
    const PLAIN: &str = "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid)
        WHERE a.application_name = 'latchkey' AND NOT coalesce(s.ssl, FALSE)";
    assert_eq!(cluster.session().number(PLAIN), 0, "connections without TLS");

    let Some(elsewhere) = cluster_with_tls(folder.path(), "elsewhere.example") else { return };
    for (cluster, authority) in [(&cluster, "stranger.pem"), (&elsewhere, "stranger.pem")] {
        // Waiting does not help, so it is refused at once; a short wait only keeps a failing test short.
        let latchkey = latchkey_on(&url(cluster, authority)).set("database_wait_seconds", "5");
        let error = latchkey.set("log_filter", "debug").run(&["serve"]).failure();
        assert!(error.contains("certificate"), "{error}");
        assert!(!error.contains(cluster.password()), "{error}");
    }
}
