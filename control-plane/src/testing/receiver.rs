//! A receiver of webhooks, which answers as the test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
};
use serde_json::Value;
use tokio::net::TcpListener;

/// What it received and is to answer.
#[derive(Clone, Default)]
pub struct Receiver {
    state: Arc<Mutex<Inner>>,
    url: String,
}

#[derive(Default)]
struct Inner {
    received: Vec<Received>,
    /// Status and `Retry-After` of the next responses. Later ones are 200.
    responses: VecDeque<(u16, Option<&'static str>)>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

impl Receiver {
    /// Starts one on this machine.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let receiver = Self { url, ..Self::default() };
        let router = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next responses have these statuses.
    pub fn respond(&self, statuses: &[u16]) {
        let responses = statuses.iter().map(|status| (*status, None));
        self.state.lock().unwrap().responses.extend(responses);
    }

    /// The next response asks to wait.
    pub fn respond_with_retry_after(&self, status: u16, retry_after: &'static str) {
        self.state.lock().unwrap().responses.push_back((status, Some(retry_after)));
    }

    /// What it received so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// The types of the events that it received.
    pub fn types(&self) -> Vec<String> {
        self.received().iter().map(|request| request.json()["event"].as_str().unwrap().to_owned()).collect()
    }
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut inner = receiver.state.lock().unwrap();
    inner.received.push(Received { headers: parts.headers, body });
    let (status, retry_after) = inner.responses.pop_front().unwrap_or((200, None));
    let mut response = Response::builder().status(status);
    if let Some(retry_after) = retry_after {
        response = response.header("retry-after", retry_after);
    }
    response.body(Body::from("thanks")).unwrap()
}
