//! Requests that our description of the API allows, and requests that it does not, thousands of them, to every route:
//! none is answered 5xx, or with a status, a type or a body that the description does not have.
//!
//! schemathesis makes them up from the description that the server itself gives. It starts from the same number each time,
//! so what it found once it finds again. We tell it the names of some things that there are, which no description can.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tests::{calls::text, database::Database, http::Client, latchkey::Latchkey, parts, process::Process};

/// How long it may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// What it would also look for, and cannot judge: a description cannot say everything that makes a request bad (such as
/// control characters, or a moment that is over), and of a query, what is empty counts as left out. It also repeats creations
/// with their `Idempotency-Key` after it has deleted what they made, and then misses what the repeated answer names.
const NOT_LOOKED_FOR: &str = "positive_data_acceptance,negative_data_rejection,ensure_resource_availability";
/// How many things there are of each kind, and as many that are there to be deleted.
const MADE: usize = 10;

/// What stands in the place of a parameter: the paths, the parameter, and the things whose names these are.
const PARAMETERS: [(&str, &str, &str); 11] = [
    ("^/organizations/.id.$", "path.id", "organizations"),
    ("^/user_management/users/.id.$", "path.id", "users"),
    ("^/user_management/users/external_id", "path.external_id", "external_ids"),
    ("^/user_management/organization_memberships/.id.", "path.id", "memberships"),
    ("^/api_keys/.id.", "path.id", "keys"),
    ("^/authorization/permissions/", "path.slug", "permissions"),
    ("^/authorization/roles/", "path.slug", "roles"),
    ("/organizations/.organization_id./roles/", "path.slug", "organization_roles"),
    ("/roles/.*/permissions/", "path.permission_slug", "permissions"),
    (".organization_id.", "path.organization_id", "organizations"),
    (".user_id.", "path.user_id", "users"),
];
/// Likewise in bodies, whatever the path.
const FIELDS: [(&str, &str); 6] = [
    ("organization_id", "organizations"),
    ("user_id", "users"),
    ("role_slug", "roles"),
    ("slug", "permissions"),
    ("permissions[*]", "permissions"),
    ("value", "values"),
];

/// Makes a thing of every kind, and returns the name of each with its kind.
fn make(client: &Client, n: usize) -> Vec<(&'static str, String)> {
    let post = |path: &str, body: Value| client.post(path, &body).expect(201);
    let id = |path: &str, body: Value| text(&post(path, body), "id");
    let (slug, external_id) = (format!("slug-{n}"), format!("user-{n}"));
    client.create_permission(&slug);
    let organization = client.create_organization();
    // Each organization has one of this name.
    let organization_role = "org-role".to_owned();
    let _ = post("/authorization/roles", json!({"slug": slug, "name": "Role"}));
    let roles = format!("/authorization/organizations/{organization}/roles");
    let _ = post(&roles, json!({"slug": organization_role, "name": "Role"}));
    let allowed = json!({"permissions": [slug]}).to_string();
    let path = format!("/authorization/roles/{slug}/permissions");
    let _ = client.send("PUT", &path, Some(allowed.as_bytes())).expect(200);
    let user = id("/user_management/users", json!({"external_id": external_id}));
    let membership = json!({"user_id": user, "organization_id": organization, "role_slug": slug});
    let membership = id("/user_management/organization_memberships", membership);
    let key = client.create_key(&organization, &[&slug]);
    let of_user = json!({"name": "Key", "organization_id": organization, "permissions": [slug]});
    let key_of_user = id(&format!("/user_management/users/{user}/api_keys"), of_user);
    vec![
        ("organizations", organization),
        ("users", user),
        ("external_ids", external_id),
        ("memberships", membership),
        ("keys", key.id),
        ("keys", key_of_user),
        ("values", key.value),
        ("permissions", slug.clone()),
        ("roles", slug),
        ("organization_roles", organization_role),
    ]
}

/// The names of what there is, as schemathesis reads them. What is deleted is never what the others need.
fn configuration(client: &Client) -> String {
    let mut text = String::new();
    for (set, numbers) in [("kept", 0..MADE), ("doomed", MADE..2 * MADE)] {
        let mut made: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (kind, name) in numbers.flat_map(|n| make(client, n)) {
            made.entry(kind).or_default().insert(name);
        }
        for (kind, names) in made {
            writeln!(text, "[dictionaries.{set}_{kind}]\nvalues = {}", json!(names)).unwrap();
        }
    }
    text += "[parameters]\n";
    for (field, kind) in FIELDS {
        writeln!(text, "\"body.{field}\" = {{ dictionary = \"kept_{kind}\", probability = 0.5 }}").unwrap();
    }
    for (paths, parameter, kind) in PARAMETERS {
        for (set, filter) in [("kept", "exclude"), ("doomed", "include")] {
            writeln!(text, "[[operations]]\ninclude-path-regex = '{paths}'\n{filter}-method = 'DELETE'").unwrap();
            writeln!(text, "parameters.\"{parameter}\" = {{ dictionary = \"{set}_{kind}\", probability = 0.7 }}")
                .unwrap();
        }
    }
    text
}

fn fuzz(database: &Database) {
    let Some(python) = parts::python() else { return };
    let latchkey = Latchkey::on(database);
    let _ = latchkey.run(&["migrate"]).success();
    let key = latchkey.create_tenant().management_key;
    let server = latchkey.serve();

    // What it remembers for the next time goes where there will be none.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("schemathesis.toml"), configuration(&server.client.with_token(&key))).unwrap();
    let mut command = Command::new(python);
    command.current_dir(folder.path()).args(["-m", "schemathesis.cli", "run"]);
    command.arg(format!("{}/openapi.json", server.url));
    command.args(["--header", &format!("Authorization: Bearer {key}")]);
    command.args(["--checks", "all", "--exclude-checks", NOT_LOOKED_FOR]);
    command.args(["--max-examples", "30", "--seed", "1", "--continue-on-failure", "--request-timeout", "20"]);
    let mut process = Process::start("schemathesis", command.env("NO_COLOR", "1"));
    let status = process.wait(PATIENCE);
    println!("{}", process.stdout());
    assert!(status.success(), "schemathesis found something, or did not work ({status})");
    assert!(process.stdout().contains(" passed"), "schemathesis tested nothing");
}

#[test]
fn no_request_gets_an_answer_that_is_not_described_on_sqlite() {
    fuzz(&Database::sqlite());
}

#[test]
fn no_request_gets_an_answer_that_is_not_described_on_postgres() {
    if let Some(database) = Database::postgres() {
        fuzz(&database);
    }
}
