//! Failures of the database pass without a restart. While they last, what cannot be done is refused with 503 and a code
//! that says why, `/ready` says so too, and nothing that was acknowledged is lost.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop, and say why")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    calls::{Key, text},
    cluster::{Cluster, Shutdown},
    database::Database,
    fast_edge::FastEdge,
    http::{Answer, Client},
    latchkey::{Latchkey, Server},
    session::Session,
    silent_proxy::SilentProxy,
    small_disk::SmallDisk,
    wait::{PAUSE, eventually},
};

/// Longer than anything here takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys that were created, and whether their revocation was asked for (`Some(false)`) or acknowledged (`Some(true)`).
#[derive(Default)]
struct Keys {
    by_id: BTreeMap<String, (Key, Option<bool>)>,
}

impl Keys {
    fn add(&mut self, created: &Value) -> Key {
        let key = Key { id: text(created, "id"), value: text(created, "value") };
        self.by_id.insert(key.id.clone(), (key.clone(), None));
        key
    }

    /// Revokes one. Returns what was answered.
    fn revoke(&mut self, client: &Client, key: &Key) -> Answer {
        let answer = client.delete(&format!("/api_keys/{}", key.id));
        let acknowledged = answer.status == 204;
        self.by_id.insert(key.id.clone(), (key.clone(), Some(acknowledged)));
        answer
    }

    /// Every acknowledged change is in the database.
    #[track_caller]
    fn assert_nothing_is_lost(&self, client: &Client) {
        for (key, revocation) in self.by_id.values() {
            let answer = client.validate(&key.value).expect(200);
            match revocation {
                None => assert_eq!(answer["api_key"]["id"], json!(key.id), "{answer}"),
                Some(true) => assert_eq!(answer["code"], "revoked", "{} {answer}", key.id),
                // It may have happened.
                Some(false) => assert!(answer["code"] == "revoked" || answer["api_key"]["id"] == json!(key.id)),
            }
        }
    }
}

fn latchkey_on(url: &str) -> Latchkey {
    Latchkey::without_settings()
        .set("database_url", url)
        .set("listen", "127.0.0.1:0")
        .set("requests_per_second_of_key", "0")
        .set("requests_per_second_of_address", "0")
}

/// Starts a server on this database, with an environment, and returns it and a client of the environment.
fn serve(latchkey: &Latchkey) -> (Server, Client) {
    let server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let client = server.client.with_token(&tenant.management_key);
    (server, client)
}

fn create(client: &Client, organization: &str, metadata: &str) -> Answer {
    let body = json!({"name": "Production", "metadata": {"note": metadata}});
    client.post(&format!("/organizations/{organization}/api_keys"), &body)
}

/// Waits until the server reports this, by itself.
#[track_caller]
fn until_ready(server: &Client) {
    eventually(PATIENCE, "the server is ready", || match server.get("/ready") {
        answer if answer.status == 200 => Ok(()),
        answer => Err(answer.text),
    });
}

#[track_caller]
fn until_not_ready(server: &Client, code: &str) {
    eventually(PATIENCE, "the server reports that it is not ready", || match server.get("/ready") {
        answer if answer.status == 503 && answer.refusal() == code => Ok(()),
        answer => Err(format!("{} {}", answer.status, answer.text)),
    });
}

/// Waits until a key can be created, without a restart and without anything but a 503 on the way.
#[track_caller]
fn until_writable(client: &Client, organization: &str) -> Value {
    eventually(PATIENCE, "writes succeed again", || {
        let answer = create(client, organization, "");
        if answer.is_done(201) { Ok(answer.expect(201)) } else { Err(answer.text) }
    })
}

