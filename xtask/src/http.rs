//! A small HTTP client for JSON on the loopback interface.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Speaks to one server, with one management key.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: String,
}

/// A status and its body; `null` where the body is not JSON.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Client {
    /// A client of the server at `base`.
    pub fn new(base: &str, management_key: &str) -> Client {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent();
        Client { agent, base: base.to_owned(), authorization: format!("Bearer {management_key}") }
    }

    /// Reads a path.
    pub fn get(&self, path: &str) -> Result<Answer> {
        let request = self.agent.get(format!("{}{path}", self.base));
        answer(request.header("authorization", &self.authorization).call())
    }

    /// Sends JSON to a path.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self.agent.post(format!("{}{path}", self.base));
        answer(request.header("authorization", &self.authorization).send_json(body))
    }

    /// Deletes what a path names.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        answer(request.header("authorization", &self.authorization).call())
    }
}

impl Answer {
    /// The body, if the status tells of success.
    pub fn success(self, what: &str) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("{what}: the server returned {} {}", self.status, self.body);
        }
        Ok(self.body)
    }
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut response = response?;
    let text = response.body_mut().read_to_string().context("cannot read the response")?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status: response.status().as_u16(), body })
}
