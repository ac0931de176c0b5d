//! The event log: each acknowledged change has exactly one event, and a reader who pages through the log misses none.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop, and say why")]

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    calls::text,
    crowd,
    database::Database,
    http::{Answer, Client},
    latchkey::{Latchkey, Server, Tenant},
    process::Signal,
    wait::{Deadline, eventually},
};

const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a reader may take for all that is written.
const READ_TIMEOUT: Duration = Duration::from_secs(180);
/// How many clients make changes at the same time.
const WRITERS: usize = 30;
/// How often each of them makes all its changes.
const ROUNDS: usize = 4;
/// How many events the changes of one round cause.
const EVENTS_OF_ROUND: usize = 5;
const TYPES: [&str; 5] =
    ["organization.created", "organization.updated", "organization.deleted", "api_key.created", "api_key.revoked"];

/// A change: the type of its event, and a name that no other change with such an event has.
type Change = (String, String);

/// The change that an event reports.
#[track_caller]
fn change_of(event: &Value) -> Change {
    (text(event, "event"), text(&event["data"], "name"))
}

/// The servers that can be asked, of which some may be killed.
struct Servers {
    clients: Vec<Client>,
    gone: Vec<AtomicBool>,
    acknowledged: AtomicUsize,
}

impl Servers {
    fn new(servers: &[&Server], tenant: &Tenant) -> Self {
        let clients: Vec<Client> =
            servers.iter().map(|server| server.client.with_token(&tenant.management_key)).collect();
        let gone = clients.iter().map(|_| AtomicBool::new(false)).collect();
        Self { clients, gone, acknowledged: AtomicUsize::new(0) }
    }

    /// Asks one of the servers that are there. `None` if there was no answer.
    fn send(&self, turn: usize, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let numbers = (0..self.clients.len()).map(|step| (turn + step) % self.clients.len());
        let number = numbers.into_iter().find(|number| !self.gone[*number].load(Ordering::SeqCst))?;
        let body = body.map(Value::to_string);
        let answer = self.clients[number].try_send(method, path, body.as_deref().map(str::as_bytes));
        if answer.is_err() {
            self.gone[number].store(true, Ordering::SeqCst);
        }
        answer.ok()
    }

    fn all_are_gone(&self) -> bool {
        self.gone.iter().all(|gone| gone.load(Ordering::SeqCst))
    }
}

/// A client that makes one change after another.
struct Writer<'a> {
    name: String,
    servers: &'a Servers,
    /// Changes that were acknowledged, in their order.
    acknowledged: Vec<Change>,
    /// Changes that were requested, and then there was no answer.
    uncertain: Vec<Change>,
}

impl<'a> Writer<'a> {
    fn new(name: String, servers: &'a Servers) -> Self {
        Self { name, servers, acknowledged: vec![], uncertain: vec![] }
    }

    /// Makes a change that has these events. `None` if there was no answer.
    fn change(
        &mut self,
        turn: usize,
        (method, path, body): (&str, &str, Option<Value>),
        status: u16,
        events: &[(&str, &str)],
    ) -> Option<Value> {
        let changes = events.iter().map(|(event, name)| ((*event).to_owned(), (*name).to_owned()));
        let Some(answer) = self.servers.send(turn, method, path, body.as_ref()) else {
            self.uncertain.extend(changes);
            return None;
        };
        let answer = answer.expect(status);
        self.acknowledged.extend(changes);
        self.servers.acknowledged.fetch_add(1, Ordering::SeqCst);
        Some(answer)
    }

