use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::HeaderMap,
    routing,
};
use serde::Serialize;
use shared::{
    bearer,
    error::{ApiError, FieldError},
    json,
    seal::EdgeSecrets,
    usage::{BATCH_LIMIT, Batch, ENVIRONMENTS_MAX, KEYS_MAX, PATH},
};

use crate::{
    http::{
        Error, RequestError,
        extract::{access::authorization, body, now::Now},
    },
    metrics::BatchResult,
    service::{self, Checks, usage},
    state::AppState,
};

/// The length of a sender's name.
const SENDER_LENGTH: usize = 22;

/// An empty response.
#[derive(Debug, Serialize)]
struct Taken {}

/// The route, for a Worker with one of these secrets.
pub fn route(secrets: EdgeSecrets) -> Router<AppState> {
    let methods = routing::post(ingest)
        .fallback(|| async { Error::from(RequestError::MethodNotAllowed) })
        .layer(Extension(Arc::new(secrets)));
    Router::new().route(PATH, methods)
}

/// Adds up a batch in which an isolate of the Worker reports how keys were used. A batch that was added up before gets the same
/// response.
async fn ingest(
    State(state): State<AppState>,
    Now(now): Now,
    Extension(secrets): Extension<Arc<EdgeSecrets>>,
    request: Request,
) -> Result<Json<Taken>, Error> {
    if !is_admitted(&secrets, request.headers()) {
        body::take_in(request).await;
        return Err(RequestError::NotTheWorker.into());
    }
    let metrics = &state.metrics.usage;
    let batch = read(request).await.inspect_err(|_| metrics.count_batch(BatchResult::Refused))?;
    match usage::apply(&state.database, &state.usage, &batch, now).await? {
        Some(counted) => {
            metrics.lost.inc_by(counted.lost);
            metrics.count_batch(BatchResult::Applied);
            for (outcome, count) in counted.outcomes {
                metrics.count_validations(outcome.code(), count);
            }
        }
        None => metrics.count_batch(BatchResult::Repeated),
    }
    Ok(Json(Taken {}))
}

fn is_admitted(secrets: &EdgeSecrets, headers: &HeaderMap) -> bool {
    authorization(headers).and_then(bearer::token).is_some_and(|token| secrets.admits_usage(token))
}

/// A batch that cannot be parsed now never can be, so the status is 422 whatever is wrong with it, and the Worker discards it. One
/// that did not arrive whole must be sent again, so its status is another.
async fn read(request: Request) -> Result<Batch, Error> {
    let request = body::take_in_up_to(BATCH_LIMIT, request).await;
    let body = body::read(request, BATCH_LIMIT).await.map_err(|error| match error {
        Error::Request(RequestError::IncompleteBody) => {
            ApiError::new(408, "incomplete_body", "The request body ended early.").into()
        }
        error => error,
    })?;
    let batch: Batch = json::parse(&body).map_err(|error| match error.status {
        422 => error,
        _ => FieldError::new("body", "invalid", error.body.message).into(),
    })?;
    check(&batch)?;
    Ok(batch)
}

