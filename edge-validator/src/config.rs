//! The configuration, read once by each isolate, because its bindings never change.

use std::{cell::OnceCell, rc::Rc};

use shared::{
    error::ApiError,
    freshness::{LEASE_MILLIS, Limits},
    seal::EdgeSecrets,
};
use worker::{Env, Method, ObjectNamespace, Request, console_error, js_sys::Reflect, wasm_bindgen::JsValue};

use crate::failure::Failure;

const SECRET: &str = "LATCHKEY_EDGE_SECRET";
const STORE: &str = "KEYS";
const FEED: &str = "FEED";
const FEED_NAME: &str = "FEED_NAME";
/// The name of the one object, unless it is configured.
const DEFAULT_FEED_NAME: &str = "changes";
const LEASE: &str = "LEASE_MS";
/// The leases that make sense, in milliseconds: shorter ones are spent on the way to the feed and back.
const LEASES: std::ops::RangeInclusive<i64> = 500..=60_000;
const CONTROL_PLANE: &str = "CONTROL_PLANE_URL";

/// The bindings of this Worker. What is missing is missing only for the routes that need it.
pub struct Config {
    edge: Option<Edge>,
    control_plane: Option<String>,
}

/// What the routes that the edge answers by itself need.
#[derive(Clone)]
pub struct Edge {
    /// Opens the records and admits the control plane.
    pub secrets: Rc<EdgeSecrets>,
    /// Where the records are: a KV namespace.
    pub store: JsValue,
    /// Where the change feed is, …
    pub feed: ObjectNamespace,
    /// … and which of the objects there it is.
    pub feed_name: Rc<str>,
    /// How long a lease lasts, among others.
    pub limits: Limits,
}

thread_local! {
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
}

impl Config {
    /// The configuration of this isolate.
    pub fn of(env: &Env) -> Rc<Self> {
        CONFIG.with(|config| Rc::clone(config.get_or_init(|| Rc::new(Self::read(env)))))
    }

    /// The same, once a request has made it known.
    pub fn known() -> Option<Rc<Self>> {
        CONFIG.with(|config| config.get().cloned())
    }

    fn read(env: &Env) -> Self {
        let edge = Edge::read(env).map_err(|missing| console_error!("The edge cannot validate keys: {missing}."));
        let control_plane = env.var(CONTROL_PLANE).ok().and_then(|url| base_url(&url.to_string()));
        // The runtime has the last word on what a URL is; a parser of our own is only more to download.
        let control_plane = control_plane.filter(|url| Request::new(url, Method::Get).is_ok());
        if control_plane.is_none() {
            console_error!("Cannot forward requests: {CONTROL_PLANE} is not an http(s) URL.");
        }
        Self { edge: edge.ok(), control_plane }
    }

    /// What the edge needs to answer by itself. Without all of it, it answers nothing.
    pub fn edge(&self) -> Result<&Edge, Failure> {
        self.edge.as_ref().ok_or_else(|| {
            let message = format!(
                "This Worker is not configured to validate keys. Bind the KV namespace `{STORE}` and the \
                 Durable Object `{FEED}`, and set the secret `{SECRET}` to that of the control plane. The Worker's log \
                 says what is missing."
            );
            ApiError::new(503, "edge_not_configured", message).into()
        })
    }

    /// The URL of the control plane, without a slash at its end.
    pub fn control_plane(&self) -> Result<&str, Failure> {
        self.control_plane.as_deref().ok_or_else(|| {
            let message =
                format!("Cannot forward this request. Set `{CONTROL_PLANE}` to the address of `latchkey serve`.");
            ApiError::new(503, "control_plane_not_configured", message).into()
        })
    }
}

impl Edge {
    fn read(env: &Env) -> Result<Self, String> {
        let secret = env.secret(SECRET).map_err(|_| format!("the secret {SECRET} is not set"))?;
        let secrets =
            EdgeSecrets::parse(&secret.to_string()).map_err(|bad| format!("the secret {SECRET} is invalid: {bad}"))?;
        let store = Reflect::get(env, &STORE.into()).ok().filter(|store| !store.is_undefined());
        let store = store.ok_or_else(|| format!("the KV namespace {STORE} is not bound"))?;
        let feed = env.durable_object(FEED).map_err(|_| format!("the Durable Object {FEED} is not bound"))?;
        let lease = env.var(LEASE).ok().map(|lease| lease.to_string());
        let limits = Limits::with_lease(lease_millis(lease.as_deref())?);
        let name = env.var(FEED_NAME).ok().map(|name| name.to_string()).filter(|name| !name.is_empty());
        let feed_name = name.as_deref().unwrap_or(DEFAULT_FEED_NAME).into();
        Ok(Self { secrets: Rc::new(secrets), store, feed, feed_name, limits })
    }
}

/// How long a lease lasts: what is configured, if anything is.
fn lease_millis(setting: Option<&str>) -> Result<i64, String> {
    let Some(setting) = setting else { return Ok(LEASE_MILLIS) };
    let lease = setting.parse().ok().filter(|lease| LEASES.contains(lease));
    lease.ok_or_else(|| format!("{LEASE} must be between {} and {} milliseconds", LEASES.start(), LEASES.end()))
}

/// A URL that a path can be appended to as text.
fn base_url(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split('/').next().unwrap_or_default();
    let appendable =
        !host.is_empty() && !rest.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '@' | '\\'));
    appendable.then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{base_url, lease_millis};

    #[test]
    fn a_lease_is_a_number_within_bounds() {
        assert_eq!(lease_millis(None), Ok(2_000));
        assert_eq!(lease_millis(Some("500")), Ok(500));
        for bad in ["", "0", "499", "60001", "2s", "-1", "1e3"] {
            assert!(lease_millis(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_url_can_have_a_path_appended() {
        assert_eq!(base_url("http://127.0.0.1:8787").as_deref(), Some("http://127.0.0.1:8787"));
        assert_eq!(base_url("https://keys.example.com/").as_deref(), Some("https://keys.example.com"));
        assert_eq!(base_url("https://example.com/keys//").as_deref(), Some("https://example.com/keys"));
    }

    #[test]
    fn what_would_swallow_the_path_is_no_base_url() {
        for url in ["", "example.com", "ftp://example.com", "https://", "https:///x", "https://a?b", "https://a#b"] {
            assert_eq!(base_url(url), None, "{url}");
        }
        for url in ["https://user@example.com", "https://example.com /", "https://example.com\\x"] {
            assert_eq!(base_url(url), None, "{url}");
        }
    }
}
