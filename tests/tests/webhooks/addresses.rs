//! Nothing is sent to private addresses, unless the operator allows their network. What is public, and what a URL may
//! look like, is tested beside `control_plane::webhooks`; here is the way from the API to the connection.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
};

use serde_json::json;
use tests::{database::Database, wait::eventually};

use super::{System, TIMEOUT};

#[test]
fn endpoint_at_a_private_address_is_refused_by_default() {
    let mut system = System::start(Database::sqlite());
    system.kill();
    system.latchkey = system.latchkey.but("webhook_private_networks", "");
    system.restart();
    for host in [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "hooks.localhost",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "10.0.0.1",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
    ] {
        for scheme in ["https", "http"] {
            let body = json!({"endpoint_url": format!("{scheme}://{host}/hooks"), "events": ["api_key.created"]});
            let refused = system.client().post("/webhook_endpoints", &body).expect(422);
            let errors = refused["errors"].as_array().expect("errors of fields");
            assert_eq!(errors.len(), 1, "{refused}");
            assert_eq!((&errors[0]["field"], &errors[0]["code"]), (&json!("endpoint_url"), &json!("invalid_url")));
        }
    }
    assert_eq!(system.client().get("/webhook_endpoints").expect(200)["data"], json!([]));
}

/// The endpoints are created while their network is allowed, as if their names resolved to other addresses then. Later
/// it is not. `localhost` is a name that resolves to 127.0.0.1 everywhere.
#[test]
fn delivery_to_a_private_address_is_refused_before_a_connection_is_opened() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let SocketAddr::V4(address) = listener.local_addr().expect("its address") else { unreachable!("it is IPv4") };
    let port = address.port();
    let mut system = System::start(Database::sqlite());
    let urls = ["http://127.0.0.1", "https://127.0.0.1", "http://localhost", "https://localhost"];
    let endpoints = urls.map(|url| system.subscribe(&format!("{url}:{port}/"), &["permission.created"]));
    system.kill();
    system.latchkey = system.latchkey.but("webhook_private_networks", "");
    system.restart();
    system.client().create_permission("posts:read");
    for (endpoint, url) in endpoints.iter().zip(urls) {
        let attempt = eventually(TIMEOUT, "an attempt was made", || {
            let [delivery] = &system.deliveries(endpoint)[..] else { return Err("no delivery") };
            system.delivery(&delivery["id"])["attempt_log"].get(0).cloned().ok_or("no attempt")
        });
        assert_eq!(attempt["failure"], "address_refused", "{url}: {attempt}");
    }
    listener.set_nonblocking(true).expect("a socket need not block");
    assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}
