//! No question takes longer because a table is longer: the databases say how they would answer each of them.
//!
//! The questions are those that the other tests ask, which run once more for that, and write them down; so one that is
//! new is looked at without anybody thinking of it. That no question goes unasked is checked as well. SQLite plans
//! without looking at the tables. Postgres looks, so it is shown tables with very many rows.
//!
//! And no question is answered with more columns because a table has more of them.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::Command,
    sync::{LazyLock, Mutex},
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row, SqlSafeStr, Statement, postgres::PgConnection};

use crate::storage::{
    Db,
    testing::{
        self,
        recording::{self, Question},
    },
};

/// The tests that ask every question.
const ASKING: [&str; 11] = [
    "cli::doctor::",
    "storage::",
    "tasks::restore::",
    "http::routes::api_key_permissions::",
    "http::routes::events::",
    "http::routes::memberships::",
    "http::routes::roles::",
    "http::routes::user_api_keys::",
    "http::routes::users::",
    "http::routes::webhooks::",
    "tasks::webhook_sender::",
];

/// Tables that stay short, whatever the server does.
const SHORT: [(&str, &str); 10] = [
    ("environments", "only an operator makes them"),
    ("edge_sync", "two rows for each namespace"),
    ("feed_position", "one row"),
    ("_sqlx_migrations", "one row for each migration"),
    ("schema_requirements", "one row for each migration at the most"),
    ("write_probe", "one row"),
    ("event_log", "one row"),
    ("webhook_endpoints", "50 for each environment"),
    ("webhook_replays", "one row for each webhook endpoint at the most"),
    ("wal_mark", "one row"),
];

