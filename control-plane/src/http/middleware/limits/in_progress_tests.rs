//! Requests are kept in progress by a lock in the database that they wait for, or by a body that does not end.

use std::{future::Future, pin::pin, time::Duration};

use axum::{body::Body, http::header};
use futures::{future::join_all, poll, stream};
use serde_json::json;
use shared::digest::Digest;
use std::net::IpAddr;

use super::*;
use crate::{
    config::Config,
    limits::in_progress::InProgress,
    storage::{Db, organizations, testing::conformance},
    testing::server::*,
};

const HERE: &str = "192.0.2.1:1";
const THERE: &str = "192.0.2.2:1";
/// Long enough for a busy machine. It only ends a test that would otherwise never end.
const TIMEOUT: Duration = Duration::from_secs(60);

async fn server(db: Db, of_key: usize, of_address: usize) -> Server {
    let mut config = Config::defaults();
    (config.requests_in_progress_of_key, config.requests_in_progress_of_address) = (of_key, of_address);
    Server::limited(db, &config).await
}

/// Polls requests until so many are in progress, which none of them leaves meanwhile.
async fn poll_until<T: std::fmt::Debug>(
    requests: &mut (impl Future<Output = T> + Unpin),
    is_reached: impl Fn() -> bool,
) {
    let reached = async {
        while !is_reached() {
            let polled = poll!(&mut *requests);
            assert!(polled.is_pending(), "the requests wait: {polled:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, reached).await.expect("the requests are in progress");
}

fn of_keys(server: &Server) -> &InProgress<Digest> {
    server.state.limits.of_keys()
}

fn of_addresses(server: &Server) -> &InProgress<IpAddr> {
    server.state.limits.of_addresses()
}

fn request(server: &Server, from: &str, body: Body) -> Request {
    let from: SocketAddr = from.parse().unwrap();
    let authorization = format!("Bearer {}", server.management_key);
    let request = Request::post("/organizations").extension(ConnectInfo(from));
    request.header(header::AUTHORIZATION, authorization).body(body).unwrap()
}

fn endless() -> Body {
    Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>())
}

conformance! {
    async fn key_with_too_many_requests_in_progress_gets_429_and_others_are_served(db: Db) {
        let server = server(db.clone(), 3, 0).await;
        let other = server.of_another_environment().await;
        let id = server.organization().await;
        let path = format!("/organizations/{id}");
        let mut lock = db.write().await.unwrap();
        organizations::lock(lock.conn(), &server.environment, &id.parse().unwrap()).await.unwrap();

        let mut waiting = pin!(join_all((0..3).map(|_| server.put(&path, json!({"name": "New"})))));
        poll_until(&mut waiting, || of_keys(&server).requests() == 3).await;
        let (headers, reply) = server.post_with("x", "y", "/organizations", &json!({"name": "Acme"})).await;
        assert_eq!(reply.error(429), "too_many_requests_in_progress");
        assert_eq!(headers[header::RETRY_AFTER], "1");
        assert_eq!(server.get(&path).await.status, 429, "whatever it asks");
        other.get("/organizations").await.expect(200);
        for exempt in ["/health", "/ready", "/metrics"] {
            assert_eq!(server.get(exempt).await.status, 200, "{exempt}");
        }

        drop(lock);
        for reply in waiting.await {
            reply.expect(200);
        }
        assert_eq!(of_keys(&server).callers(), 0);
        server.get(&path).await.expect(200);
    }

    async fn key_whose_clients_disconnect_gets_its_share_back(db: Db) {
        let server = server(db.clone(), 2, 0).await;
        let id = server.organization().await;
        let path = format!("/organizations/{id}");
        let mut lock = db.write().await.unwrap();
        organizations::lock(lock.conn(), &server.environment, &id.parse().unwrap()).await.unwrap();
        let mut waiting = Box::pin(join_all((0..2).map(|_| server.put(&path, json!({"name": "New"})))));
        poll_until(&mut waiting, || of_keys(&server).requests() == 2).await;
        assert_eq!(server.get(&path).await.status, 429);
        drop(waiting);
        assert_eq!(of_keys(&server).callers(), 0);
        drop(lock);
        server.get(&path).await.expect(200);
    }

    async fn key_that_is_refused_holds_no_share_afterwards(db: Db) {
        let server = server(db, 1, 1).await;
        let unscoped = server.with_scopes(&["users:read"]).await;
        for _ in 0..3 {
            unscoped.get("/organizations").await.expect(403);
            server.send_as(Some("Bearer garbage"), "GET", "/organizations", Body::empty()).await.expect(401);
            server.get("/organizations").await.expect(200);
        }
        assert_eq!((of_keys(&server).callers(), of_addresses(&server).callers()), (0, 0));
    }

    async fn address_with_too_many_requests_in_progress_gets_429_and_others_are_served(db: Db) {
        let server = server(db, 0, 2).await;
        let mut waiting = Box::pin(join_all((0..2).map(|_| server.ask(request(&server, HERE, endless())))));
        poll_until(&mut waiting, || of_addresses(&server).requests() == 2).await;
        let named = || Body::from(r#"{"name": "Acme"}"#);
        let (headers, reply) = server.ask(request(&server, HERE, named())).await;
        assert_eq!(reply.error(429), "too_many_requests_in_progress");
        assert_eq!(headers[header::RETRY_AFTER], "1");
        server.ask(request(&server, THERE, named())).await.1.expect(201);
        drop(waiting);
        assert_eq!(of_addresses(&server).callers(), 0);
        server.ask(request(&server, HERE, named())).await.1.expect(201);
    }
}
