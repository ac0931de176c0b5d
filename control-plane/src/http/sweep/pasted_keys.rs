//! A key that somebody pastes where it does not belong is repeated by no error, by no header and in no log.

use std::{cell::RefCell, io, sync::Once};

use axum::http::{HeaderMap, Request, header};
use tracing_subscriber::{Layer, filter::dynamic_filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::*;

thread_local! {
    /// What was logged on this thread, while somebody wants to know.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What the server logs on this thread while it lives.
struct Log;

/// Appends to the log of the thread.
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.get_or_insert_default().extend(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// One subscriber for the whole process, because tests on other threads that begin and end with subscribers of their own
    /// decide for all threads whether an event is looked at.
    fn capture() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let is_wanted = dynamic_filter_fn(|_, _| LOG.with_borrow(Option::is_some));
            let layer = fmt::layer().with_ansi(false).with_writer(|| Writer).with_filter(is_wanted);
            tracing_subscriber::registry().with(layer).init();
        });
        LOG.set(Some(Vec::new()));
        Self
    }

    /// What was logged since this was last asked.
    fn take(&self) -> String {
        String::from_utf8(LOG.replace(Some(Vec::new())).unwrap()).unwrap()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LOG.set(None);
    }
}

/// A key that is pasted, and the part of it that nobody may see again.
struct Pasted {
    key: String,
    secret: String,
}

impl Pasted {
    fn new(key: &str) -> Self {
        let (_, random) = key.rsplit_once('_').unwrap();
        Self { key: key.to_owned(), secret: random[..12].to_owned() }
    }

    /// Sends a request in which it stands somewhere.
    async fn send(&self, server: &Server, log: &Log, request: Request<Body>) -> u16 {
        let what = format!("{request:?}");
        let (headers, reply) = server.ask(request).await;
        let log = log.take();
        assert!(log.contains("request completed"), "{what}: the log is captured: {log}");
        assert!(!log.contains(&self.secret), "{what} is logged: {log}");
        assert!(!format!("{headers:?}").contains(&self.secret), "{what}: {headers:?}");
        // A success may show what it was told to store.
        assert!(reply.status < 400 || !reply.text.contains(&self.secret), "{what}: {}", reply.text);
        reply.status
    }

    /// Bodies that are good but for one field, in which it stands in every way.
    fn bodies(&self, operation: &Operation, world: &World) -> Vec<String> {
        let key = self.key.as_str();
        let mut bodies = vec![key.to_owned(), json!(key).to_string(), json!({key: key}).to_string()];
        let schema = operation.body_schema().unwrap_or_default();
        for name in schema["properties"].as_object().into_iter().flat_map(Map::keys) {
            for value in [
                json!(key),
                json!(key.repeat(20)),
                json!(format!("{key}\u{0}")),
                json!([key]),
                json!([key, key.to_lowercase()]),
                json!({key: key}),
                json!({key: 1}),
                json!({key: "\u{0}"}),
                json!({key: key.repeat(20)}),
                json!({(key.repeat(20)): key}),
                json!([{"domain": key, "state": key}]),
                json!([{key: key}]),
            ] {
                let mut body = operation.good_body(world);
                body[name] = value;
                bodies.push(body.to_string());
            }
        }
        bodies
    }

    /// Query strings in which it stands in every way.
    fn queries(&self, operation: &Operation) -> Vec<String> {
        let key = self.key.as_str();
        let parameters = operation.description["parameters"].as_array().cloned().unwrap_or_default();
        let of_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let names = of_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned());
        let mut queries = vec![format!("?{key}"), format!("?{key}={key}"), format!("?a={key}%ff")];
        queries.extend(names.flat_map(|name| [format!("?{name}={key}"), format!("?{name}={key}%00")]));
        queries
    }
}

fn request(operation: &Operation, path: &str, authorization: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(operation.method.as_str()).uri(path);
    request.header(header::AUTHORIZATION, authorization).body(Body::from(body.to_owned())).unwrap()
}