/// What a question does that takes longer for more rows, and why it may.
const EXCEPTIONS: [(&str, &[&str], &str); 42] = [
    (
        "api_keys::revoke_all_of_organization",
        &["reads all of api_keys with (environment_id=? AND organization_id=?)", "sorts"],
        "they are to be changed, all of them, once",
    ),
    (
        "api_keys::remove_permission",
        &[
            "reads all of api_keys",
            "reads all of api_keys with (environment_id=?)",
            "reads all of memberships with (role_id=?)",
            "reads all of api_keys with (environment_id=? AND user_id=?)",
            "sorts",
        ],
        "once for each permission that somebody deletes, and within one environment",
    ),
    (
        "edge_sync::count_after",
        &[
            "reads all of api_keys",
            "reads all of api_keys with (id>?)",
            "reads all of management_keys",
            "reads all of management_keys with (id>?)",
        ],
        "`latchkey edge sync` shows how far it has come, and reads each key anyway",
    ),
    (
        "feed::remove_scopes",
        &["reads all of scope_changes with (changed_at<?)"],
        "what it reads it removes, so it meets each of them once",
    ),
    (
        "management_keys::list",
        &["reads all of management_keys", "reads all of management_keys with (environment_id=?)"],
        "`latchkey management-keys list` shows all of them",
    ),
    (
        "organizations::unindex_domains",
        &["reads all of organization_domains with (organization_id=?)"],
        "an organization has so many domains as one request names",
    ),
    (
        "memberships::delete_all_of_organization",
        &["reads all of memberships with (organization_id=?)"],
        "they are to be deleted, all of them, once",
    ),
    ("memberships::delete_all_of_user", &["reads all of memberships with (user_id=?)"], "likewise"),
    (
        "roles::ask",
        &[
            "reads all of roles with (environment_id=? AND slug=?)",
            "reads all of roles with (organization_id=? AND slug=?)",
        ],
        "a slug is taken once, as a unique index of a part of the table sees to",
    ),
    ("roles::delete", &["reads all of memberships with (role_id=?)"], "to see that there are none"),
    (
        "roles::delete_all_of_organization",
        &["reads all of memberships with (role_id=?)", "reads all of roles with (organization_id=?)"],
        "to see that there are none; and roles are 200 at most",
    ),
    (
        "roles::list_of_environment",
        &["reads all of roles with (environment_id=?)", "reads all of roles_of_environment", "sorts"],
        "200 at most",
    ),
    ("roles::list_of_organization", &["reads all of roles with (organization_id=?)", "sorts"], "200 at most"),
    (
        "roles::remove_permission",
        &["reads all of roles"],
        "once for each permission that somebody deletes, and within one environment",
    ),
    (
        "user_api_keys::revoke_all_of_membership",
        &["reads all of api_keys with (environment_id=? AND user_id=?)"],
        "they are to be changed, all of them, once",
    ),
    ("user_api_keys::revoke_all_of_user", &["reads all of api_keys with (environment_id=? AND user_id=?)"], "likewise"),
    (
        "user_api_keys::touch_all_of_membership",
        &["reads all of api_keys with (environment_id=? AND user_id=?)"],
        "their records are to be sealed again, all of them, once",
    ),
    (
        "user_api_keys::touch_all_of_roles",
        &[
            "reads all of memberships with (role_id=?)",
            "reads all of api_keys with (environment_id=? AND user_id=?)",
            "sorts",
        ],
        "likewise",
    ),
    ("users::delete", &["reads all of memberships with (user_id=?)"], "to see that there are none"),
    ("users::list", &["sorts"], "one user: an address is taken once"),
    ("users::of_ids", &["reads all of users with (environment_id=? AND id=?)"], "one page"),
    ("events::any_queued", &["reads all of event_queue"], "it wants one row, the first"),
    ("events::next_queued", &["reads all of event_queue"], "it takes so many as it is told to, from the front"),
    ("events::expanding", &["reads all of event_queue"], "one for each environment at the most"),
    ("events::set_expanding", &["reads all of event_queue with (rowid=?)"], "one row, by its primary key"),
    ("events::dequeue", &["reads all of event_queue with (rowid=?)"], "one batch, by their primary keys"),
    ("events::remove_targets", &["reads all of event_targets with (?,?))"], "one batch"),
    (
        "memberships::target_all_of_organization",
        &["reads all of memberships with (organization_id=?)", "reads all of roles", "sorts"],
        "they are to be deleted, all of them, once",
    ),
    ("memberships::target_all_of_user", &["reads all of memberships with (user_id=?)"], "likewise"),
    (
        "webhook_deliveries::attempts",
        &["reads all of webhook_attempts with (delivery_id=?)"],
        "a delivery has ten at the most",
    ),
    ("webhook_deliveries::forget", &["reads all of webhook_attempts with (delivery_id=?)"], "one batch"),
    ("webhook_endpoints::forget", &["sorts"], "those that were deleted in the last minute"),
    ("outbox::backlog", &["reads all of outbox"], "it counts up to COUNTED_MAX"),
    ("outbox::any_to_clear", &["reads all of outbox"], "it wants one row, whichever"),
    ("outbox::clear", &["reads all of outbox"], "it takes so many rows as it is told to, whichever"),
    (
        "outbox::make_all_due",
        &["reads all of outbox with (next_attempt_at>?)"],
        "once, when the server starts: what earlier ones had claimed or put off",
    ),
    ("outbox::settle", &["reads all of outbox with (claim=?)"], "one batch"),
    ("outbox::release", &["reads all of outbox with (claim=?)"], "one batch"),
    ("reseal::queue_sealed_before", &["sorts"], "one page; and management keys, which are few"),
    ("reseal::queue_never_sealed", &["sorts"], "one page"),
    (
        "usage::of_key",
        &["reads all of usage with (key_id=? AND hour>? AND hour<?)", "sorts"],
        "so many hours as one answer can have",
    ),
    (
        "usage::of_environment",
        &["reads all of environment_usage with (environment_id=? AND hour>? AND hour<?)", "sorts"],
        "so many hours as one answer can have",
    ),
];

/// What a question does that takes longer for more rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Which function asks it.
    function: String,
    /// What it does.
    what: String,
    /// Which database says so, and the question.
    evidence: String,
}

/// What the other tests ask, which run once for all tests here.
static QUESTIONS: LazyLock<BTreeSet<Question>> = LazyLock::new(questions);

/// Lets the other tests run, and returns what they asked.
fn questions() -> BTreeSet<Question> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("questions");
    let mut tests = Command::new(env::current_exe().unwrap());
    tests.args(ASKING).args(["--skip", "query_plans", "--skip", "very_many"]).env(recording::FILE, &file);
    let done = tests.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let failures = said.split_once("failures:").map_or(said.as_ref(), |(_, failures)| failures);
    assert!(done.status.success(), "the tests that ask the questions fail:{failures}");
    let lines = fs::read_to_string(file).unwrap();
    let asked: BTreeSet<Question> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    asked.into_iter().filter(|question| is_of_the_server(&question.place.file)).collect()
}

