//! A proxy that passes everything on as it is, and remembers what was answered.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use ureq::{
    Agent,
    http::{Request, Response, header},
};

/// Longer than any head, body or answer takes.
const PATIENCE: Duration = Duration::from_secs(40);
/// What is about one connection, and is ours to say of the other; and compressed bodies could not be read here.
const NOT_PASSED_ON: [&str; 5] = ["accept-encoding", "connection", "content-length", "host", "transfer-encoding"];

/// A running proxy.
#[derive(Debug)]
pub struct Recorder {
    /// Where it answers.
    pub url: String,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

/// A request, and the answer to it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method of the request.
    pub method: String,
    /// Its path, without what was asked of it.
    pub path: String,
    /// Whether it had an `Idempotency-Key`.
    pub has_idempotency_key: bool,
    /// The status of the answer.
    pub status: u16,
    /// What its body is.
    pub content_type: Option<String>,
    /// Its body.
    pub body: String,
}

impl Recorder {
    /// Starts one before this server.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let exchanges = Arc::new(Mutex::new(vec![]));
        let (server, recorded) = (server.to_owned(), Arc::clone(&exchanges));
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
        let agent = config.allow_non_standard_methods(true).timeout_global(Some(PATIENCE)).build().new_agent();
        // It ends with the test program.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (server, agent, recorded) = (server.clone(), agent.clone(), Arc::clone(&recorded));
                // A client that opens a connection and asks nothing is an error of that connection alone.
                thread::spawn(move || serve(&stream, &server, &agent, &recorded).unwrap_or_default());
            }
        });
        Self { url, exchanges }
    }

    /// All that was answered so far.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers one request, and closes the connection.
fn serve(stream: &TcpStream, server: &str, agent: &Agent, recorded: &Mutex<Vec<Exchange>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = read_request(&mut BufReader::new(stream), server)?;
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let has_idempotency_key = request.headers().contains_key("idempotency-key");

    let answer = agent.run(request).map_err(std::io::Error::other)?;
    let (head, mut body) = answer.into_parts();
    let body = body.read_to_string().map_err(std::io::Error::other)?;
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = head.status.as_u16();
    // Before the client has the answer, so that whoever waits for the client finds it here.
    recorded.lock().unwrap_or_else(PoisonError::into_inner).push(Exchange {
        method,
        path,
        has_idempotency_key,
        status,
        content_type,
        body: body.clone(),
    });
    write_answer(stream, &Response::from_parts(head, body))
}

fn read_request(reader: &mut impl BufRead, server: &str) -> std::io::Result<Request<Vec<u8>>> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::builder().method(method).uri(format!("{server}{target}"));
    let mut length = 0;
    for line in reader.lines() {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let (name, value) = (name.to_lowercase(), value.trim());
        if name == "content-length" {
            length = value.parse().map_err(std::io::Error::other)?;
        }
        if !NOT_PASSED_ON.contains(&name.as_str()) {
            request = request.header(name, value);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body(body).map_err(std::io::Error::other)
}

fn write_answer(mut stream: &TcpStream, answer: &Response<String>) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {}\r\nconnection: close\r\n", answer.status());
    for (name, value) in answer.headers() {
        if !NOT_PASSED_ON.contains(&name.as_str()) {
            head.extend([name.as_str(), ": ", value.to_str().unwrap_or_default(), "\r\n"]);
        }
    }
    // The statuses of answers that have no body, and must not say how long it is.
    if ![204, 304].contains(&answer.status().as_u16()) {
        head.extend(["content-length: ", &answer.body().len().to_string(), "\r\n"]);
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(answer.body().as_bytes())
}
