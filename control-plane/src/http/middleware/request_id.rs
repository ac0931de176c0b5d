//! `X-Request-ID`: what a request is called in its answer and in the logs.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use shared::{Timestamp, entropy::Entropy, id::RequestId, key};

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name that is taken over.
const MAX_LENGTH: usize = 128;

/// What the client calls the request, if that is a name; else a new one.
pub fn of(headers: &HeaderMap, now: Timestamp, entropy: &mut impl Entropy) -> String {
    let mut all = headers.get_all(HEADER).iter();
    let only = all.next().filter(|_| all.next().is_none());
    let given = only.and_then(|value| value.to_str().ok()).filter(|name| is_name(name));
    given.map_or_else(|| RequestId::generate(now, entropy).into(), str::to_owned)
}

/// It ends up in headers and in lines of logs, where nothing may begin another one, and where no key may stand.
fn is_name(text: &str) -> bool {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    (1..=MAX_LENGTH).contains(&text.len()) && is_visible && !key::is_within(text)
}

/// Names the request in the headers of its answer.
pub fn put(headers: &mut HeaderMap, name: &str) {
    if let Ok(value) = HeaderValue::from_str(name) {
        headers.insert(HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use serde_json::json;
    use shared::entropy::Repeating;

    use super::*;
    use crate::testing::server::*;

    fn name_of(given: &[u8]) -> String {
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_bytes(given).unwrap())]);
        of(&headers, START, &mut Repeating(0))
    }

    #[test]
    fn a_name_is_visible_ascii_and_not_long() {
        let made = of(&HeaderMap::new(), START, &mut Repeating(0));
        assert!(made.starts_with("req_") && made.parse::<RequestId>().is_ok());
        let longest = "x".repeat(128);
        for good in ["a", "b8e2/{x}:\"y\"~!", &longest] {
            assert_eq!(name_of(good.as_bytes()), good);
        }
        let twice =
            HeaderMap::from_iter([(HEADER, HeaderValue::from_static("a")), (HEADER, HeaderValue::from_static("a"))]);
        assert_eq!(of(&twice, START, &mut Repeating(0)).len(), made.len());
        for bad in ["".as_bytes(), b" ", b"a b", b"a\tb", "ä".as_bytes(), b"\xff", "x".repeat(129).as_bytes()] {
            assert_eq!(name_of(bad), made);
        }
    }

    #[test]
    fn request_id_that_looks_like_a_key_is_replaced() {
        let generated = of(&HeaderMap::new(), START, &mut Repeating(0));
        let random = "x9".repeat(19);
        let mixed = "x9Y".repeat(10);
        for key in [
            format!("mk_{random}"),
            format!("lk_live_{random}"),
            format!("trace:lk_test_{random}/1"),
            // With a character too many or too few, and without its beginning.
            format!("lk_live_{mixed}123456789"),
            format!("lk%5Flive%5F{mixed}"),
            mixed,
        ] {
            assert_eq!(name_of(key.as_bytes()), generated, "{key}");
        }
        // Ids of other systems: an identifier, and digests of other lengths.
        for id in ["req_01KF0JZ4G0000000000000000A".to_owned(), format!("t_{random}xx"), format!("T_{random}"), random]
        {
            assert_eq!(name_of(id.as_bytes()), id);
        }
    }

    #[tokio::test]
    async fn every_answer_has_one() {
        let (db, _folder) = crate::storage::testing::sqlite().await;
        let server = Server::new(db).await;
        let asked = [
            ("GET", "/health", 200),
            ("GET", "/nowhere", 404),
            ("PUT", "/health", 405),
            ("GET", "/organizations", 401),
            ("POST", "/api_keys/validations", 401),
        ];
        for (method, path, status) in asked {
            let request = |name: Option<&str>| {
                let request = Request::builder().method(method).uri(path);
                name.into_iter()
                    .fold(request, |request, name| request.header(HEADER, name))
                    .body(Body::empty())
                    .unwrap()
            };
            let (headers, reply) = server.ask(request(Some("of-the-client"))).await;
            assert_eq!(
                (reply.status, &headers[HEADER]),
                (status, &HeaderValue::from_static("of-the-client")),
                "{path}"
            );
            let made = async || {
                let (headers, _) = server.ask(request(None)).await;
                headers[HEADER].to_str().unwrap().parse::<RequestId>().unwrap()
            };
            assert_ne!(made().await, made().await, "{path}");
        }
        let (headers, reply) = server.post_with("x-request-id", "mine", "/organizations", &json!({"name": ""})).await;
        assert_eq!((reply.fields(), &headers[HEADER]), (vec!["name".to_owned()], &HeaderValue::from_static("mine")));
    }
}
