//! An HTTP client that shows what came, whatever it is: no status is an error, no redirect is followed, nothing is retried.

use std::time::Duration;

use serde_json::Value;
use ureq::{
    Agent,
    http::{HeaderMap, Request},
};

/// Longer than any answer that is not a hang.
const PATIENCE: Duration = Duration::from_secs(40);

/// Asks one server, as one caller.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    authorization: Option<String>,
    header: Option<(String, String)>,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Client {
    /// A caller who does not say who it is.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = Agent::config_builder()
            .allow_non_standard_methods(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            agent: config.new_agent(),
            base: base.trim_end_matches('/').to_owned(),
            authorization: None,
            header: None,
        }
    }

    /// The same server, asked with this bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        self.with_authorization(&format!("Bearer {token}"))
    }

    /// The same server, asked with this `Authorization` header.
    #[must_use]
    pub fn with_authorization(&self, authorization: &str) -> Self {
        Self { authorization: Some(authorization.to_owned()), ..self.clone() }
    }

    /// The same server, asked with one header more.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        Self { header: Some((name.to_owned(), value.to_owned())), ..self.clone() }
    }

    /// Reads a path.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    /// Deletes what a path names.
    #[track_caller]
    #[must_use]
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    /// Posts JSON to a path.
    #[track_caller]
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string().as_bytes()))
    }

    /// Patches a path with JSON.
    #[track_caller]
    #[must_use]
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, Some(body.to_string().as_bytes()))
    }

    /// Puts JSON to a path.
    #[track_caller]
    #[must_use]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(body.to_string().as_bytes()))
    }

    /// Sends a request that must be answered, whatever the answer is.
    ///
    /// # Panics
    /// If no answer comes.
    #[track_caller]
    #[must_use]
    pub fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.base))
    }

    /// Sends a request to a server that may be away.
    ///
    /// # Errors
    /// If no answer comes.
    pub fn try_send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        let response = match body {
            None => self.agent.run(request.body(())?),
            Some(body) => self.agent.run(request.header("content-type", "application/json").body(body)?),
        };
        let (head, mut body) = response?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, text: body.read_to_string()? })
    }
}

impl Answer {
    /// The body of an answer with this status; null if it is empty.
    ///
    /// # Panics
    /// If the status is another, or the body is not JSON.
    #[track_caller]
    #[must_use]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The code of an error with this status.
    ///
    /// # Panics
    /// If it is not in the shape of errors.
    #[track_caller]
    #[must_use]
    pub fn error(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/json"), "{body}");
        assert!(body["message"].is_string(), "{body}");
        body["code"].as_str().unwrap_or_else(|| panic!("no code in {body}")).to_owned()
    }

    /// A header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}
