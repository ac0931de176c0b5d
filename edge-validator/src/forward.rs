//! Forwards to the control plane whatever the edge does not answer itself, so that clients need only one base URL.

use std::time::Duration;

use shared::{
    error::ApiError,
    seal::{CLIENT_ADDRESS, FORWARDING_TOKEN},
};
use worker::{Error, Fetch, Headers, Method, Request, Response, console_error, wasm_bindgen::JsCast, web_sys};

use crate::{config::Config, failure::Failure, isolate, wait::within};

/// How long the control plane may take to begin its answer. Its own time-outs are far below.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the request on as it is, and hands back the answer as it comes. Neither body is held in memory.
pub async fn answer(request: &Request, config: &Config) -> Result<Response, Failure> {
    let url = request.inner().url();
    if comes_from_us(request, config)? {
        let message =
            "The Worker's `CONTROL_PLANE_URL` leads back to the Worker. Set it to the address of `latchkey serve`.";
        return Err(ApiError::new(502, "control_plane_unreachable", message).into());
    }
    let forwarded = readdressed(request, &target(config.control_plane()?, &url))?;
    introduce(forwarded.headers(), &url, config)?;
    match within(PATIENCE, Fetch::Request(forwarded).send()).await {
        Some(Ok(response)) if !is_no_answer(response.status_code()) => {
            if is_change(&request.method(), response.status_code()) {
                config.edge().into_iter().for_each(isolate::heard_of_a_change);
            }
            Ok(response)
        }
        Some(Ok(response)) => Err(unreachable(&format!("status {}", response.status_code()))),
        Some(Err(cause)) => Err(unreachable(&cause.to_string())),
        None => Err(unreachable(&format!("no response within {} s", PATIENCE.as_secs()))),
    }
}

/// Whether a Worker with our secret has passed it on before: it would go round for ever.
fn comes_from_us(request: &Request, config: &Config) -> Result<bool, Error> {
    let token = request.headers().get(FORWARDING_TOKEN)?;
    let edge = config.edge().ok();
    Ok(token.zip(edge).is_some_and(|(token, edge)| edge.secrets.admits_forwarding(&token)))
}

/// Whether the control plane has changed something that was there before (what is created is found without more ado).
const fn is_change(method: &Method, status: u16) -> bool {
    const CREATED: u16 = 201;
    let is_success = matches!(status, 200..=299) && status != CREATED;
    is_success && !matches!(method, Method::Get | Method::Head | Method::Options)
}

/// The same request to another URL: method, headers and the unread body. Redirects are the client's to follow, as
/// they are in every request that a Worker receives.
fn readdressed(request: &Request, url: &str) -> Result<Request, Error> {
    let template = request.inner().unchecked_ref::<web_sys::RequestInit>();
    Ok(web_sys::Request::new_with_str_and_init(url, template)?.into())
}

/// Tells the control plane what it cannot see for itself. What a client claims of this is not passed on.
fn introduce(headers: &Headers, url: &str, config: &Config) -> Result<(), Error> {
    let address = headers.get("cf-connecting-ip")?;
    // Without the secret that proves that it is us, nobody would believe it.
    let token = config.edge().ok().map(|edge| edge.secrets.forwarding_token());
    let told =
        [("x-forwarded-for", address.as_deref()), (CLIENT_ADDRESS, address.as_deref()), (FORWARDING_TOKEN, token)];
    for (name, value) in told {
        match value {
            Some(value) => headers.set(name, value)?,
            None => headers.delete(name)?,
        }
    }
    let (scheme, host, _) = split(url);
    headers.set("x-forwarded-proto", scheme)?;
    headers.set("x-forwarded-host", host)
}

/// The URL at the control plane: the path and the query are the client's, to the letter.
fn target(base: &str, url: &str) -> String {
    let (_, _, path_and_query) = split(url);
    format!("{base}{path_and_query}")
}

/// Scheme, host, and the rest from the first slash on.
fn split(url: &str) -> (&str, &str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    (scheme, host, path_and_query)
}

/// Whether Cloudflare made this up because the control plane did not answer: its statuses of 520 and on.
const fn is_no_answer(status: u16) -> bool {
    matches!(status, 520..=530)
}

fn unreachable(cause: &str) -> Failure {
    console_error!("The control plane did not respond: {cause}");
    let message = "The control plane did not respond. Check that `latchkey serve` is running and that the Worker can \
                   reach it at its `CONTROL_PLANE_URL`.";
    ApiError::new(502, "control_plane_unreachable", message).into()
}

#[cfg(test)]
mod tests {
    use worker::Method;

    use super::{is_change, is_no_answer, split, target};

    #[test]
    fn path_and_query_are_kept_to_the_letter() {
        let base = "http://127.0.0.1:8787";
        for rest in ["/", "/a%2Fb?x=1&y=%20", "//evil.example/x", "/?", "/a?b=http://c/d"] {
            assert_eq!(target(base, &format!("https://edge.example{rest}")), format!("{base}{rest}"));
        }
        assert_eq!(target("https://a/keys", "https://edge.example/x"), "https://a/keys/x");
    }

    #[test]
    fn a_url_is_split_at_its_host() {
        assert_eq!(split("http://localhost:8787/a?b"), ("http", "localhost:8787", "/a?b"));
        assert_eq!(split("https://edge.example"), ("https", "edge.example", ""));
        assert_eq!(split("https://edge.example?q"), ("https", "edge.example", "?q"));
    }

    #[test]
    fn a_change_is_what_succeeded_and_created_nothing() {
        for (method, status) in [(Method::Delete, 204), (Method::Post, 200), (Method::Put, 200), (Method::Patch, 299)] {
            assert!(is_change(&method, status), "{method} {status}");
        }
        for (method, status) in [(Method::Get, 200), (Method::Head, 200), (Method::Post, 201), (Method::Delete, 404)] {
            assert!(!is_change(&method, status), "{method} {status}");
        }
    }

    #[test]
    fn only_cloudflares_own_statuses_are_no_answer() {
        for status in [520, 521, 522, 523, 524, 525, 526, 527, 530] {
            assert!(is_no_answer(status), "{status}");
        }
        for status in [200, 404, 500, 502, 503, 504, 519, 531] {
            assert!(!is_no_answer(status), "{status}");
        }
    }
}
