//! A stand-in for KV: it can serve what was written hours ago, or slowly, or not at all, which no KV does on demand.
//!
//! It remembers every value that was ever written to a name. It speaks both sides of KV: the REST API to which the control
//! plane writes, and the HTTP by which workerd's KV binding reads. Everything else in the tests that use it is real.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use shared::digest::KvKey;

use crate::held_kv::content_length;

/// Longer than any head or body here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it answers to the Worker. Writes always succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Serves {
    /// The newest value.
    #[default]
    Newest,
    /// The oldest value that was ever written.
    Oldest,
    /// That there is no such name, whatever was written.
    Nothing,
    /// One or another of the values that were ever written, or none, in turn.
    AnyEver,
    /// The newest value, after so many milliseconds.
    Slowly(u64),
    /// A status of 500.
    Errors,
}

/// A running stand-in.
#[derive(Debug, Clone)]
pub struct StaleKv {
    /// Its port.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    values: Mutex<HashMap<String, Vec<String>>>,
    serves: Mutex<Serves>,
    reads: AtomicU64,
}

impl StaleKv {
    /// Starts one with nothing in it.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn start() -> Self {
        println!("stand-in: a KV that can be stale, slow or broken");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        // It ends with the test program.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&its);
                // Whoever asks may be killed while it waits for an answer.
                thread::spawn(move || serve(&stream, &shared).unwrap_or_default());
            }
        });
        Self { port, shared }
    }

    /// Where its REST API begins, as the setting `edge_kv_url` wants it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/rest", self.port)
    }

    /// What it answers to the Worker from now on.
    pub fn serve(&self, serves: Serves) {
        *lock(&self.shared.serves) = serves;
    }

    /// Writes a value, as the control plane does.
    pub fn put(&self, place: &KvKey, value: &str) {
        lock(&self.shared.values).entry(place.as_str().to_owned()).or_default().push(value.to_owned());
    }

    /// Every value that was ever written to a name.
    #[must_use]
    pub fn history(&self, place: &KvKey) -> Vec<String> {
        lock(&self.shared.values).get(place.as_str()).cloned().unwrap_or_default()
    }

    /// How often the Worker has read.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut words = first.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut body = vec![0; content_length(&mut reader)?];
        reader.read_exact(&mut body)?;
        let (status, text) = match target.strip_prefix("/rest") {
            Some(path) => rest(shared, method, path, &body),
            None => binding(shared, target),
        };
        answer(stream, status, &text)?;
    }
}

/// What workerd's KV binding asks: `GET /<name>?urlencoded=true&…`.
fn binding(shared: &Shared, target: &str) -> (u16, String) {
    let read = shared.reads.fetch_add(1, Ordering::Relaxed);
    let name = decoded(target.trim_start_matches('/').split('?').next().unwrap_or_default());
    let values = lock(&shared.values).get(&name).cloned().unwrap_or_default();
    let serves = *lock(&shared.serves);
    let value = match serves {
        Serves::Newest => values.last(),
        Serves::Oldest => values.first(),
        Serves::Nothing => None,
        Serves::AnyEver => values.get(usize::try_from(read).unwrap_or_default() % (values.len() + 1)),
        Serves::Slowly(millis) => {
            thread::sleep(Duration::from_millis(millis));
            values.last()
        }
        Serves::Errors => return (500, "as the test wants it".to_owned()),
    };
    value.map_or_else(|| (404, String::new()), |value| (200, value.clone()))
}

/// What the control plane asks of Cloudflare's REST API.
fn rest(shared: &Shared, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let mut values = lock(&shared.values);
    let result = match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("PUT", "bulk") => {
            for pair in body.as_array().into_iter().flatten() {
                let (name, value) = (pair["key"].as_str().unwrap_or_default(), pair["value"].as_str());
                values.entry(name.to_owned()).or_default().push(value.unwrap_or_default().to_owned());
            }
            json!({"successful_key_count": body.as_array().map_or(0, Vec::len), "unsuccessful_keys": []})
        }
        ("POST", "get") => {
            let names = body["keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let found = names.map(|name| (name.to_owned(), json!(values.get(name).and_then(|values| values.last()))));
            json!({"values": found.collect::<serde_json::Map<_, _>>()})
        }
        ("GET", "keys") => json!(values.keys().map(|name| json!({ "name": name })).collect::<Vec<_>>()),
        _ => return (404, json!({"success": false, "errors": [{"code": 10000}]}).to_string()),
    };
    (200, json!({"success": true, "errors": [], "messages": [], "result": result}).to_string())
}

/// Names are percent-encoded: `%3A` is a colon.
fn decoded(text: &str) -> String {
    let mut decoded = String::new();
    let mut parts = text.split('%');
    decoded.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        decoded.push(u8::from_str_radix(hex, 16).map_or('?', char::from));
        decoded.push_str(rest);
    }
    decoded
}

fn answer(mut stream: &TcpStream, status: u16, text: &str) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} So\r\ncontent-type: application/json\r\n");
    let _ = write!(head, "content-length: {}\r\n\r\n", text.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}