/// Tests ask questions of their own.
fn is_of_the_server(file: &str) -> bool {
    file.contains("src/storage/") && !file.contains("testing") && !file.contains("conformance")
}

/// Where the source asks something: file and line.
fn places() -> BTreeSet<(String, u32)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut places = BTreeSet::new();
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !is_of_the_server(file.to_str().unwrap()) {
            continue;
        }
        for (number, line) in (1..).zip(fs::read_to_string(&file).unwrap().lines()) {
            if line.contains("on_db!(") {
                places.insert((name.clone(), number));
            }
        }
    }
    places
}

/// The tables of SQLite, and the indexes that only hold the rows that somebody asks for.
struct Schema {
    tables: BTreeSet<String>,
    partial_indexes: BTreeSet<String>,
}

fn is_short(table: &str) -> bool {
    SHORT.iter().any(|(short, _)| *short == table)
}

/// Whether the question says itself how many rows it wants.
fn is_limited(sql: &str) -> bool {
    sql.contains("LIMIT") || sql.contains("MIN(")
}

impl Schema {
    /// The table that a plan calls so: a question may give it a name of its own.
    fn table(&self, name: &str, sql: &str) -> Option<&str> {
        let is_separator = |c: char| c.is_whitespace() || "(),".contains(c);
        let words: Vec<&str> = sql.split(is_separator).filter(|word| !word.is_empty()).collect();
        let is_called_so = |pair: &&[&str]| pair[1] == name && self.tables.contains(pair[0]);
        let called = words.windows(2).find(is_called_so).map_or(name, |pair| pair[0]);
        self.tables.get(called).map(String::as_str).filter(|table| !is_short(table))
    }

    /// What SQLite says: a line for each table, and for what has to be built first. <https://www.sqlite.org/eqp.html>
    fn finding(&self, line: &str, sql: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            // A batch is sorted by itself.
            ["USE", "TEMP", "B-TREE", ..] if !sql.contains("json_each") => Some("sorts".to_owned()),
            ["SCAN", name, ..] => {
                let is_of_index = words.last().is_some_and(|index| self.partial_indexes.contains(*index));
                let table = self.table(name, sql)?;
                (!is_of_index || !is_limited(sql)).then(|| format!("reads all of {table}"))
            }
            ["SEARCH", name, "USING", ..] => {
                let table = self.table(name, sql)?;
                let found_by = &line[line.rfind('(')?..];
                let is_unique = line.contains("sqlite_autoindex") || line.contains("by_external_id");
                let is_bounded = is_limited(sql) || (is_unique && !found_by.contains(['<', '>']));
                let is_of_environment = found_by == "(environment_id=?)" && table != "environments";
                (is_of_environment || !is_bounded || line.contains("AUTOMATIC"))
                    .then(|| format!("reads all of {table} with {found_by}"))
            }
            _ => None,
        }
    }
}

/// What Postgres says: a tree. <https://www.postgresql.org/docs/15/using-explain.html>
fn of_postgres(plan: &Value, sql: &str, is_limited: bool, findings: &mut Vec<String>) {
    let text = |name: &str| plan[name].as_str().unwrap_or_default();
    let (node, table, condition) = (text("Node Type"), text("Relation Name"), text("Index Cond"));
    let reads_all = match node {
        "Seq Scan" => !is_limited || !plan["Filter"].is_null(),
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" if condition.is_empty() => !is_limited,
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => {
            condition.starts_with("(environment_id = ") && !condition.contains(" AND ")
        }
        _ => false,
    };
    let of = if table.is_empty() { text("Index Name") } else { table };
    if reads_all && !is_short(of) {
        findings.push(format!("reads all of {of}"));
    }
    // Neither a batch nor a page is long.
    if node == "Sort" && !sql.contains("json_array_elements") && is_of_long_table(plan) {
        findings.push("sorts".to_owned());
    }
    let is_limited = node == "Limit" || (is_limited && node != "Sort" && node != "Aggregate");
    for below in below(plan) {
        of_postgres(below, sql, is_limited, findings);
    }
}

fn below(plan: &Value) -> impl Iterator<Item = &Value> {
    plan["Plans"].as_array().into_iter().flatten()
}

