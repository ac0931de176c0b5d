use std::net::SocketAddr;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use serde_json::json;
use shared::seal::{CLIENT_ADDRESS, EdgeSecrets, FORWARDING_TOKEN};

use super::*;
use crate::{
    config::Config,
    storage::{Db, testing::conformance},
    testing::server::*,
};

const SECRET: &str = "a secret of the tests and of no use to anybody";

/// A server with an edge that lets a key and an address ask so often.
async fn server(db: Db, of_key: u32, of_address: u32) -> Server {
    let mut config = Config::defaults();
    (config.requests_per_second_of_key, config.requests_per_second_of_address) = (of_key, of_address);
    config.edge_kv_url = "http://127.0.0.1:1".to_owned();
    config.edge_kv_namespace = "keys".to_owned();
    config.edge_url = "http://127.0.0.1:2".to_owned();
    config.edge_secret = SECRET.to_owned().into();
    Server::limited(db, &config).await
}

/// Asks from an address, and says how that was answered and after how many seconds to ask again.
async fn ask(server: &Server, path: &str, from: &str, headers: &[(&str, &str)]) -> (u16, Option<String>) {
    let from: SocketAddr = from.parse().unwrap();
    let authorization = format!("Bearer {}", server.management_key);
    let request = Request::get(path).header(header::AUTHORIZATION, authorization).extension(ConnectInfo(from));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let (headers, reply) = server.ask(request.body(Body::empty()).unwrap()).await;
    if reply.status == 429 {
        assert!(["rate_limited", "too_many_requests_in_progress"].contains(&reply.error(429).as_str()), "{reply:?}");
    }
    (reply.status, retry_after(&headers))
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
}

const HERE: &str = "192.0.2.1:1";
const THERE: &str = "192.0.2.2:1";

conformance! {
    async fn a_key_may_ask_so_often_and_another_is_not_hindered(db: Db) {
        let server = server(db, 1, 0).await;
        let other = server.of_environment(&server.environment).await;
        for _ in 0..10 {
            assert_eq!(ask(&server, "/organizations", HERE, &[]).await, (200, None));
        }
        let wait = Some("1".to_owned());
        assert_eq!(ask(&server, "/organizations", THERE, &[]).await, (429, wait.clone()), "from wherever it asks");
        let (headers, reply) = server.post_with("x", "y", "/organizations", &json!({"name": "Acme"})).await;
        assert_eq!((reply.error(429).as_str(), retry_after(&headers)), ("rate_limited", wait));
        assert_eq!(ask(&other, "/organizations", HERE, &[]).await, (200, None));
        server.advance(1000);
        assert_eq!(ask(&server, "/organizations", HERE, &[]).await.0, 200);
        assert_eq!(ask(&server, "/organizations", HERE, &[]).await.0, 429);
        assert!(server.get("/health").await.status == 200);
    }

    async fn an_address_may_ask_so_often_and_another_is_not_hindered(db: Db) {
        let server = server(db, 0, 2).await;
        for _ in 0..20 {
            assert_eq!(ask(&server, "/organizations", HERE, &[]).await, (200, None));
        }
        assert_eq!(ask(&server, "/organizations", "192.0.2.1:2", &[]).await.0, 429, "whatever its port");
        assert_eq!(ask(&server, "/nowhere", HERE, &[("authorization", "")]).await.0, 429, "whoever it is");
        assert_eq!(ask(&server, "/organizations", THERE, &[]).await.0, 200);
        // Metrics are for this machine alone.
        for (exempt, status) in [("/health", 200), ("/ready", 200), ("/metrics", 403)] {
            assert_eq!(ask(&server, exempt, HERE, &[]).await.0, status, "{exempt}");
        }
        let usage = ask(&server, shared::usage::PATH, HERE, &[]).await.0;
        assert!(usage != 429 && usage != 404, "the Worker's own requests are exempt, not {usage}");
        assert_eq!(ask(&server, "/_edge/nothing", HERE, &[]).await.0, 429, "no other path of theirs is");
        server.advance(499);
        assert_eq!(ask(&server, "/organizations", HERE, &[]).await.0, 429);
        server.advance(1);
        assert_eq!(ask(&server, "/organizations", HERE, &[]).await.0, 200);
    }

    async fn behind_the_worker_each_client_has_its_own(db: Db) {
        let server = server(db, 0, 1).await;
        let secrets = EdgeSecrets::parse(SECRET).unwrap();
        let token = (FORWARDING_TOKEN, secrets.forwarding_token());
        for client in ["198.51.100.1", "198.51.100.2", "2001:db8::1"] {
            for _ in 0..10 {
                assert_eq!(ask(&server, "/organizations", HERE, &[token, (CLIENT_ADDRESS, client)]).await.0, 200);
            }
            assert_eq!(ask(&server, "/organizations", HERE, &[token, (CLIENT_ADDRESS, client)]).await.0, 429);
        }
        assert_eq!(ask(&server, "/organizations", HERE, &[token, (CLIENT_ADDRESS, "2001:db8::2")]).await.0, 429);
        for client in 0..10 {
            let claim = format!("203.0.113.{client}");
            assert_eq!(ask(&server, "/organizations", HERE, &[(CLIENT_ADDRESS, &claim)]).await.0, 200);
        }
        assert_eq!(ask(&server, "/organizations", HERE, &[(CLIENT_ADDRESS, "203.0.113.99")]).await.0, 429, "anybody can claim that");
    }

    async fn a_large_upload_is_told_as_well(db: Db) {
        let server = server(db, 0, 1).await;
        for status in [[413; 10].as_slice(), &[429]].concat() {
            let request = Request::post("/organizations").extension(ConnectInfo::<SocketAddr>(HERE.parse().unwrap()));
            let request = request.header(header::AUTHORIZATION, format!("Bearer {}", server.management_key));
            let reply = server.ask(request.body(Body::from(vec![b' '; 1_000_000])).unwrap()).await.1;
            assert_eq!(reply.status, status);
        }
    }
}
