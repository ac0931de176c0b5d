//! A stand-in, the only one: a proxy before the REST API of KV. It passes everything on to the real one, but it can
//! hold bulk writes back, which a network can do and `wrangler dev` cannot.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    http::{Answer, Client},
    wait::eventually,
};

/// Longer than any head or body here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running proxy.
#[derive(Debug)]
pub struct HeldKv {
    /// Where it answers, as the setting `edge_kv_url` wants it.
    pub url: String,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    held: usize,
}

impl HeldKv {
    /// Starts one before this API. It passes writes on at first.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn before(kv_url: &str) -> Self {
        println!("stand-in: a proxy before {kv_url} that can hold bulk writes back");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let gate = Arc::new(Gate::default());
        let (kv, its_gate) = (Client::new(kv_url), Arc::clone(&gate));
        // It ends with the test program. Until then it may wait for a connection that never comes; that costs nothing.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kv, gate) = (kv.clone(), Arc::clone(&its_gate));
                // Whoever asks may be killed while it waits for an answer.
                thread::spawn(move || serve(&stream, &kv, &gate).unwrap_or_default());
            }
        });
        Self { url, gate }
    }

    /// Holds every bulk write from now on.
    pub fn hold(&self) {
        self.gate.lock().is_shut = true;
    }

    /// Lets the held writes, and all that follow, pass.
    pub fn release(&self) {
        self.gate.lock().is_shut = false;
        self.gate.opened.notify_all();
    }

    /// Waits until a bulk write is held.
    #[track_caller]
    pub fn until_held(&self) {
        eventually(PATIENCE, "a bulk write is held", || {
            let held = self.gate.lock().held;
            if held > 0 { Ok(()) } else { Err("none is") }
        });
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits here as long as the gate is shut.
    fn pass(&self) {
        let mut state = self.lock();
        state.held += 1;
        let mut state = self.opened.wait_while(state, |state| state.is_shut).unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
    }
}

/// Answers one request, and closes the connection.
fn serve(stream: &TcpStream, kv: &Client, gate: &Gate) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut body = vec![0; content_length(&mut reader)?];
    reader.read_exact(&mut body)?;

    if method == "PUT" && path.ends_with("/bulk") {
        gate.pass();
    }
    let body = (!body.is_empty()).then_some(body);
    let answer = kv.try_send(method, path, body.as_deref()).map_err(std::io::Error::other)?;
    answer_with(stream, &answer)
}

/// The length of the body that follows this head, which is read to its end.
pub(crate) fn content_length(head: &mut impl BufRead) -> std::io::Result<usize> {
    let mut length = 0;
    for line in head.lines() {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    Ok(length)
}

fn answer_with(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<()> {
    let content_type = answer.header("content-type").unwrap_or("text/plain");
    let Answer { status, text, .. } = answer;
    write!(stream, "HTTP/1.1 {status} Passed on\r\ncontent-type: {content_type}\r\n")?;
    write!(stream, "content-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())
}
