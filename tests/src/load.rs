//! Load: as many requests as a server answers, over some connections that are kept, and how long each took.
//!
//! The requests are bytes that were written beforehand, and of an answer only what is needed is read: its status, its
//! length, and whether its body is the expected one. So this costs a fraction of what any server does for the request,
//! and one thread of it keeps a server of one thread busy. What it did cost is said, so that this can be checked.

use std::{
    borrow::Cow,
    cell::RefCell,
    io::ErrorKind,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use crate::{
    cost,
    wait::{Stopwatch, moment},
};

/// How many requests are under way at a time, unless it is said otherwise.
pub const CONNECTIONS: usize = 16;
/// How much longer than asked for a load may take: longer than any answer that is not a hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const LONGEST: usize = 1_000_000;

/// What is asked, and what is to be answered.
#[derive(Debug)]
pub struct Load {
    requests: Vec<Vec<u8>>,
    status: u16,
    body: Option<Vec<u8>>,
    next: AtomicUsize,
}

impl Load {
    /// These requests, one after the other and from the first again; each is to be answered with this status.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn new(requests: Vec<Vec<u8>>, status: u16) -> Self {
        assert!(!requests.is_empty(), "a load is at least one request");
        Self { requests, status, body: None, next: AtomicUsize::new(0) }
    }

    /// Each is to be answered with this body.
    #[must_use]
    pub fn answered_with(self, body: &str) -> Self {
        Self { body: Some(body.as_bytes().to_vec()), ..self }
    }

    /// The next request, wherever the last run of the load stopped.
    fn next(&self) -> &[u8] {
        &self.requests[self.next.fetch_add(1, Ordering::Relaxed) % self.requests.len()]
    }

    fn is_met_by(&self, answer: &Answer<'_>) -> bool {
        answer.status == self.status && self.body.as_ref().is_none_or(|body| *body == *answer.body)
    }
}

/// A `POST` of JSON by the holder of a management key, as it goes over the wire.
#[must_use]
pub fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: latchkey\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A `GET` by the holder of a management key, as it goes over the wire.
#[must_use]
pub fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: latchkey\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How long it went on.
    pub elapsed: Duration,
    /// How long each request took, in microseconds, in no order.
    pub latencies: Vec<u32>,
    /// How many answers were not the expected ones.
    pub mismatches: u64,
    /// The first of those.
    pub mismatch: Option<String>,
    /// The processor time that the load itself took.
    pub cpu: Duration,
}

impl Outcome {
    /// Answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the requests did not exceed, in microseconds.
    ///
    /// # Panics
    /// If nothing was answered.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u32 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    /// Stops the measurement if anything was answered otherwise than it should be: it would be a number of something else.
    ///
    /// # Panics
    /// Then, and if nothing was answered at all.
    #[track_caller]
    pub fn assert_as_expected(&self, what: &str) {
        let example = self.mismatch.as_deref().unwrap_or_default();
        assert_eq!(self.mismatches, 0, "{what}: answers that are not the expected one, such as {example}");
        assert!(!self.latencies.is_empty(), "{what}: nothing was answered");
    }
}

/// Asks a server again and again, for so long, over so many connections.
///
/// # Panics
/// If a connection breaks, or nothing is answered for a minute.
#[must_use]
pub fn run(server: SocketAddr, load: &Arc<Load>, connections: usize, duration: Duration) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cpu = cost::cpu_of_this_thread();
    let watch = Stopwatch::start();
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let tasks = LocalSet::new();
    let asking: Vec<_> = (0..connections)
        .map(|_| tasks.spawn_local(ask(server, Arc::clone(load), Rc::clone(&outcome), watch, duration)))
        .collect();
    tasks.block_on(&runtime, async {
        let all = async {
            for connection in asking {
                connection.await.expect("asking does not panic").expect("the server keeps its connections");
            }
        };
        tokio::time::timeout(duration + PATIENCE, all).await.expect("the server answers within a minute");
    });
    let mut outcome = outcome.take();
    outcome.elapsed = watch.elapsed();
    outcome.cpu = cost::cpu_of_this_thread().saturating_sub(cpu);
    outcome
}

