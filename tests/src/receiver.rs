//! A receiver of webhooks, which records each request and responds as a test wants.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use serde_json::Value;

/// A running receiver. It ends with the test program.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens, without a path.
    pub url: String,
    requests: Arc<Mutex<Vec<Received>>>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The headers. Their names are in lower case.
    pub headers: HashMap<String, String>,
    /// The bytes of the body.
    pub body: Vec<u8>,
}

/// What a receiver does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It responds with this status.
    Status(u16),
    /// It responds with a redirect to this URL.
    Redirect(String),
    /// It never responds, and keeps the connection open.
    Silence,
}

impl Receiver {
    /// Starts one. It calls `reply` for each request, after the request is recorded. Requests on different connections
    /// do not wait for each other.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn start(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let requests = Arc::new(Mutex::new(vec![]));
        let (recorded, reply) = (Arc::clone(&requests), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (recorded, reply) = (Arc::clone(&recorded), Arc::clone(&reply));
                // A sender that is killed breaks its connections.
                thread::spawn(move || serve(&stream, &recorded, &*reply).unwrap_or_default());
            }
        });
        Self { url, requests }
    }

    /// Starts one that responds to each request with this status.
    #[must_use]
    pub fn with_status(status: u16) -> Self {
        Self::start(move |_| Reply::Status(status))
    }

    /// Looks at all requests so far, in the order of their arrival.
    pub fn look<T>(&self, look: impl FnOnce(&[Received]) -> T) -> T {
        look(&self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All requests so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.look(<[Received]>::to_vec)
    }

    /// How many requests there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.look(<[Received]>::len)
    }

    /// How often each event came, by its id.
    #[must_use]
    pub fn times_of_events(&self) -> HashMap<String, usize> {
        self.look(|requests| {
            let mut times = HashMap::new();
            for request in requests {
                *times.entry(request.header("webhook-id").to_owned()).or_default() += 1;
            }
            times
        })
    }
}

impl Received {
    /// A header.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Serves one connection to its end.
fn serve(
    stream: &TcpStream,
    recorded: &Mutex<Vec<Received>>,
    reply: &(impl Fn(&Received) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        recorded.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let head = match reply(&request) {
            Reply::Status(status) => format!("HTTP/1.1 {status} Status\r\n"),
            Reply::Redirect(url) => format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\n"),
            Reply::Silence => return reader.read_to_end(&mut vec![]).map(drop),
        };
        // One write, so that one read gets all of it.
        let mut stream = stream;
        stream.write_all(format!("{head}content-length: 0\r\n\r\n").as_bytes())?;
    }
    Ok(())
}

/// `None` if the sender has closed the connection.
fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Received>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    for line in reader.by_ref().lines() {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse());
    let mut body = vec![0; length.map_err(std::io::Error::other)?];
    reader.read_exact(&mut body)?;
    Ok(Some(Received { method, path, headers, body }))
}

/// Something that threads wait for.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate is open.
    pub fn pass(&self) {
        let mut is_open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_open {
            is_open = self.0.1.wait(is_open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
