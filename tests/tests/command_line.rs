//! The program `latchkey` as its operator meets it.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use serde_json::json;
use tests::{
    calls::text, database::Database, half_request::HalfRequest, http::Client, latchkey::Latchkey, process::Signal,
    wait::eventually,
};

/// A valid key that no installation has.
const ENCRYPTION_KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MDE=";

/// The words that begin with this, in the order in which they appear.
fn words_beginning_with<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.split_whitespace().filter(|word| word.starts_with(start)).collect()
}

#[test]
fn the_first_run_shows_the_management_key_once_and_no_later_run_does() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);

    let mut server = latchkey.serve();
    let stdout = server.process.stdout();
    let [key] = words_beginning_with(&stdout, "mk_")[..] else { panic!("{stdout}") };
    let _ = server.client.with_token(key).create_organization();
    server.stop();
    let mut output = server.process.stderr();

    let mut again = latchkey.serve();
    let _ = again.client.with_token(key).create_organization();
    again.stop();
    assert!(!again.process.stdout().contains("mk_"), "{}", again.process.stdout());
    output += &again.process.stderr();

    let list = latchkey.json(&["environments", "list", "--json"]);
    let environment = text(&list[0], "id");
    output += &latchkey.run(&["management-keys", "list", "--environment", &environment]).success();
    assert!(output.contains("First key"), "{output}");
    assert!(!output.contains(key), "{output}");
}