#[test]
fn full_disk_with_sqlite_refuses_writes_until_there_is_space() {
    let Some(disk) = SmallDisk::mount(3) else { return };
    let latchkey = latchkey_on(&format!("sqlite:{}", disk.file("latchkey.db").display()));
    let (mut server, client) = serve(&latchkey);
    let organization = client.create_organization();
    let mut keys = Keys::default();

    // Large ones first and then small ones, until there is room for neither.
    for note in ["x".repeat(400), String::new()] {
        loop {
            let answer = create(&client, &organization, &note);
            if answer.status != 201 {
                assert_eq!(answer.refusal(), "database_full");
                break;
            }
            keys.add(&answer.expect(201));
        }
    }
    // A revocation is small and may still fit, so all are tried.
    let candidates: Vec<Key> = keys.by_id.values().map(|(key, _)| key.clone()).collect();
    let refused =
        candidates.iter().find_map(|key| Some(keys.revoke(&client, key)).filter(|answer| answer.status != 204));
    assert_eq!(refused.expect("some revocation does not fit").refusal(), "database_full");
    until_not_ready(&server.client, "database_full");
    // Reads go on.
    let _ = client.validate(&candidates[0].value).expect(200);
    let _ = client.get(&format!("/organizations/{organization}")).expect(200);

    disk.resize(32);
    let created = keys.add(&until_writable(&client, &organization));
    until_ready(&server.client);
    let _ = keys.revoke(&client, &created).expect(204);
    let (left, _) =
        keys.by_id.values().find(|(_, revocation)| revocation.is_none()).expect("a key that is left").clone();
    let _ = keys.revoke(&client, &left).expect(204);
    keys.assert_nothing_is_lost(&client);

    server.process.kill();
    let server = latchkey.serve();
    let token = latchkey.create_management_key(&environment_of(&latchkey), &["*"]).1;
    keys.assert_nothing_is_lost(&server.client.with_token(&token));
}

/// The environment named `Test`, which the first run did not create.
fn environment_of(latchkey: &Latchkey) -> String {
    let environments = latchkey.json(&["environments", "list", "--json"]);
    let all = environments.as_array().expect("a list");
    text(all.iter().find(|environment| environment["name"] == "Test").expect("the environment of the test"), "id")
}

#[test]
fn locked_sqlite_file_refuses_writes_and_serves_reads_until_it_is_unlocked() {
    let database = Database::sqlite();
    let (server, client) = serve(&Latchkey::on(&database));
    let organization = client.create_organization();
    let key = client.create_key(&organization, &[]);

    // From another process than the server's, as a backup would.
    let mut other = database.session();
    other.execute("BEGIN IMMEDIATE");
    assert_eq!(create(&client, &organization, "").refusal(), "overloaded");
    assert_eq!(client.delete(&format!("/api_keys/{}", key.id)).refusal(), "overloaded");
    let _ = client.until_valid(&key);
    let _ = client.get(&format!("/api_keys/{}", key.id)).expect(200);
    until_not_ready(&server.client, "overloaded");

    other.execute("ROLLBACK");
    let _ = until_writable(&client, &organization);
    client.revoke(&key);
    until_ready(&server.client);
    assert_eq!(client.validate(&key.value).expect(200)["code"], "revoked");
}

/// Clients that create keys and revoke every other one, until they are told to stop.
struct Load {
    is_over: AtomicBool,
    /// How many changes were acknowledged, and how many were refused.
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    keys: Mutex<Keys>,
}

impl Load {
    const CLIENTS: usize = 4;

    /// Runs this under load, and returns the keys that it created.
    fn during(client: &Client, organization: &str, act: impl FnOnce(&Self)) -> Keys {
        let load = Self {
            is_over: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            keys: Mutex::default(),
        };
        thread::scope(|scope| {
            for _ in 0..Self::CLIENTS {
                scope.spawn(|| load.run(client, organization));
            }
            // So that a failure is reported and does not wait for clients that nobody stops.
            let stop = StopOnDrop(&load.is_over);
            act(&load);
            drop(stop);
        });
        load.keys.into_inner().expect("no client panicked")
    }

    fn run(&self, client: &Client, organization: &str) {
        let _stop = StopOnDrop(&self.is_over);
        let mut is_to_revoke = false;
        while !self.is_over.load(Ordering::SeqCst) {
            let answer = create(client, organization, "");
            if !self.count(answer.is_done(201)) {
                continue;
            }
            let key = self.keys.lock().expect("no client panicked").add(&answer.expect(201));
            is_to_revoke = !is_to_revoke;
            if is_to_revoke {
                let mut own = Keys::default();
                self.count(own.revoke(client, &key).is_done(204));
                self.keys.lock().expect("no client panicked").by_id.append(&mut own.by_id);
            }
        }
    }

    fn count(&self, is_done: bool) -> bool {
        let counter = if is_done { &self.acknowledged } else { &self.refused };
        counter.fetch_add(1, Ordering::SeqCst);
        if !is_done {
            // As `Retry-After` asks; for a shorter time, so that more is tried.
            thread::sleep(PAUSE);
        }
        is_done
    }