    /// Makes the changes of one round, as far as there are answers. Each one asks another server than the one before
    /// it.
    fn round(&mut self, round: usize) -> Option<()> {
        let [created, updated, key] = ["created", "updated", "key"].map(|what| format!("{}-{round}-{what}", self.name));
        let create = ("POST", "/organizations", Some(json!({ "name": created })));
        let organization = self.change(round, create, 201, &[("organization.created", &created)])?;
        let path = format!("/organizations/{}", text(&organization, "id"));
        let keys = format!("{path}/api_keys");
        let create = ("POST", keys.as_str(), Some(json!({ "name": key })));
        let created_key = self.change(round + 1, create, 201, &[("api_key.created", &key)])?;
        let update = ("PUT", path.as_str(), Some(json!({ "name": updated })));
        self.change(round, update, 200, &[("organization.updated", &updated)])?;
        let (deleted, revoked) = (("organization.deleted", updated.as_str()), ("api_key.revoked", key.as_str()));
        let delete = ("DELETE", path.as_str(), None);
        if round.is_multiple_of(2) {
            let key_path = format!("/api_keys/{}", text(&created_key, "id"));
            self.change(round + 1, ("DELETE", &key_path, None), 204, &[revoked])?;
            self.change(round, delete, 200, &[deleted])?;
        } else {
            // The key is revoked with its organization.
            self.change(round + 1, delete, 200, &[deleted, revoked])?;
        }
        Some(())
    }
}

/// Lets many writers make changes at the same time, until they are done or all servers are gone.
fn write(servers: &Servers, prefix: &str, meanwhile: impl FnOnce()) -> Vec<(Vec<Change>, Vec<Change>)> {
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                scope.spawn(move || {
                    let mut writer = Writer::new(format!("{prefix}{number}"), servers);
                    for round in 0..ROUNDS {
                        if writer.round(round).is_none() && servers.all_are_gone() {
                            break;
                        }
                    }
                    (writer.acknowledged, writer.uncertain)
                })
            })
            .collect();
        meanwhile();
        writers.into_iter().map(|writer| writer.join().expect("a writer does not panic")).collect()
    })
}

/// A client that pages through the log, again and again with the id of the last event.
#[derive(Default)]
struct Reader {
    events: Mutex<Vec<Value>>,
    pages: AtomicUsize,
    is_done: AtomicBool,
}

impl Reader {
    /// Reads until there is nothing left after the writers are done, or all servers are gone.
    fn run(&self, servers: &Servers) {
        let deadline = Deadline::after(READ_TIMEOUT);
        while !servers.all_are_gone() {
            assert!(!deadline.is_over(), "the log has no end");
            let is_last = self.is_done.load(Ordering::SeqCst);
            let page = self.pages.fetch_add(1, Ordering::SeqCst);
            let after = self.look(|events| events.last().map(|event| text(event, "id"))).unwrap_or_default();
            let path = format!("/events?events={}&limit={}&after={after}", TYPES.join(","), 1 + page % 7);
            let Some(answer) = servers.send(page, "GET", &path, None) else { continue };
            let more = answer.expect(200)["data"].as_array().expect("a list").clone();
            if more.is_empty() && is_last {
                return;
            }
            self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
        }
    }

    fn look<T>(&self, look: impl FnOnce(&[Value]) -> T) -> T {
        look(&self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing more is written once this is dropped, also by a test that fails. So the end of the log is the end.
    const fn while_writing(&self) -> WhileWriting<'_> {
        WhileWriting(&self.is_done)
    }

    /// Waits until it has read so many events.
    #[track_caller]
    fn until_read(&self, count: usize) {
        eventually(TIMEOUT, "the events are read", || match self.look(<[Value]>::len) {
            read if read >= count => Ok(()),
            read => Err(format!("{read} of {count}")),
        });
    }
}

struct WhileWriting<'a>(&'a AtomicBool);

impl Drop for WhileWriting<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Checks the log, and what a reader read of it while it was written, against what the writers know. `others` are
/// changes of nobody.
#[track_caller]
fn check(reader: &Reader, client: &Client, writers: &[(Vec<Change>, Vec<Change>)], others: &[Change]) {
    let log = client.events(&TYPES);
    let ids: Vec<&str> = log.iter().map(|event| event["id"].as_str().expect("an id")).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "the ids rise");
    reader.look(|read| {
        let read: Vec<&str> = read.iter().map(|event| event["id"].as_str().expect("an id")).collect();
        let missed: Vec<&&str> = ids.iter().filter(|id| !read.contains(id)).collect();
        assert!(missed.is_empty(), "the reader missed {} of {} events: {missed:?}", missed.len(), ids.len());
        assert_eq!(read, ids, "the reader has every event once, and in the order of the log");
    });

    let changes: Vec<Change> = log.iter().map(change_of).collect();
    let mut times: HashMap<&Change, usize> = HashMap::new();
    for change in &changes {
        *times.entry(change).or_default() += 1;
    }
    for (acknowledged, uncertain) in writers {
        for change in acknowledged {
            assert_eq!(times.remove(change), Some(1), "{change:?} was acknowledged");
        }
        for change in uncertain {
            assert!(times.remove(change).is_none_or(|times| times == 1), "{change:?} was requested once");
        }
        // Each change was acknowledged before the next one was requested.
        let of_writer: HashSet<&Change> = acknowledged.iter().collect();
        let in_log: Vec<&Change> = changes.iter().filter(|change| of_writer.contains(change)).collect();
        assert_eq!(in_log, acknowledged.iter().collect::<Vec<_>>(), "the order of the changes of a writer");
    }
    for other in others {
        assert_eq!(times.remove(other), Some(1), "{other:?}");
    }
    assert!(times.is_empty(), "nobody made these changes: {times:?}");
}