conformance! {
    async fn pasted_key_is_not_repeated(db: Db) {
        let world = World::new(db).await;
        let stranger = world.server.of_another_environment().await;
        let [bearer, of_stranger] = [&world.server, &stranger].map(|of| format!("Bearer {}", of.management_key));
        let log = Log::capture();
        let mut operations = operations();
        // What they delete would be missing for the others.
        operations.sort_by_key(|operation| operation.method == "DELETE");
        let mut refused = 0;
        for pasted in [Pasted::new(&world.value), Pasted::new(&world.server.management_key)] {
            let key = pasted.key.as_str();
            for operation in &operations {
                let path = operation.path_in(&world);
                let body = operation.good_body(&world).to_string();
                for path in operation.paths_with(key, &world) {
                    refused += u32::from(pasted.send(&world.server, &log, request(operation, &path, &bearer, &body)).await == 404);
                }
                for path in [format!("{path}/{key}"), format!("/{key}{path}")] {
                    pasted.send(&world.server, &log, request(operation, &path, &bearer, &body)).await;
                }
                for query in pasted.queries(operation) {
                    let path = format!("{path}{query}");
                    refused += u32::from(pasted.send(&world.server, &log, request(operation, &path, &bearer, &body)).await == 422);
                }
                for body in pasted.bodies(operation, &world) {
                    refused += u32::from(pasted.send(&world.server, &log, request(operation, &path, &bearer, &body)).await == 422);
                }
                for value in [key.to_owned(), key.repeat(10), format!("Bearer {key}x"), format!("Basic {key}"), format!("{key}ä")] {
                    for name in ["authorization", "x-request-id", "idempotency-key", "content-type", "accept", "cookie", "x-any"] {
                        let mut request = request(operation, &path, &of_stranger, &body);
                        request.headers_mut().insert(name, value.parse().unwrap());
                        pasted.send(&world.server, &log, request).await;
                    }
                }
                let mut twice = request(operation, &path, &bearer, &body);
                twice.headers_mut().append(header::AUTHORIZATION, bearer.parse().unwrap());
                let status = pasted.send(&world.server, &log, twice).await;
                assert!(status == 401 || !operation.is_protected(), "{} {path}: {status}", operation.method);
            }
            let method = Request::builder().method(key).uri(format!("/{key}")).body(Body::empty()).unwrap();
            pasted.send(&world.server, &log, method).await;
        }
        assert!(refused > 500, "few of these requests were refused: {refused}");
    }

    async fn each_401_says_how_to_authenticate(db: Db) {
        let world = World::new(db).await;
        for operation in operations().iter().filter(|operation| operation.is_protected()) {
            let path = operation.path_in(&world);
            for (authorization, expected) in [
                (None, r#"Bearer realm="latchkey""#),
                (Some("Bearer mk_garbage"), r#"Bearer realm="latchkey", error="invalid_token""#),
            ] {
                let request = Request::builder().method(operation.method.as_str()).uri(&path);
                let request = authorization.into_iter().fold(request, |request, value| request.header(header::AUTHORIZATION, value));
                let (headers, reply) = world.server.ask(request.body(Body::empty()).unwrap()).await;
                assert_eq!((reply.status, &headers[header::WWW_AUTHENTICATE]), (401, &expected.parse().unwrap()), "{path}");
            }
        }
    }

    async fn only_public_answers_may_be_stored(db: Db) {
        let world = World::new(db).await;
        let bearer = format!("Bearer {}", world.server.management_key);
        let cache_control = |headers: &HeaderMap| headers.get(header::CACHE_CONTROL).map(|value| value.to_str().unwrap().to_owned());
        for operation in &operations() {
            let path = operation.path_in(&world) + &operation.query(&world);
            let body = operation.good_body(&world).to_string();
            let (headers, _) = world.server.ask(request(operation, &path, &bearer, &body)).await;
            let expected = if ["/health?", "/openapi.json?"].contains(&path.as_str()) { None } else { Some("no-store".to_owned()) };
            assert_eq!(cache_control(&headers), expected, "{} {path}", operation.method);
        }
        let (headers, _) = world.server.ask(Request::get("/nowhere").body(Body::empty()).unwrap()).await;
        assert_eq!(cache_control(&headers).as_deref(), Some("no-store"));
    }
}