    /// Waits until so many more changes were acknowledged.
    #[track_caller]
    fn until_acknowledged(&self, more: usize) {
        self.until(&self.acknowledged, more, "changes are acknowledged");
    }

    /// Waits until so many more changes were refused.
    #[track_caller]
    fn until_refused(&self, more: usize) {
        self.until(&self.refused, more, "changes are refused");
    }

    #[track_caller]
    fn until(&self, counter: &AtomicUsize, more: usize, what: &str) {
        let goal = counter.load(Ordering::SeqCst) + more;
        eventually(PATIENCE, what, || {
            assert!(!self.is_over.load(Ordering::SeqCst), "a client of the load failed");
            let so_far = counter.load(Ordering::SeqCst);
            if so_far >= goal { Ok(()) } else { Err(format!("{so_far} of {goal}")) }
        });
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn restarted_postgres_loses_nothing_and_is_used_again(shutdown: Shutdown) {
    let Some(mut cluster) = Cluster::started() else { return };
    let latchkey = latchkey_on(&cluster.url());
    let (server, client) = serve(&latchkey);
    let organization = client.create_organization();

    let keys = Load::during(&client, &organization, |load| {
        for _ in 0..2 {
            load.until_acknowledged(30);
            cluster.stop(shutdown);
            load.until_refused(2 * Load::CLIENTS);
            until_not_ready(&server.client, "database_unavailable");
            cluster.start();
            load.until_acknowledged(30);
        }
    });
    until_ready(&server.client);
    assert!(keys.by_id.values().any(|(_, revocation)| *revocation == Some(true)));
    keys.assert_nothing_is_lost(&client);
}

#[test]
fn postgres_restarted_fast_under_load_loses_nothing_and_is_used_again() {
    restarted_postgres_loses_nothing_and_is_used_again(Shutdown::Fast);
}

#[test]
fn postgres_restarted_immediately_under_load_loses_nothing_and_is_used_again() {
    restarted_postgres_loses_nothing_and_is_used_again(Shutdown::Immediate);
}

#[test]
fn read_only_postgres_refuses_writes_and_serves_reads_until_it_is_writable() {
    let Some(cluster) = Cluster::started() else { return };
    let latchkey = latchkey_on(&cluster.url());
    let (server, client) = serve(&latchkey);
    let organization = client.create_organization();
    let key = client.create_key(&organization, &[]);

    cluster.reload_with("default_transaction_read_only", "on");
    assert_eq!(create(&client, &organization, "").refusal(), "database_read_only");
    assert_eq!(client.delete(&format!("/api_keys/{}", key.id)).refusal(), "database_read_only");
    until_not_ready(&server.client, "database_read_only");
    let _ = client.until_valid(&key);
    let _ = client.get(&format!("/api_keys/{}", key.id)).expect(200);

    let mut session = cluster.session();
    session.execute("SET default_transaction_read_only = off");
    session.execute("ALTER SYSTEM RESET default_transaction_read_only");
    session.execute("SELECT pg_reload_conf()");
    let _ = until_writable(&client, &organization);
    until_ready(&server.client);
    client.revoke(&key);
    assert_eq!(client.validate(&key.value).expect(200)["code"], "revoked");
}

/// A server that reaches its Postgres through a proxy.
struct Proxied {
    // Dropped in this order.
    server: Server,
    client: Client,
    organization: String,
    proxy: SilentProxy,
    cluster: Cluster,
}

fn proxied(configure: impl FnOnce(Latchkey) -> Latchkey) -> Option<Proxied> {
    let cluster = Cluster::started()?;
    let proxy = SilentProxy::before(SocketAddr::from(([127, 0, 0, 1], cluster.port())));
    let (server, client) = serve(&configure(latchkey_on(&cluster.url_through(proxy.port))));
    let organization = client.create_organization();
    Some(Proxied { server, client, organization, proxy, cluster })
}

impl Proxied {
    /// Asks from several clients at once, so that the server opens several connections.
    fn open_connections(&self) {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10).for_each(|_| drop(create(&self.client, &self.organization, "").expect(201))));
            }
        });
    }

    /// How many times one client is refused, asking again and again, until it is served.
    fn refusals_of_a_serial_client(&self) -> usize {
        /// So many that the test ends.
        const MANY: usize = 50;
        (0..MANY).take_while(|_| !create(&self.client, &self.organization, "").is_done(201)).count()
    }
}

