//! A whole system: a database, the control plane on it, and the Worker before it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{
    database::Database,
    edge::{Edge, NAMESPACE},
    http::Client,
    latchkey::{Latchkey, Server, Tenant},
    ports,
};

/// A running system. It ends when it is dropped, from the first field to the last.
#[derive(Debug)]
pub struct Stack {
    /// The Worker and its KV.
    pub edge: Edge,
    /// The control plane.
    pub server: Server,
    /// The program, with the settings of this system.
    pub latchkey: Latchkey,
    /// What the control plane keeps its data in.
    pub database: Database,
}

/// A tenant of a running system.
#[derive(Debug)]
pub struct Caller {
    /// The tenant.
    pub tenant: Tenant,
    /// Asks the Worker, as the tenant's back end.
    pub edge: Client,
    /// Asks the control plane, as the tenant's back end.
    pub control_plane: Client,
}

impl Stack {
    /// Starts a system on this database, if the Worker can be run here.
    #[track_caller]
    #[must_use]
    pub fn start(database: Database) -> Option<Self> {
        let address = format!("127.0.0.1:{}", ports::free());
        let edge = Edge::start(&format!("http://{address}"))?;
        let latchkey = Latchkey::on(&database)
            .set("listen", &address)
            .set("edge_secret", &edge.secret)
            .set("edge_kv_url", &edge.kv_url())
            .set("edge_kv_namespace", NAMESPACE)
            .set("edge_url", &edge.url);
        let server = latchkey.serve();
        Some(Self { edge, server, latchkey, database })
    }

    /// The system on SQLite that the tests of a program share, each as a tenant of its own. It runs as long as one of
    /// them holds it.
    #[track_caller]
    #[must_use]
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = shared.upgrade() {
            return Some(stack);
        }
        let stack = Arc::new(Self::start(Database::sqlite())?);
        *shared = Arc::downgrade(&stack);
        Some(stack)
    }

    /// Makes a tenant.
    #[track_caller]
    #[must_use]
    pub fn caller(&self) -> Caller {
        let tenant = self.latchkey.create_tenant();
        let edge = self.edge.client.with_token(&tenant.management_key);
        let control_plane = self.server.client.with_token(&tenant.management_key);
        Caller { tenant, edge, control_plane }
    }
}