/// Whether rows come from below without an end.
fn is_of_long_table(plan: &Value) -> bool {
    let is_long = plan["Relation Name"].as_str().is_some_and(|table| !is_short(table));
    plan["Node Type"] != "Limit" && (is_long || below(plan).any(is_of_long_table))
}

fn finding(question: &Question, what: String, plan: &str) -> Finding {
    let evidence = format!("{}: {plan}\n{}", question.database, question.sql);
    Finding { function: question.place.function.clone(), what, evidence }
}

async fn ask_sqlite(questions: &BTreeSet<Question>) -> Vec<Finding> {
    let (db, _folder) = testing::sqlite().await;
    let writer = db.sqlite_writer().unwrap();
    let names = async |sql| sqlx::query_scalar(sql).fetch_all(writer).await.unwrap().into_iter().collect();
    let schema = Schema {
        tables: names("SELECT name FROM sqlite_master WHERE type = 'table'").await,
        partial_indexes: names("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%'").await,
    };
    let mut findings = vec![];
    for question in questions {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", question.sql));
        for row in sqlx::query(explain).fetch_all(writer).await.unwrap() {
            let line: String = row.get("detail");
            findings.extend(schema.finding(&line, &question.sql).map(|what| finding(question, what, &line)));
        }
    }
    findings
}

/// How Postgres would answer, whatever the arguments are.
async fn plan(connection: &mut PgConnection, question: &Question) -> Value {
    let types = types(&question.arguments);
    let nulls = vec!["NULL"; types.len()].join(", ");
    let (types, nulls) = if types.is_empty() {
        (String::new(), nulls)
    } else {
        (format!("({})", types.join(", ")), format!("({nulls})"))
    };
    let prepare = format!("PREPARE question {types} AS {}", question.sql);
    connection.execute(AssertSqlSafe(prepare)).await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) EXECUTE question {nulls}"));
    let plan: String = sqlx::raw_sql(explain).fetch_one(&mut *connection).await.unwrap().get_unchecked(0);
    connection.execute("DEALLOCATE question").await.unwrap();
    serde_json::from_str::<Value>(&plan).unwrap()[0]["Plan"].clone()
}

/// The types that sqlx gave the arguments.
fn types(arguments: &str) -> Vec<&'static str> {
    let (_, rest) = arguments.split_once("types: [").unwrap();
    let (types, _) = rest.split_once(']').unwrap();
    let type_of = |name: &str| match name.trim_start_matches("PgTypeInfo(").trim_end_matches(')') {
        "Int8" => "bigint",
        "Text" => "text",
        "Bytea" => "bytea",
        "Bool" => "boolean",
        other => panic!("what does Postgres call {other}?"),
    };
    types.split(", ").filter(|name| !name.is_empty()).map(type_of).collect()
}