#[test]
fn connections_that_die_silently_are_replaced_after_few_refusals() {
    let Some(proxied) = proxied(|latchkey| latchkey) else { return };
    proxied.open_connections();
    let opened = proxied.proxy.silence_open_connections();
    assert!(opened > 4, "the server has {opened} connections, too few to tell anything");
    let refused = proxied.refusals_of_a_serial_client();
    assert!(refused <= 3, "{refused} refusals of one client");
    until_ready(&proxied.server.client);
}

#[test]
fn silent_network_refuses_requests_until_it_delivers_again() {
    let Some(proxied) = proxied(|latchkey| latchkey) else { return };
    proxied.open_connections();
    proxied.proxy.silence();
    until_not_ready(&proxied.server.client, "database_unavailable");
    let _ = create(&proxied.client, &proxied.organization, "").refusal();
    let _ = proxied.client.get(&format!("/organizations/{}", proxied.organization)).refusal();

    proxied.proxy.heal();
    let _ = until_writable(&proxied.client, &proxied.organization);
    until_ready(&proxied.server.client);
}

/// Locks the row of a key until the session ends its transaction.
fn lock(mut session: Session, key: &Key) -> Session {
    session.execute(&format!("BEGIN; SELECT id FROM api_keys WHERE id = '{}' FOR UPDATE", key.id));
    session
}

/// Waits until another session waits for a lock.
fn until_a_session_waits_for_a_lock(cluster: &Cluster) {
    const SQL: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let mut session = cluster.session();
    eventually(PATIENCE, "a session waits for a lock", || match session.number(SQL) {
        0 => Err("none"),
        _ => Ok(()),
    });
}

fn rename(client: &Client, key: &Key) -> Answer {
    client.patch(&format!("/api_keys/{}", key.id), &json!({"name": "Renamed"}))
}

#[test]
fn statement_whose_connection_dies_silently_is_refused_and_leaves_no_lock() {
    let Some(proxied) = proxied(|latchkey| latchkey) else { return };
    let key = proxied.client.create_key(&proxied.organization, &[]);
    let mut holder = lock(proxied.cluster.session(), &key);
    let answer = thread::scope(|scope| {
        let request = scope.spawn(|| rename(&proxied.client, &key));
        until_a_session_waits_for_a_lock(&proxied.cluster);
        // The statement gets its lock, and the server never hears of it.
        proxied.proxy.silence_open_connections();
        holder.execute("ROLLBACK");
        request.join().expect("the request is answered")
    });
    let _ = answer.refusal();

    eventually(PATIENCE, "the row can be changed", || {
        let answer = rename(&proxied.client, &key);
        if answer.is_done(200) { Ok(()) } else { Err(answer.text) }
    });
    assert_eq!(proxied.client.get(&format!("/api_keys/{}", key.id)).expect(200)["name"], "Renamed");
}

#[test]
fn publisher_goes_on_after_connections_died_silently() {
    let edge = FastEdge::start();
    let Some(proxied) = proxied(|latchkey| edge.of(&latchkey)) else { return };
    let is_empty = |cluster: &Cluster| {
        let mut session = cluster.session();
        eventually(PATIENCE, "everything is published", || match session.number("SELECT count(*) FROM outbox") {
            0 => Ok(()),
            waiting => Err(format!("{waiting} wait")),
        });
    };
    proxied.open_connections();
    is_empty(&proxied.cluster);
    for _ in 0..3 {
        proxied.proxy.silence_open_connections();
        // Written past the server, so that no request of it notices first that its connections are dead.
        proxied.cluster.session().execute(
            "INSERT INTO outbox (key_id, kind, version, queued_at, next_attempt_at)
             SELECT id, 'api_key', version, 0, 0 FROM api_keys",
        );
        is_empty(&proxied.cluster);
    }
}

#[test]
fn row_locked_for_long_in_postgres_is_refused_and_writable_afterwards() {
    let Some(cluster) = Cluster::started() else { return };
    let (server, client) = serve(&latchkey_on(&cluster.url()));
    let key = client.create_lone_key();
    let mut holder = lock(cluster.session(), &key);
    assert_eq!(rename(&client, &key).refusal(), "overloaded");
    assert_eq!(client.delete(&format!("/api_keys/{}", key.id)).refusal(), "overloaded");
    // What does not need the row is done, so the server is ready.
    let _ = client.create_lone_key();
    assert_eq!(server.client.get("/ready").status, 200);

    holder.execute("ROLLBACK");
    let _ = rename(&client, &key).expect(200);
    client.revoke(&key);
}