fn counts(writers: &[(Vec<Change>, Vec<Change>)]) -> (usize, usize) {
    let sum = |count: fn(&(Vec<Change>, Vec<Change>)) -> usize| writers.iter().map(count).sum();
    (sum(|(acknowledged, _)| acknowledged.len()), sum(|(_, uncertain)| uncertain.len()))
}

/// What others do in the same database at the same time: a transaction that has written and is idle, one that reads for
/// long, and a change whose event got its place in the queue before all others and is committed after them.
#[test]
fn reader_misses_no_event_and_waits_for_no_open_transaction_of_others() {
    const LATE: &str = r#"{"id":"org_01KF0JZ4G0000000000000000A","name":"late"}"#;
    let Some(database) = Database::postgres() else { return };
    let latchkey = Latchkey::on(&database);
    let (first, second) = (latchkey.serve(), latchkey.serve());
    let tenant = latchkey.create_tenant();
    let servers = Servers::new(&[&first, &second], &tenant);
    let [mut idle, mut reading, mut late] = [(); 3].map(|()| database.session());
    idle.execute("CREATE TABLE other (number BIGINT); BEGIN; INSERT INTO other VALUES (1)");
    reading.execute("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let _ = reading.number("SELECT COUNT(*) FROM events");
    late.execute(&format!(
        "BEGIN; INSERT INTO event_queue (environment_id, event, data, context)
         VALUES ('{}', 'organization.created', '{LATE}', '{{}}')",
        tenant.environment
    ));

    let reader = Reader::default();
    let writers = thread::scope(|scope| {
        scope.spawn(|| reader.run(&servers));
        let _writing = reader.while_writing();
        let writers = write(&servers, "w", || {});
        reader.until_read(WRITERS * ROUNDS * EVENTS_OF_ROUND);
        late.execute("COMMIT");
        reader.until_read(WRITERS * ROUNDS * EVENTS_OF_ROUND + 1);
        writers
    });
    assert_eq!(counts(&writers), (WRITERS * ROUNDS * EVENTS_OF_ROUND, 0));
    println!("{} events, read in {} pages", counts(&writers).0, reader.pages.load(Ordering::SeqCst));
    let late_change = ("organization.created".to_owned(), "late".to_owned());
    check(&reader, &second.client.with_token(&tenant.management_key), &writers, &[late_change]);
    drop((idle, reading));
}

/// Waits until some of the changes are acknowledged, and kills a server as `kill -9` does.
fn kill_in_the_middle(servers: &Servers, server: &Server) {
    eventually(TIMEOUT, "some changes are acknowledged", || {
        match servers.acknowledged.load(Ordering::SeqCst) {
            // A round has four or five changes.
            acknowledged if acknowledged >= WRITERS * ROUNDS => Ok(()),
            acknowledged => Err(acknowledged),
        }
    });
    server.process.signal(Signal::SIGKILL);
}

#[test]
fn each_acknowledged_change_has_one_event_although_one_of_two_processes_is_killed() {
    let Some(database) = Database::postgres() else { return };
    let latchkey = Latchkey::on(&database);
    let (first, second) = (latchkey.serve(), latchkey.serve());
    let tenant = latchkey.create_tenant();
    let servers = Servers::new(&[&first, &second], &tenant);
    let reader = Reader::default();
    let writers = thread::scope(|scope| {
        scope.spawn(|| reader.run(&servers));
        let _writing = reader.while_writing();
        write(&servers, "w", || kill_in_the_middle(&servers, &first))
    });
    let (acknowledged, uncertain) = counts(&writers);
    println!("{acknowledged} changes were acknowledged, {uncertain} were not answered");
    assert!(uncertain > 0, "the server was killed in the middle");
    check(&reader, &second.client.with_token(&tenant.management_key), &writers, &[]);
}

#[test]
fn each_acknowledged_change_has_one_event_although_the_only_process_is_killed() {
    let database = Database::sqlite();
    let latchkey = Latchkey::on(&database);
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let reader = Reader::default();
    let servers = Servers::new(&[&server], &tenant);
    let mut writers = thread::scope(|scope| {
        scope.spawn(|| reader.run(&servers));
        write(&servers, "before", || kill_in_the_middle(&servers, &server))
    });
    let (acknowledged, uncertain) = counts(&writers);
    println!("{acknowledged} changes were acknowledged, {uncertain} were not answered");
    assert!(uncertain > 0, "the server was killed in the middle");

    server.process.kill();
    server = latchkey.serve();
    let servers = Servers::new(&[&server], &tenant);
    thread::scope(|scope| {
        scope.spawn(|| reader.run(&servers));
        let _writing = reader.while_writing();
        writers.extend(write(&servers, "after", || {}));
    });
    check(&reader, &server.client.with_token(&tenant.management_key), &writers, &[]);
}

/// Kills the server directly after it has acknowledged the deletion, and once more while it writes the events of the
/// keys.
fn deletion_has_an_event_for_each_key(database: &Database) {
    const KEYS: usize = 2_000;
    let latchkey = Latchkey::on(database);
    let mut server = latchkey.serve();
    let tenant = latchkey.create_tenant();
    let organization = crowd::add_organization(database, &tenant, KEYS);
    let mut session = database.session();
    let keys: HashSet<String> = session
        .texts(&format!("SELECT id FROM api_keys WHERE organization_id = '{organization}'"))
        .into_iter()
        .collect();
    assert_eq!(keys.len(), KEYS);

    let path = format!("/organizations/{organization}");
    let _ = server.client.with_token(&tenant.management_key).delete(&path).expect(200);
    server.process.kill();
    let logged = |session: &mut tests::session::Session| {
        session.number("SELECT COUNT(*) FROM events WHERE event = 'api_key.revoked'")
    };
    let at_first_kill = logged(&mut session);
    server = latchkey.serve();
    eventually(TIMEOUT, "more events are written", || match logged(&mut session) {
        count if count > at_first_kill || count == KEYS as i64 => Ok(()),
        count => Err(count),
    });
    server.process.kill();
    println!("{at_first_kill} of {KEYS} events were written at the first kill, {} at the second", logged(&mut session));

    server = latchkey.serve();
    eventually(TIMEOUT, "nothing is left to write", || {
        match session.number("SELECT (SELECT COUNT(*) FROM event_queue) + (SELECT COUNT(*) FROM event_targets)") {
            0 => Ok(()),
            count => Err(count),
        }
    });
    let events = server.client.with_token(&tenant.management_key).events(&TYPES);
    let [deleted, revoked @ ..] = events.as_slice() else { panic!("there are no events") };
    assert_eq!((&deleted["event"], &deleted["data"]["id"]), (&json!("organization.deleted"), &json!(organization)));
    assert!(revoked.iter().all(|event| event["event"] == "api_key.revoked"));
    let revoked_keys: HashSet<String> = revoked.iter().map(|event| text(&event["data"], "id")).collect();
    assert_eq!((revoked.len(), revoked_keys == keys), (KEYS, true), "each key has one event");
}

#[test]
fn deletion_of_an_organization_has_one_event_for_each_key_although_the_server_is_killed_on_sqlite() {
    deletion_has_an_event_for_each_key(&Database::sqlite());
}

#[test]
fn deletion_of_an_organization_has_one_event_for_each_key_although_the_server_is_killed_on_postgres() {
    if let Some(database) = Database::postgres() {
        deletion_has_an_event_for_each_key(&database);
    }
}