/// Very many rows of everything. A table that is not among them is looked at as if it were short, so there is none.
const GROW: &str = "
    INSERT INTO environments (id, name, key_prefix, prefixes, created_at, updated_at)
        SELECT 'environment_' || n, 'E', 'lk', '[]', n, n FROM generate_series(1, 3) n;
    INSERT INTO management_keys (id, environment_id, name, digest, obfuscated_value, scopes, version, created_at, updated_at, changed_at, sealed_at)
        SELECT 'mkey_' || n, 'environment_' || (n % 3 + 1), 'M', sha256(n::text::bytea), '', '[]', n, n, n, n, n FROM generate_series(1, 100000) n;
    INSERT INTO organizations (id, environment_id, name, external_id, metadata, domains, created_at, updated_at, deleted_at,
            search_name, search_name_of)
        SELECT 'org_' || n, 'environment_' || (n % 3 + 1), 'O' || n, 'x' || n, '{}', '[]', n, n, CASE WHEN n % 10 = 0 THEN n END,
            'o' || n, CASE WHEN n % 50 > 0 THEN 'O' || n END
        FROM generate_series(1, 100000) n;
    INSERT INTO organization_domains (environment_id, domain, organization_id)
        SELECT 'environment_' || (n % 3 + 1), n || '.example', 'org_' || n FROM generate_series(1, 100000) n;
    INSERT INTO permissions (id, environment_id, slug, name, resource_type_slug, created_at, updated_at)
        SELECT 'perm_' || n, 'environment_' || (n % 3 + 1), 'p' || n, 'P', '', n, n FROM generate_series(1, 100000) n;
    INSERT INTO users (id, environment_id, external_id, email, email_key, metadata, created_at, updated_at)
        SELECT 'user_' || n, 'environment_' || (n % 3 + 1), 'x' || n, 'e' || n, 'e' || n, '{}', n, n FROM generate_series(1, 100000) n;
    INSERT INTO roles (id, environment_id, organization_id, slug, name, resource_type_slug, permissions, generation, created_at, updated_at)
        SELECT 'role_' || n, 'environment_' || (n % 3 + 1), CASE WHEN n % 1000 > 0 THEN 'org_' || (n % 20000 + 1) END, 'r' || n, 'R', '', '[]', n, n, n
        FROM generate_series(1, 100000) n;
    INSERT INTO memberships (id, environment_id, organization_id, user_id, role_id, generation, created_at, updated_at)
        SELECT 'om_' || n, 'environment_' || (n % 3 + 1), 'org_' || (n % 200 + 1), 'user_' || n, 'role_' || n, n, n, n
        FROM generate_series(1, 100000) n;
    INSERT INTO api_keys (id, environment_id, organization_id, name, digest, obfuscated_value, permissions, version, created_by, created_at, updated_at,
            changed_at, sealed_at, revoked_at)
        SELECT 'api_key_' || n, 'environment_' || (n % 3 + 1), 'org_' || (n % 200 + 1), 'K', sha256(n::text::bytea), '', '[]', n, '', n, n,
            CASE WHEN n % 7 = 0 THEN n END, n, CASE WHEN n % 10 = 0 THEN n END
        FROM generate_series(1, 100000) n;
    INSERT INTO outbox (key_id, kind, version, queued_at, next_attempt_at, through_feed, fed_version, claim)
        SELECT 'api_key_' || n, 'api_key', n, n, n, n % 2 = 0, CASE WHEN n % 4 = 0 THEN n END, CASE WHEN n % 50 = 0 THEN n / 1000 END
        FROM generate_series(1, 100000) n;
    INSERT INTO scope_changes (name, environment_id, generation, effect, changed_at, fed)
        SELECT 'organization:org_' || n, 'environment_' || (n % 3 + 1), n, '{}', n, n % 100 > 0 FROM generate_series(1, 100000) n;
    INSERT INTO feed_position VALUES (1, 1, 1);
    INSERT INTO last_uses (key_id, used_at) SELECT 'api_key_' || n, n FROM generate_series(1, 100000) n;
    INSERT INTO usage (key_id, hour, outcome, count)
        SELECT 'api_key_' || n % 1000, n / 1000, 'valid', 1 FROM generate_series(1, 100000) n;
    INSERT INTO environment_usage (environment_id, hour, outcome, count)
        SELECT 'environment_' || (n % 3 + 1), n / 3, 'valid', 1 FROM generate_series(1, 100000) n;
    INSERT INTO usage_senders (sender, number, seen_at) SELECT n::text, n, n FROM generate_series(1, 100000) n;
    INSERT INTO idempotent_answers (place, fingerprint, answer, created_at)
        SELECT sha256(n::text::bytea), '', '', n FROM generate_series(1, 100000) n;
    INSERT INTO events (id, environment_id, organization_id, event, of_latchkey, body)
        SELECT 'event_' || n, 'environment_' || (n % 3 + 1), 'org_' || (n % 1000 + 1), 'type_' || n % 30, n % 3 = 0, '{}'
        FROM generate_series(1, 100000) n;
    INSERT INTO event_queue (environment_id, event, data, context, expanding)
        SELECT 'environment_' || (n % 3 + 1), 'type', '{}', '{}', n < 3 FROM generate_series(1, 100000) n;
    INSERT INTO event_targets (batch, event, id)
        SELECT 'batch_' || n % 20, 'api_key.revoked', 'api_key_' || n FROM generate_series(1, 100000) n;
    INSERT INTO webhook_deliveries (id, environment_id, endpoint_id, event_id, event, status, created_at)
        SELECT 'wd_' || n, 'environment_' || (n % 3 + 1), 'we_' || n % 50, 'event_' || n, 'type',
            CASE WHEN n % 4 = 0 THEN 'pending' ELSE 'succeeded' END, n
        FROM generate_series(1, 100000) n;
    INSERT INTO webhook_queue (delivery_id, endpoint_id, next_attempt_at)
        SELECT 'wd_' || n, 'we_' || n % 50, n FROM generate_series(1, 100000) n;
    INSERT INTO webhook_attempts (delivery_id, attempt, started_at, duration_ms, url, response_headers, response_body)
        SELECT 'wd_' || n / 2, n % 2, n, 1, '', '{}', '' FROM generate_series(1, 100000) n;
    ANALYZE";

