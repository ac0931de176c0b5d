//! Webhooks, as receivers see them: real deliveries of the program `latchkey` to a receiver that records them.
//!
//! | module | what it tests |
//! | --- | --- |
//! | [`signatures`] | published verifiers accept every type of delivery, and refuse an altered one |
//! | [`responses`] | what an endpoint responds decides what is sent next |
//! | [`processes`] | `kill -9`, and two processes on one database |
//! | [`pace`] | dead endpoints do not slow down a healthy one |
//! | [`addresses`] | nothing is sent to private addresses |

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod addresses;
mod every_event;
mod pace;
mod processes;
mod responses;
mod signatures;

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    calls::text,
    crowd,
    database::Database,
    http::Client,
    latchkey::{ENCRYPTION_KEY, Latchkey, Server, Tenant},
};

/// How long anything but a load may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server that sends webhooks to this machine.
struct System {
    server: Server,
    latchkey: Latchkey,
    tenant: Tenant,
    database: Database,
}

/// A webhook endpoint.
struct Endpoint {
    id: String,
    secret: String,
}

impl System {
    fn start(database: Database) -> Self {
        let latchkey = Latchkey::on(&database)
            .set("encryption_key", ENCRYPTION_KEY)
            .set("webhook_private_networks", "127.0.0.0/8");
        let server = latchkey.serve();
        let tenant = latchkey.create_tenant();
        Self { server, latchkey, tenant, database }
    }

    fn client(&self) -> Client {
        self.server.client.with_token(&self.tenant.management_key)
    }

    /// Creates an endpoint that receives these types of events.
    #[track_caller]
    fn subscribe(&self, url: &str, events: &[&str]) -> Endpoint {
        subscribe(&self.client(), url, events)
    }

    /// Revokes so many keys with one request, by deleting their organization.
    #[track_caller]
    fn revoke_keys(&self, keys: usize) {
        let organization = crowd::add_organization(&self.database, &self.tenant, keys);
        let _ = self.client().delete(&format!("/organizations/{organization}")).expect(200);
    }

    /// Kills the server as `kill -9` does.
    fn kill(&mut self) {
        self.server.process.kill();
    }

    fn restart(&mut self) {
        self.server = self.latchkey.serve();
    }

    /// The deliveries of an endpoint, newest first.
    #[track_caller]
    fn deliveries(&self, endpoint: &Endpoint) -> Vec<Value> {
        let page = self.client().get(&format!("/webhook_endpoints/{}/deliveries?limit=100", endpoint.id)).expect(200);
        page["data"].as_array().expect("a list").clone()
    }

    /// A delivery with its attempts.
    #[track_caller]
    fn delivery(&self, id: &Value) -> Value {
        self.client().get(&format!("/webhook_deliveries/{}", id.as_str().expect("an id"))).expect(200)
    }
}

/// Creates an endpoint that receives these types of events.
#[track_caller]
fn subscribe(client: &Client, url: &str, events: &[&str]) -> Endpoint {
    let body = json!({"endpoint_url": url, "events": events});
    let created = client.post("/webhook_endpoints", &body).expect(201);
    Endpoint { id: text(&created, "id"), secret: text(&created, "secret") }
}
