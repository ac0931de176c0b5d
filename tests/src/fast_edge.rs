//! A stand-in for the edge that costs next to nothing: a change feed that agrees with everything, and a KV that counts
//! what is written to it and forgets it: for measuring the control plane alone.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::latchkey::Latchkey;
use serde_json::json;
use shared::feed::{
    Epoch, Held, Mark, State, Status,
    wire::{self, Append, Appended, Changes, Report},
};

/// A running stand-in. It ends with the program.
#[derive(Debug)]
pub struct FastEdge {
    port: u16,
    written: Arc<AtomicU64>,
}

impl FastEdge {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                // Whoever asks ends when it likes.
                thread::spawn(move || serve(&stream, &count).unwrap_or_default());
            }
        });
        Self { port, written }
    }

    /// The program with this edge.
    #[must_use]
    pub fn of(&self, latchkey: &Latchkey) -> Latchkey {
        let url = format!("http://127.0.0.1:{}", self.port);
        latchkey
            .but("edge_kv_url", &url)
            .set("edge_kv_namespace", "namespace")
            .set("edge_kv_token", "token")
            .set("edge_secret", "a secret of the benchmarks and of nobody else")
            .set("edge_url", &url)
    }

    /// How many records were written to its KV.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, written: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut body = vec![];
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        read_body(&mut reader, &mut body)?;
        let path = first.split(' ').nth(1).unwrap_or_default();
        let answer = answer(path, &body, written);
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        )?;
        stream.write_all(answer.as_bytes())?;
    }
}

fn read_body(reader: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            Some(_) => {}
        }
    }
    body.resize(length, 0);
    reader.read_exact(body)
}

fn answer(path: &str, body: &[u8], written: &AtomicU64) -> String {
    let status = Status { epoch: Epoch(1), state: State::Open, head: 1, trimmed: 0 };
    let said = match path {
        wire::APPEND => {
            let append: Append = serde_json::from_slice(body).expect("an append");
            let held =
                |change: &wire::WireChange| Held { version: change.version, revoked: change.mark == Mark::Revoked };
            json!(Appended { status, held: append.changes.iter().map(held).collect() })
        }
        wire::STATUS | wire::OPEN => json!(Report { status, entries: 0, bytes: 0 }),
        wire::CHANGES => json!(Changes { status, entries: vec![] }),
        _ => {
            let pairs = count(body, b"\"key\":\"");
            written.fetch_add(pairs, Ordering::Relaxed);
            json!({"success": true, "errors": [], "result": {"successful_key_count": pairs, "unsuccessful_keys": []}})
        }
    };
    said.to_string()
}

/// How often a text stands in a body. Quotes that are inside a record are escaped, so it is not found there.
fn count(body: &[u8], text: &[u8]) -> u64 {
    let found = body.iter().enumerate().filter(|(at, byte)| **byte == text[0] && body[*at..].starts_with(text));
    found.count() as u64
}