fn check(batch: &Batch) -> service::Result<()> {
    let mut checks = Checks::default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_sender = batch.sender.len() == SENDER_LENGTH && batch.sender.bytes().all(is_name);
    checks.require(is_sender, "sender", "invalid", "must have 22 letters, digits, and `-_`");
    let is_number = batch.number > 0 && i64::try_from(batch.number).is_ok();
    checks.require(is_number, "number", "invalid", "must be a positive number of 63 bits");
    checks.at_most_items("keys", batch.keys.len(), KEYS_MAX);
    checks.at_most_items("environments", batch.environments.len(), ENVIRONMENTS_MAX);
    checks.finish()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::{Value, json};
    use shared::{digest::Digest, seal::EdgeSecrets};

    use super::*;
    use crate::{
        config::Config,
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    const SECRET: &str = "a secret of the tests and of no use to anybody";
    const OLD_SECRET: &str = "the secret before it and of no use to anybody either";
    const SENDER: &str = "c2VuZGVyIG9mIHRlc3Rz00";
    const HOUR: i64 = 500_000;

    /// A server with an edge, and one key.
    struct World {
        server: Server,
        secrets: EdgeSecrets,
        id: String,
        digest: String,
    }

    impl World {
        async fn new(db: Db) -> Self {
            let config = Config {
                edge_kv_url: "http://127.0.0.1:1".to_owned(),
                edge_kv_namespace: "keys".to_owned(),
                edge_url: "http://127.0.0.1:1".to_owned(),
                edge_secret: format!("{SECRET},{OLD_SECRET}").into(),
                ..Config::defaults()
            };
            let server = Server::configured(db, &config).await;
            let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
            let digest = Digest::of(key["value"].as_str().unwrap()).to_string();
            Self { server, secrets: EdgeSecrets::parse(SECRET).unwrap(), id: id_of(&key), digest }
        }

        fn batch(&self, number: u64) -> Value {
            json!({
                "sender": SENDER,
                "number": number,
                "keys": [{
                    "environment": self.server.environment,
                    "digest": self.digest,
                    "last_used_at": START.as_millis() - 1000,
                    "counts": [{"hour": HOUR, "outcome": "valid", "count": 3}],
                }],
                "environments": [{
                    "environment": self.server.environment,
                    "counts": [{"hour": HOUR, "outcome": "malformed", "count": 4}],
                }],
                "lost": 5,
            })
        }

        async fn send_as(&self, token: &str, body: impl Into<Body>) -> Reply {
            self.server.send_as(Some(&format!("Bearer {token}")), "POST", PATH, body.into()).await
        }

        async fn send(&self, body: impl Into<Body>) -> Reply {
            self.send_as(self.secrets.usage_token(), body).await
        }

        /// The usage of the key and of its environment.
        async fn usage(&self) -> (Value, Value) {
            let of_key = self.server.get(&format!("/api_keys/{}/usage", self.id)).await.expect(200);
            (of_key["data"].clone(), self.server.get("/usage").await.expect(200)["data"].clone())
        }

        async fn metrics(&self) -> String {
            self.server.get("/metrics").await.text
        }
    }

    conformance! {
        async fn what_the_edge_counted_is_seen_at_once_and_counts_once(db: Db) {
            let world = World::new(db).await;
            let start = START.to_string();
            for _ in 0..2 {
                assert_eq!(world.send(world.batch(1).to_string()).await, Reply { status: 200, text: "{}".to_owned() });
                let (of_key, all) = world.usage().await;
                assert_eq!(of_key, json!([{"start": start, "outcomes": {"valid": 3}, "total": 3}]));
                assert_eq!(all, json!([{"start": start, "outcomes": {"malformed": 4, "valid": 3}, "total": 7}]));
                let key = world.server.get(&format!("/api_keys/{}", world.id)).await.expect(200);
                assert_eq!(key["last_used_at"], START.plus_millis(-1000).to_string());
                assert_eq!(key["updated_at"], start);
            }
            let metrics = world.metrics().await;
            for line in [
                "latchkey_edge_validations_total{outcome=\"valid\"} 3",
                "latchkey_edge_validations_total{outcome=\"malformed\"} 4",
                "latchkey_usage_batches_total{result=\"applied\"} 1",
                "latchkey_usage_batches_total{result=\"repeated\"} 1",
                "latchkey_usage_lost_total 5",
            ] {
                assert!(metrics.contains(&format!("{line}\n")), "{line} in {metrics}");
            }
        }

        async fn nobody_but_the_edge_is_let_in(db: Db) {
            let world = World::new(db).await;
            let body = world.batch(1).to_string();
            let foreign = EdgeSecrets::parse("a secret that this server does not have").unwrap();
            let tokens = ["", "x", world.secrets.ingress_token(), foreign.usage_token(), &world.server.management_key];
            let refused = world.server.send_as(None, "POST", PATH, Body::from(body.clone())).await;
            assert_eq!(refused.error(401), "unauthorized");
            for token in tokens {
                assert_eq!(world.send_as(token, body.clone()).await, refused, "{token}");
            }
            // Nor is anything said to a stranger of what is wrong with the body, however long it is.
            assert_eq!(world.send_as("x", "no JSON").await, refused);
            assert_eq!(world.send_as("x", vec![b' '; BATCH_LIMIT + 1]).await, refused);
            assert_eq!(world.usage().await, (json!([]), json!([])));
            assert!(!world.metrics().await.contains("latchkey_usage_batches_total{"), "strangers count nothing");

            assert_eq!(world.server.get(PATH).await.error(405), "method_not_allowed");
            let old = EdgeSecrets::parse(OLD_SECRET).unwrap();
            world.send_as(old.usage_token(), body).await.expect(200);
        }

        async fn a_server_without_an_edge_has_no_such_route(db: Db) {
            let server = Server::new(db).await;
            assert_eq!(server.post(PATH, json!({})).await.error(404), "not_found");
        }

        async fn a_batch_that_cannot_be_read_is_refused_for_ever(db: Db) {
            let world = World::new(db).await;
            let changed = |pointer: &str, value: Value| {
                let mut batch = world.batch(1);
                *batch.pointer_mut(pointer).unwrap() = value;
                batch.to_string()
            };
            let (key, environment) = (&world.batch(1)["keys"][0], &world.batch(1)["environments"][0]);
            for (body, field) in [
                (String::new(), "body"),
                ("{".to_owned(), "body"),
                ("[]".to_owned(), "body"),
                ("{}".to_owned(), "sender"),
                (changed("/sender", json!("short")), "sender"),
                (changed("/sender", json!("x".repeat(23))), "sender"),
                (changed("/sender", json!("sender\u{0} with bad bytes")), "sender"),
                (changed("/number", json!(0)), "number"),
                (changed("/number", json!(u64::MAX)), "number"),
                (changed("/number", json!(-1)), "number"),
                (changed("/keys/0/digest", json!("x")), "keys.0.digest"),
                (changed("/keys/0/environment", json!("x")), "keys.0.environment"),
                (changed("/keys/0/counts/0/count", json!(-1)), "keys.0.counts.0.count"),
                (changed("/keys/0/counts/0/hour", json!("now")), "keys.0.counts.0.hour"),
                (changed("/keys/0/counts/0/outcome", json!("brilliant")), "keys.0.counts.0.outcome"),
                (changed("/environments/0/counts", json!(7)), "environments.0.counts"),
                (changed("/keys", json!(vec![key; KEYS_MAX + 1])), "keys"),
                (changed("/environments", json!(vec![environment; ENVIRONMENTS_MAX + 1])), "environments"),
            ] {
                assert_eq!(world.send(body.clone()).await.fields(), [field], "{}", body.get(..200).unwrap_or(&body));
            }
            assert_eq!(world.send(vec![0xff]).await.fields(), ["body"]);
            let long = format!("{}{}", world.batch(1), " ".repeat(BATCH_LIMIT));
            assert_eq!(world.send(long).await.error(413), "payload_too_large");
            assert_eq!(world.usage().await, (json!([]), json!([])));
            assert!(world.metrics().await.contains("latchkey_usage_batches_total{result=\"refused\"} 20\n"));
        }

        async fn a_batch_that_ends_early_is_not_refused_for_ever(db: Db) {
            let world = World::new(db).await;
            let half = world.batch(1).to_string().into_bytes().split_off(40);
            let broken = [Ok(half), Err(std::io::Error::other("broken off by the test"))];
            let reply = world.send(Body::from_stream(futures::stream::iter(broken))).await;
            assert_eq!(reply.error(408), "incomplete_body");
            world.send(world.batch(1).to_string()).await.expect(200);
        }

        async fn the_longest_batch_is_taken(db: Db) {
            let world = World::new(db).await;
            let counts = json!([{"hour": HOUR, "outcome": "valid", "count": 1}]);
            let key = |number: usize| json!({
                "environment": world.server.environment,
                "digest": Digest::of(&number.to_string()).to_string(),
                "last_used_at": START.as_millis(),
                "counts": counts,
            });
            let mut batch = world.batch(1);
            batch["keys"] = (0..KEYS_MAX).map(key).collect();
            let mut body = batch.to_string();
            body += &" ".repeat(BATCH_LIMIT - body.len());
            world.send(body).await.expect(200);
            assert_eq!(world.usage().await.1[0]["outcomes"], json!({"malformed": 4, "valid": KEYS_MAX}));
        }
    }
}