/// The tables that must not be short, and are.
const SHORT_TABLES: &str = "SELECT relname::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples < 10000";

async fn ask_postgres(db: &Db, questions: &BTreeSet<Question>) -> Vec<Finding> {
    let pool = db.postgres_pool().unwrap();
    let mut connection = pool.acquire().await.unwrap();
    connection.execute(GROW).await.unwrap();
    let short: Vec<String> = sqlx::query_scalar(SHORT_TABLES).fetch_all(&mut *connection).await.unwrap();
    let forgotten: Vec<_> = short.iter().filter(|table| !is_short(table)).collect();
    assert!(
        forgotten.is_empty(),
        "give these tables very many rows in GROW, or say in SHORT why they stay short: {forgotten:?}"
    );
    connection.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let mut findings = vec![];
    // There is no plan for locking a table.
    for question in questions.iter().filter(|question| !question.sql.starts_with("LOCK")) {
        let plan = plan(&mut connection, question).await;
        let mut found = vec![];
        of_postgres(&plan, &question.sql, false, &mut found);
        let shown = serde_json::to_string(&plan).unwrap();
        findings.extend(found.into_iter().map(|what| finding(question, what, &shown)));
    }
    findings
}

#[tokio::test]
async fn no_question_takes_longer_for_longer_tables() {
    let asked: BTreeSet<(String, u32)> = QUESTIONS.iter().map(|question| question.place.of_file()).collect();
    let unasked: Vec<_> = places().difference(&asked).cloned().collect();
    assert!(unasked.is_empty(), "no test asks what stands here, so nobody knows how long it takes: {unasked:?}");
    let (of_sqlite, of_postgres) = QUESTIONS.iter().cloned().partition(|question| question.database == "SQLite");
    let mut findings = ask_sqlite(&of_sqlite).await;
    let more = Mutex::default();
    testing::on_postgres(async |db| *more.lock().unwrap() = ask_postgres(&db, &of_postgres).await).await;
    findings.extend(more.into_inner().unwrap());
    let is_expected = |finding: &&Finding| {
        let of = EXCEPTIONS.iter().find(|(function, ..)| *function == finding.function);
        of.is_some_and(|(_, expected, _)| expected.contains(&finding.what.as_str()))
    };
    let unexpected: Vec<String> = findings
        .iter()
        .filter(|finding| !is_expected(finding))
        .map(|Finding { function, what, evidence }| format!("{function} {what}\n{evidence}\n"))
        .collect();
    assert!(unexpected.is_empty(), "{}\n{} findings", unexpected.join("\n"), unexpected.len());
    if of_postgres.is_empty() {
        // Without Postgres, nobody knows which exceptions are needed.
        return;
    }
    for (function, _, why) in EXCEPTIONS {
        let is_needed = findings.iter().any(|finding| finding.function == function);
        assert!(is_needed, "{function} needs no exception any more: {why}");
    }
}

/// Where a newer server has added a column to each table. `SELECT *` would answer with it.
#[tokio::test]
async fn every_question_names_its_columns() {
    const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let (db, _folder) = testing::sqlite().await;
    let mut connection = db.sqlite_writer().unwrap().acquire().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *connection).await.unwrap();
    for table in tables {
        let add = format!("ALTER TABLE {table} ADD COLUMN of_newer_server BIGINT");
        connection.execute(AssertSqlSafe(add)).await.unwrap();
    }
    // sqlx remembers the columns of what was asked before.
    connection.clear_cached_statements().await.unwrap();
    for Question { place, sql, .. } in QUESTIONS.iter().filter(|question| question.database == "SQLite") {
        let prepared = connection.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await.unwrap();
        assert!(
            prepared.columns().iter().all(|column| column.name() != "of_newer_server"),
            "{} must name its columns: otherwise the statements that older servers have prepared fail, or answer wrongly, \
             as soon as a newer one adds a column\n{sql}",
            place.function
        );
    }
}
