//! A whole Latchkey: several isolates in plain workerd, one change feed, the real control plane, and a KV that can be stale.

use std::time::Duration;

use serde_json::json;

use crate::{
    calls,
    database::Database,
    http::Client,
    latchkey::{Latchkey, Server, Tenant},
    ports,
    stale_kv::StaleKv,
    wait::eventually,
    workerd::{Plan, Workerd},
};

/// How long recovery may take on a busy machine. It takes a few seconds.
pub const RECOVERY: Duration = Duration::from_secs(60);

/// All that runs.
#[derive(Debug)]
pub struct Fleet {
    /// What plays KV.
    pub kv: StaleKv,
    /// The isolates.
    pub workerd: Workerd,
    /// The control plane.
    pub server: Server,
    /// The same program, for commands and further starts.
    pub latchkey: Latchkey,
    /// Another control plane on the same database, if there is one.
    pub other: Option<(Server, Latchkey)>,
    /// Whoever asks.
    pub tenant: Tenant,
    _database: Database,
}

impl Fleet {
    /// Starts it, if workerd is there, and waits until every isolate answers.
    ///
    /// # Panics
    /// If something does not start.
    #[must_use]
    pub fn start(isolates: usize, database: Database) -> Option<Self> {
        let kv = StaleKv::start();
        let address = format!("127.0.0.1:{}", ports::free());
        let control_plane = format!("http://{address}");
        let plan = Plan { isolates, kv_port: kv.port, control_plane: &control_plane, lease_ms: 2_000, proxied: false };
        let workerd = Workerd::start(plan)?;
        let latchkey = Latchkey::on(&database)
            .set("listen", &address)
            .set("edge_secret", &workerd.secret)
            .set("edge_kv_url", &kv.url())
            .set("edge_kv_namespace", "keys")
            .set("edge_url", &workerd.urls[0]);
        let server = latchkey.serve();
        let tenant = latchkey.create_tenant();
        let fleet = Self { kv, workerd, server, latchkey, other: None, tenant, _database: database };
        fleet.until_every_isolate_answers();
        Some(fleet)
    }

    /// Starts another control plane on the same database.
    #[must_use]
    pub fn with_another(mut self) -> Self {
        let latchkey = self.latchkey.but("listen", "127.0.0.1:0");
        self.other = Some((latchkey.serve(), latchkey));
        self
    }

    /// Asks an isolate, as the tenant's back end.
    #[must_use]
    pub fn isolate(&self, number: usize) -> Client {
        self.workerd.isolate(number).with_token(&self.tenant.management_key)
    }

    /// Asks the control plane, as the tenant's back end.
    #[must_use]
    pub fn control_plane(&self) -> Client {
        self.server.client.with_token(&self.tenant.management_key)
    }

    /// Asks the control planes, in turn.
    #[must_use]
    pub fn some_control_plane(&self, round: usize) -> Client {
        match &self.other {
            Some((other, _)) if round.is_multiple_of(2) => other.client.with_token(&self.tenant.management_key),
            _ => self.control_plane(),
        }
    }

    /// Waits until the feed is open, and the caller's own key known.
    #[track_caller]
    pub fn until_every_isolate_answers(&self) {
        let nobodys = json!({ "value": calls::a_key_that_was_never_made(1) }).to_string();
        for number in 0..self.workerd.urls.len() {
            eventually(RECOVERY, "an isolate decides", || {
                match self.isolate(number).try_send("POST", "/api_keys/validations", Some(nobodys.as_bytes())) {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    Ok(answer) => Err(answer.text),
                    Err(error) => Err(error.to_string()),
                }
            });
        }
    }
}
