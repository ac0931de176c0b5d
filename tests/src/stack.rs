//! A whole system: a database, the control plane on it, and the Worker before it.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use crate::{
    calls::Key,
    database::Database,
    edge::{Edge, NAMESPACE},
    http::Client,
    latchkey::{ENCRYPTION_KEY, Latchkey, Server, Tenant},
    ports,
    wait::{CONVERGENCE, eventually},
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
        Self::start_with(database, &[])
    }

    /// The same, with more settings of the control plane.
    #[track_caller]
    #[must_use]
    pub fn start_with(database: Database, settings: &[(&str, &str)]) -> Option<Self> {
        let address = format!("127.0.0.1:{}", ports::free());
        let edge = Edge::start(&format!("http://{address}"))?;
        let latchkey = Latchkey::on(&database)
            .set("listen", &address)
            .set("edge_secret", &edge.secret)
            .set("edge_kv_url", &edge.kv_url())
            .set("edge_kv_namespace", NAMESPACE)
            .set("edge_url", &edge.url)
            .set("encryption_key", ENCRYPTION_KEY);
        let latchkey = settings.iter().fold(latchkey, |latchkey, (name, value)| latchkey.set(name, value));
        let server = latchkey.serve();
        edge.until_open();
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

    /// Makes keys of one organization that the edge knows: three good ones and a revoked one. Nothing else is on its way.
    #[track_caller]
    #[must_use]
    pub fn settled_keys(&self, caller: &Caller) -> ([Key; 3], Key) {
        let organization = caller.control_plane.create_organization();
        let make = || caller.control_plane.create_key(&organization, &[]);
        let (good, revoked) = ([make(), make(), make()], make());
        caller.control_plane.revoke(&revoked);
        caller.edge.until_refused(&revoked, "revoked");
        for key in &good {
            caller.edge.until_valid(key);
        }
        self.until_published(CONVERGENCE);
        (good, revoked)
    }

    /// Waits until nothing is left to be published, and the edge's store is as the database says.
    #[track_caller]
    pub fn until_published(&self, patience: Duration) {
        eventually(patience, "`latchkey edge verify` finds everything in its place", || {
            let verified = self.latchkey.run(&["edge", "verify"]);
            let waiting = verified.stdout.lines().find_map(|line| line.strip_prefix("waiting to be published"));
            let is_done = verified.status.success() && waiting.is_some_and(|count| count.trim() == "0");
            if is_done { Ok(()) } else { Err(verified.stdout + &verified.stderr) }
        });
    }
}