async fn ask(
    server: SocketAddr,
    load: Arc<Load>,
    outcome: Rc<RefCell<Outcome>>,
    watch: Stopwatch,
    duration: Duration,
) -> std::io::Result<()> {
    let mut connection = Connection::open(server).await?;
    while watch.elapsed() < duration {
        let sent = moment();
        let answer = connection.exchange(load.next()).await?;
        let micros = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
        let mut outcome = outcome.borrow_mut();
        outcome.latencies.push(micros);
        if !load.is_met_by(&answer) {
            outcome.mismatches += 1;
            outcome.mismatch.get_or_insert_with(|| format!("{} {}", answer.status, answer.text()));
        }
    }
    Ok(())
}

/// An HTTP/1.1 connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a server.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn open(server: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4_096) })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is longer than any of ours.
    pub async fn exchange(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        while Answer::parse(&self.buffer).is_none() {
            if self.buffer.len() > LONGEST {
                return Err(ErrorKind::FileTooLarge.into());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Answer::parse(&self.buffer).ok_or_else(|| ErrorKind::InvalidData.into())
    }
}

/// An answer, as far as it is looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The lines of the head.
    pub head: &'a str,
    /// The body.
    pub body: Cow<'a, [u8]>,
}

impl<'a> Answer<'a> {
    /// Reads an answer, if all of it is there.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let end = find(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let rest = &bytes[end + 4..];
        let status = head.get(9..12)?.parse().ok()?;
        let body = match header(head, "content-length") {
            Some(length) => Cow::Borrowed(rest.get(..length.parse().ok()?)?),
            None if header(head, "transfer-encoding") == Some("chunked") => Cow::Owned(unchunked(rest)?),
            // What has neither has no body, such as a 204.
            None => Cow::Borrowed(&rest[..0]),
        };
        Some(Self { status, head, body })
    }

    /// A header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(its_name, _)| its_name.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The body that came in chunks, if the last of them is there.
fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = vec![];
    loop {
        let line = find(bytes, b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?, 16).ok()?;
        let chunk = bytes.get(line + 2..line + 2 + length)?;
        bytes = bytes.get(line + 2 + length + 2..)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_all_of_it_is_there() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\nbody";
        for length in 0..whole.len() {
            assert_eq!(Answer::parse(&whole[..length]), None, "{length} bytes");
        }
        let answer = Answer::parse(whole).unwrap();
        assert_eq!((answer.status, answer.text().as_ref(), answer.header("x")), (200, "body", Some("y")));
    }

    #[test]
    fn so_is_one_that_comes_in_chunks() {
        let whole = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(Answer::parse(&whole[..length]), None, "{length} bytes");
        }
        let answer = Answer::parse(whole).unwrap();
        assert_eq!((answer.status, answer.text().as_ref()), (404, "body"));
    }

    #[test]
    fn an_answer_without_a_body_ends_with_its_head() {
        let answer = Answer::parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }

    #[test]
    fn what_is_not_the_expected_answer_does_not_meet_the_load() {
        let load = Load::new(vec![vec![]], 200).answered_with("yes");
        let answer = |status, body: &'static str| Answer { status, head: "", body: Cow::Borrowed(body.as_bytes()) };
        assert!(load.is_met_by(&answer(200, "yes")));
        assert!(!load.is_met_by(&answer(200, "no")));
        assert!(!load.is_met_by(&answer(503, "yes")));
        assert!(Load::new(vec![vec![]], 200).is_met_by(&answer(200, "anything")));
    }

    #[test]
    fn a_quantile_is_what_that_share_did_not_exceed() {
        let outcome = Outcome { latencies: (1..=200).rev().collect(), ..Outcome::default() };
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| outcome.quantile(share)), [1, 100, 198, 200]);
    }
}
