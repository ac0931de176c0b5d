//! PgBouncer in transaction mode, with one server connection that all clients share. A statement outside a transaction
//! could reach another client's session, so every response must belong to its request.

use std::{thread, time::Duration};

use serde_json::json;
use tests::{
    calls::text,
    cluster::Cluster,
    http::Client,
    latchkey::{Latchkey, Tenant},
    pgbouncer::PgBouncer,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A program whose database is behind the pooler. The server listens wherever there is a free port.
fn latchkey_through(cluster: &Cluster, pooler: &PgBouncer) -> Latchkey {
    Latchkey::without_settings()
        .set("database_url", &cluster.url_through(pooler.port))
        .set("listen", "127.0.0.1:0")
        .set("requests_per_second_of_key", "0")
        .set("requests_per_second_of_address", "0")
}

fn started() -> Option<(Cluster, PgBouncer)> {
    let cluster = Cluster::started()?;
    let pooler = PgBouncer::with_one_connection_to(&cluster)?;
    Some((cluster, pooler))
}

#[test]
fn interleaved_clients_get_their_own_responses_at_pool_size_one() {
    /// Of each client.
    const ROUNDS: usize = 8;
    let Some((cluster, pooler)) = started() else { return };
    let latchkey = latchkey_through(&cluster, &pooler).set("database_pooler", "transaction");
    let servers = [latchkey.serve(), latchkey.serve()];
    let tenants = [latchkey.create_tenant(), latchkey.create_tenant()];
    thread::scope(|scope| {
        for number in 0..8 {
            let (server, tenant) = (&servers[number % 2], &tenants[number / 2 % 2]);
            let stranger = server.client.with_token(&tenants[(number / 2 + 1) % 2].management_key);
            let client = server.client.with_token(&tenant.management_key);
            scope.spawn(move || {
                (0..ROUNDS).for_each(|round| run_round(&client, &stranger, &format!("{number}-{round}")))
            });
        }
        // Commands share the connection as well.
        let revoked: Vec<Tenant> = (0..3).map(|_| latchkey.create_tenant()).collect();
        for tenant in &revoked {
            let _ = latchkey.run(&["management-keys", "revoke", &tenant.management_key_id]).success();
            assert_eq!(servers[0].client.with_token(&tenant.management_key).get("/organizations").status, 401);
        }
    });
    for server in &servers {
        assert_eq!(server.client.get("/ready").status, 200);
        let log = server.process.stderr();
        assert!(!log.contains("ERROR"), "{log}");
    }
}

/// Different statements, each of whose responses names what it is about.
fn run_round(client: &Client, stranger: &Client, name: &str) {
    let organization = client.post("/organizations", &json!({"name": name, "external_id": name})).expect(201);
    assert_eq!(organization["name"], name);
    let path = format!("/organizations/{}", text(&organization, "id"));
    assert_eq!(client.get(&path).expect(200)["external_id"], name);
    assert_eq!(client.get(&format!("/organizations/external_id/{name}")).expect(200)["id"], organization["id"]);
    let _ = stranger.get(&path).expect(404);

    let key = client.post(&format!("{path}/api_keys"), &json!({"name": name})).expect(201);
    assert_eq!(key["name"], name);
    let (key_path, value) = (format!("/api_keys/{}", text(&key, "id")), text(&key, "value"));
    assert_eq!(client.validate(&value).expect(200)["api_key"]["id"], key["id"]);
    assert_eq!(stranger.validate(&value).expect(200)["api_key"], json!(null));
    let renamed = format!("{name} renamed");
    assert_eq!(client.patch(&key_path, &json!({"name": renamed})).expect(200)["id"], key["id"]);
    assert_eq!(client.get(&key_path).expect(200)["name"], json!(renamed));
    let list = client.get(&format!("{path}/api_keys")).expect(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    let _ = client.delete(&key_path).expect(204);
    assert_eq!(client.validate(&value).expect(200)["code"], "revoked");
}

#[test]
fn processes_that_start_at_once_on_an_empty_database_create_one_environment() {
    let Some((cluster, pooler)) = started() else { return };
    let latchkey = latchkey_through(&cluster, &pooler).set("database_pooler", "transaction");
    let mut processes = [latchkey.start(&["serve"]), latchkey.start(&["serve"])];
    for process in &mut processes {
        process.until(PATIENCE, "it listens", |process| process.stdout().contains("listening").then_some(()));
    }
    assert_eq!(latchkey.json(&["environments", "list", "--json"]).as_array().map(Vec::len), Some(1));
    const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(cluster.session().number(LOCKS), 0, "a session-level lock was left in a session that clients share");
}

#[test]
fn pooler_without_its_setting_is_refused_by_name() {
    let Some((cluster, pooler)) = started() else { return };
    let latchkey = latchkey_through(&cluster, &pooler);
    for command in [&["serve"][..], &["migrate"], &["environments", "list"]] {
        let error = latchkey.run(command).failure();
        assert!(error.contains("database_pooler"), "{command:?}: {error}");
    }
}