/// More than one process may begin on one Postgres database. It is one installation nevertheless.
#[test]
fn processes_that_start_at_once_make_one_environment_on_postgres() {
    let Some(database) = Database::postgres() else { return };
    let latchkey = Latchkey::on(&database);
    let processes: Vec<_> = (0..4).map(|_| latchkey.start(&["serve"])).collect();
    let mut shown = 0;
    for mut process in processes {
        process.until(Duration::from_secs(60), "it listens", |process| {
            process.stdout().contains("listening").then_some(())
        });
        shown += words_beginning_with(&process.stdout(), "mk_").len();
    }
    assert_eq!(shown, 1);
    assert_eq!(latchkey.json(&["environments", "list", "--json"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn second_serve_on_a_sqlite_file_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.db");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("database_url", &format!("sqlite:{}", file.display()));
    let mut first = latchkey.serve();
    let other = latchkey.but("database_url", &format!("sqlite:{}/link/latchkey.db", folder.path().display()));
    for second in [&latchkey, &other] {
        let refused = second.run(&["serve"]).failure();
        assert!(refused.contains("another `latchkey serve`"), "{refused}");
    }
    let _ = latchkey.create_tenant();
    let _ = latchkey.run(&["migrate"]).success();
    first.process.kill();
    let _second = latchkey.serve();
}

#[test]
fn only_serve_and_migrate_create_a_database_and_say_where() {
    let environment = "environment_01KF0JZ4G0000000000000000A";
    for command in [
        &["doctor"][..],
        &["doctor", "--json"],
        &["environments", "list"],
        &["environments", "create", "Test"],
        &["management-keys", "list", "--environment", environment],
        &["backup", "backup.db"],
    ] {
        let latchkey = Latchkey::without_settings();
        let finished = latchkey.run(command);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!((finished.stdout + &finished.stderr).contains("does not exist"), "{command:?}");
        assert!(fs::read_dir(latchkey.folder()).unwrap().next().is_none(), "{command:?} made a file");
    }
    for command in ["serve", "migrate"] {
        let latchkey = Latchkey::without_settings().set("listen", "127.0.0.1:0");
        let mut process = latchkey.start(&[command]);
        let path = latchkey.folder().canonicalize().unwrap().join("latchkey.db");
        process.until(Duration::from_secs(60), "it says where", |process| {
            process.stdout().contains(&format!("Created the database {}\n", path.display())).then_some(())
        });
        assert!(path.is_file());
    }
}

#[test]
fn serve_refuses_the_copy_of_a_live_database_and_takes_its_backup() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let caller = server.client.with_token(&tenant.management_key);
    let _ = caller.create_organization();

    let live = database.url().replace("sqlite:", "");
    let [copy, backup] = ["copy.db", "backup.db"].map(|name| latchkey.folder().join(name));
    fs::copy(&live, &copy).unwrap();
    let printed = latchkey.run(&["backup", "backup.db"]).success();
    assert!(printed.contains(&format!("cp '{}' ", backup.canonicalize().unwrap().display())), "{printed}");
    let refused = latchkey.run(&["backup", "backup.db"]).failure();
    assert!(refused.contains("never overwrites"), "{refused}");
    server.stop();

    let on = |file: &std::path::Path| latchkey.but("database_url", &format!("sqlite:{}", file.display()));
    let refused = on(&copy).run(&["serve"]).failure();
    assert!(refused.contains("without its -wal file") && refused.contains("latchkey backup"), "{refused}");
    fs::write(&copy, "").unwrap();
    assert!(on(&copy).run(&["serve"]).failure().contains("it is empty"));

    let restored = on(&backup);
    let server = restored.serve();
    assert!(!server.process.stdout().contains("First run"), "{}", server.process.stdout());
    let list = server.client.with_token(&tenant.management_key).get("/organizations").expect(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn backup_says_that_the_encryption_key_is_elsewhere() {
    let latchkey = Latchkey::without_settings();
    let _ = latchkey.run(&["migrate"]).success();
    let printed = latchkey.run(&["backup", "1.db"]).success();
    assert!(
        printed.ends_with("There is no encryption key yet, so only the database has to be backed up.\n"),
        "{printed}"
    );
    let file = latchkey.folder().canonicalize().unwrap().join("latchkey.db.encryption-key");
    fs::write(&file, "").unwrap();
    let printed = latchkey.run(&["backup", "2.db"]).success();
    let says = |location: &str| format!("This backup does not contain the encryption key, which is {location}. ");
    assert!(printed.contains(&says(&format!("in {}", file.display()))), "{printed}");
    let printed = latchkey.set("encryption_key", ENCRYPTION_KEY).run(&["backup", "3.db"]).success();
    assert!(printed.contains(&says("the setting encryption_key")) && !printed.contains(ENCRYPTION_KEY), "{printed}");
}

#[test]
fn backup_of_postgres_names_pg_dump_and_no_password() {
    let latchkey = Latchkey::without_settings().set("database_url", "postgres://me:hush@db.example:6432/keys");
    let refused = latchkey.run(&["backup", "x"]).failure();
    assert!(refused.contains("pg_dump") && refused.contains("db.example") && !refused.contains("hush"), "{refused}");
}

#[test]
fn first_key_goes_to_the_bootstrap_file_and_is_printed_nowhere() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("bootstrap_key_file", "key").set("log_filter", "trace");
    let file = latchkey.folder().join("key");
    fs::write(&file, "precious").unwrap();
    assert!(latchkey.run(&["serve"]).failure().contains("key exists"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    fs::remove_file(&file).unwrap();

    let mut server = latchkey.serve();
    let key = fs::read_to_string(&file).unwrap();
    let key = key.strip_suffix('\n').unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let _ = server.client.with_token(key).create_organization();
    server.stop();
    let output = server.process.stdout() + &server.process.stderr();
    assert!(!output.contains("mk_") && !output.contains(key.trim_start_matches("mk_")), "{output}");
    // A later start writes no other.
    fs::remove_file(&file).unwrap();
    let _server = latchkey.serve();
    assert!(!file.exists());
}

#[test]
fn management_key_goes_to_the_output_file_and_is_not_printed() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let server = latchkey.serve();
    let environment = latchkey.create_tenant().environment;
    for more in [&[][..], &["--json"]] {
        let file = latchkey.folder().join(format!("key{}", more.len()));
        let create = ["management-keys", "create", "--environment", &environment, "--name", "x", "--output"];
        let create = [&create[..], &[file.to_str().unwrap()], more].concat();
        assert!(!latchkey.run(&create).success().contains("mk_"));
        let key = fs::read_to_string(&file).unwrap();
        let _ = server.client.with_token(key.trim()).create_organization();
        assert!(latchkey.run(&create).failure().contains("exists"));
    }
}

#[test]
fn doctor_prints_one_json_document() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let _server = latchkey.serve();
    let finding = |findings: &serde_json::Value, code: &str| {
        findings.as_array().unwrap().iter().find(|finding| finding["code"] == code).cloned()
    };
    let well = latchkey.json(&["doctor", "--json"]);
    let found = finding(&well, "database_up_to_date").unwrap();
    assert_eq!(found["level"], "ok");
    assert!(text(&found, "message").contains("latchkey.db"), "{found}");

    let worse = latchkey
        .set("listen", "0.0.0.0:0")
        .set("edge_kv_url", "http://127.0.0.1:1")
        .set("edge_kv_namespace", "keys")
        .set("edge_secret", &format!("{}\n", secret()))
        .set("edge_url", "http://127.0.0.1:1");
    let finished = worse.run(&["doctor", "--json"]);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let findings = serde_json::from_str(&finished.stdout).unwrap();
    for (code, level) in [
        ("secret_has_white_space", "warning"),
        ("metrics_without_token", "warning"),
        ("kv_unavailable", "error"),
        ("worker_unreachable", "error"),
    ] {
        let found = finding(&findings, code).unwrap_or_else(|| panic!("{code}: {findings}"));
        assert_eq!(found["level"], level, "{found}");
        assert!(found["advice"].is_string(), "{found}");
    }
    let finished = worse.set("listen", "nonsense").run(&["doctor", "--json"]);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let findings = serde_json::from_str(&finished.stdout).unwrap();
    assert!(text(&finding(&findings, "settings_invalid").unwrap(), "message").contains("listen"), "{findings}");
}

#[test]
fn no_key_and_no_secret_is_ever_logged_or_stored() {
    let database = Database::sqlite();
    let (edge_secret, kv_token, metrics_token) = (secret(), secret(), secret());
    let latchkey = Latchkey::on(&database)
        .set("log_filter", "trace")
        .set("edge_secret", &edge_secret)
        // Nobody listens there, so the publisher has errors to log.
        .set("edge_kv_url", "http://127.0.0.1:1")
        .set("edge_kv_namespace", "keys")
        .set("edge_url", "http://127.0.0.1:1")
        .set("edge_kv_token", &kv_token)
        .set("encryption_key", ENCRYPTION_KEY)
        .set("metrics_token", &metrics_token);
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let caller = server.client.with_token(&tenant.management_key);
    let key = caller.create_lone_key();
    let value = key.value.as_str();

    // The key where it belongs, and wherever else somebody may put it by mistake.
    assert_eq!(caller.validate(value).status, 200);
    let misplaced = [
        caller.delete(&format!("/api_keys/{value}")),
        caller.get(&format!("/organizations?after={value}&search={value}")),
        caller.get(&format!("/{value}")),
        caller.post("/api_keys/validations", &json!({"value": [value]})),
        caller.post("/api_keys/validations", &json!({"value": value, "ip": value, "permissions": value})),
        caller.send("POST", "/api_keys/validations", Some(value.as_bytes())),
        caller.send(value, "/api_keys/validations", None),
        server.client.with_authorization(&tenant.management_key).get("/organizations"),
        server.client.with_token(value).get("/organizations"),
        server.client.get("/metrics"),
    ];
    for answer in misplaced {
        assert!((400..500).contains(&answer.status), "{answer:?}");
        // A path that names nothing is quoted to the caller, who sent it; nothing else is.
        assert!(answer.status == 404 || !answer.text.contains(value), "{answer:?}");
    }
    let metrics = server.client.with_token(&metrics_token).get("/metrics");
    assert_eq!(metrics.status, 200);
    server.process.until(Duration::from_secs(30), "the publisher complains", |process| {
        process.stderr().contains("the change feed cannot be reached").then_some(())
    });
    let commands = [
        latchkey.run(&["doctor"]),
        latchkey.run(&["edge", "verify"]),
        latchkey.run(&["management-keys", "revoke", &tenant.management_key_id]),
    ];
    server.stop();

    let mut said = metrics.text + &server.process.stderr();
    for command in commands {
        said += &(command.stdout + &command.stderr);
    }
    let path = database.url().replace("sqlite:", "");
    let stored: Vec<u8> =
        ["", "-wal"].iter().flat_map(|file| fs::read(format!("{path}{file}")).unwrap_or_default()).collect();
    for secret in [value, &tenant.management_key, &edge_secret, &kv_token, ENCRYPTION_KEY, &metrics_token] {
        // The part that is random: a key without its prefix is a key none the less.
        let secret = secret.rsplit('_').next().unwrap();
        assert!(!said.contains(secret), "logged: {secret}");
        assert!(!contains(&stored, secret), "stored: {secret}");
    }
    assert!(contains(&stored, &key.id), "the database was looked at");
}

fn secret() -> String {
    format!("{:016x}{:016x}", tests::unique(), tests::unique())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn sigterm_lets_a_request_under_way_finish_and_takes_no_other() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let under_way = HalfRequest::send(&server, &tenant.management_key);
    // A client that keeps its connection for later must not keep the server.
    let idle = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();

    server.process.signal(Signal::SIGTERM);
    eventually(Duration::from_secs(10), "new connections are refused", || {
        match server.client.try_send("GET", "/health", None) {
            Err(_) => Ok(()),
            Ok(answer) => Err(answer.text),
        }
    });
    let answer = under_way.finish();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let status = server.process.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    drop(idle);

    let server = latchkey.serve();
    let list = server.client.with_token(&tenant.management_key).get("/organizations").expect(200);
    assert_eq!(list["data"][0]["name"], "In flight");
}

#[test]
fn sigterm_waits_for_no_client_for_ever() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database).set("shutdown_seconds", "1");
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let _never_finished = HalfRequest::send(&server, &tenant.management_key);
    server.process.signal(Signal::SIGTERM);
    // Less than the 30 s after which the request would be answered 408, and the 16 s that it has by default.
    let status = server.process.wait(Duration::from_secs(15));
    assert!(status.success(), "{status}");
    assert!(server.process.stderr().contains("requests did not finish in time"), "{:?}", server.process);
}

#[test]
fn a_wrong_setting_is_named_and_so_is_the_way_out() {
    let edge =
        [("edge_kv_url", "http://127.0.0.1:1"), ("edge_kv_namespace", "keys"), ("edge_url", "http://127.0.0.1:1")];
    type Settings<'a> = &'a [(&'a str, &'a str)];
    let wrong: &[(Settings, &[&str])] = &[
        (&[("listen", "nonsense")], &["listen"]),
        (&[("listem", "127.0.0.1:0")], &["LATCHKEY_LISTEM"]),
        (&[("listen", "localhost:8787")], &["listen must be", "127.0.0.1:8787"]),
        (&[("database_url", "hush")], &["database_url"]),
        (&[("log_filter", "inf")], &["log_filter", "`info`"]),
        (&[("database_url", "mysql://localhost/x")], &["database_url", "sqlite:", "postgres://"]),
        (&[("database_url", "postgres://me:hush@127.0.0.1:1/x"), ("database_wait_seconds", "0")], &["database_url"]),
        (&[("database_url", "postgres://me:x?hush=x@127.0.0.1:1/x")], &["database_url", "%3F"]),
        (&[("database_url", "sqlite:/dev/null/x.db")], &["database_url"]),
        (&[("log_format", "xml")], &["log_format"]),
        (&[("log_filter", "info,sqlx=loud")], &["log_filter"]),
        (&[("edge_batch_pairs", "0")], &["edge_batch_pairs", "10000"]),
        (&[("edge_batch_pairs", "many")], &["LATCHKEY_EDGE_BATCH_PAIRS"]),
        (&edge[..1], &["edge_kv_namespace", "edge_secret", "edge_url"]),
        (&edge[..2], &["edge_url"]),
        (&[("edge_kv_token", "hush")], &["edge_kv_url", "edge_secret"]),
        (&[("edge_kv_token", "hush\nhush")], &["edge_kv_token"]),
        (&[("encryption_key", "hush")], &["encryption_key", "openssl rand -base64 32"]),
        (&[("edge_secret_file", "absent")], &["LATCHKEY_EDGE_SECRET_FILE", "absent"]),
        (&[("drain_seconds", "30")], &["drain_seconds", "shutdown_seconds"]),
        (&edge, &["edge_secret"]),
        (&[edge[0], edge[1], edge[2], ("edge_secret", "too short")], &["edge_secret", "32"]),
    ];
    for (settings, named) in wrong {
        let latchkey =
            settings.iter().fold(Latchkey::without_settings(), |latchkey, (name, value)| latchkey.set(name, value));
        let complaint = latchkey.run(&["serve"]).failure();
        for name in *named {
            assert!(complaint.contains(name), "{settings:?}: {complaint}");
        }
        assert!(!complaint.contains("hush") && !complaint.contains("too short"), "{complaint}");
    }
}

#[test]
fn a_configuration_file_is_read_and_named_when_it_is_wrong() {
    let latchkey = Latchkey::without_settings();
    let file = latchkey.folder().join("latchkey.toml");
    let load = || latchkey.run(&["migrate", "--config", "latchkey.toml"]);
    assert!(load().failure().contains("latchkey.toml"));
    fs::write(&file, "database_url = 'sqlite:elsewhere.db'").unwrap();
    let _ = load().success();
    assert!(latchkey.folder().join("elsewhere.db").is_file());
    for wrong in ["database_url = ", "database_urk = 'x'"] {
        fs::write(&file, wrong).unwrap();
        let complaint = load().failure();
        assert!(complaint.contains("latchkey.toml") || complaint.contains("database_urk"), "{complaint}");
    }
}

#[test]
fn every_command_explains_itself() {
    let commands: &[&[&str]] = &[
        &[],
        &["serve"],
        &["migrate"],
        &["backup"],
        &["reencrypt"],
        &["doctor"],
        &["environments"],
        &["environments", "create"],
        &["environments", "list"],
        &["management-keys"],
        &["management-keys", "create"],
        &["management-keys", "list"],
        &["management-keys", "revoke"],
        &["edge"],
        &["edge", "verify"],
        &["edge", "sync"],
        &["edge", "status"],
        &["edge", "retire"],
        &["events"],
        &["events", "tail"],
        &["webhooks"],
        &["webhooks", "listen"],
        &["openapi"],
    ];
    let latchkey = Latchkey::without_settings();
    for command in commands {
        let help = latchkey.run(&[*command, &["--help"]].concat()).success();
        let usage = format!("Usage: latchkey {}", command.join(" "));
        assert!(help.contains(usage.trim_end()), "{help}");
        let explanation = help.lines().next().unwrap_or_default();
        assert!(explanation.len() > 15 && !explanation.starts_with("Usage"), "{command:?}: {help}");
        // What a group of commands lists has help of its own, above.
        for listed in subcommands(&help) {
            let whole = [*command, &[listed]].concat();
            assert!(commands.contains(&whole.as_slice()), "{whole:?} is not tried here");
        }
    }
    assert!(fs::read_dir(latchkey.folder()).unwrap().next().is_none(), "asking for help makes no files");
}

fn subcommands(help: &str) -> Vec<&str> {
    let list = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    list.lines().filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help").collect()
}

#[test]
fn a_prefix_that_scanners_give_to_others_needs_force() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let _ = latchkey.run(&["migrate"]).success();
    let create = |prefix: &str, more: &[&str]| {
        latchkey.run(&[&["environments", "create", "Live", "--json", "--prefix", prefix], more].concat())
    };
    for taken in ["sk_live", "ghp"] {
        let complaint = create(taken, &[]).failure();
        assert!(complaint.contains(taken) && complaint.contains("--force"), "{complaint}");
    }
    assert!(create("ghp", &["--force"]).success().contains(r#""key_prefix":"ghp""#));
    assert!(create("acme_live", &[]).success().contains("acme_live"));
    for (impossible, why) in
        [("mk", "reserved"), ("Acme", "lowercase"), ("a_", "end with a letter or digit"), ("", "2 to 24")]
    {
        let refused = create(impossible, &["--force"]);
        assert!(!refused.status.success() && refused.stderr.contains(why), "{refused:?}");
    }
    assert_eq!(latchkey.json(&["environments", "list", "--json"]).as_array().map(Vec::len), Some(2));
}

#[test]
fn a_port_in_use_is_named_and_so_is_the_way_out() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let database = Database::sqlite();
    let complaint = Latchkey::on(&database).set("listen", &address).run(&["serve"]).failure();
    assert!(complaint.contains(&address) && complaint.contains("LATCHKEY_LISTEN"), "{complaint}");
}

#[test]
fn management_keys_are_made_listed_and_revoked() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let (id, key) = latchkey.create_management_key(&tenant.environment, &["organizations:read", "api_keys:read"]);
    let caller: Client = server.client.with_token(&key);
    assert_eq!(caller.get("/organizations").status, 200);
    assert_eq!(caller.post("/organizations", &json!({"name": "Acme"})).error(403), "forbidden");

    let list = || latchkey.json(&["management-keys", "list", "--environment", &tenant.environment, "--json"]);
    let of_id =
        |list: serde_json::Value| list.as_array().unwrap().iter().find(|key| key["id"] == *id).cloned().unwrap();
    assert_eq!(of_id(list())["scopes"], json!(["organizations:read", "api_keys:read"]));
    assert!(of_id(list())["revoked_at"].is_null());
    assert!(!list().to_string().contains(&key));

    let _ = latchkey.run(&["management-keys", "revoke", &id]).success();
    assert_eq!(caller.get("/organizations").error(401), "unauthorized");
    assert!(of_id(list())["revoked_at"].is_string());
    assert!(latchkey.run(&["management-keys", "revoke", &id]).failure().contains(&id));

    let nowhere = "environment_01KF0JZ4G0000000000000000A";
    let create = ["management-keys", "create", "--environment", nowhere, "--name", "x"];
    assert!(latchkey.run(&create).failure().contains("environments list"));
    let complaint = latchkey.run(&[&create[..], &["--scope", "everything"]].concat());
    assert!(complaint.stderr.contains("api_keys:validate"), "{complaint:?}");
}
