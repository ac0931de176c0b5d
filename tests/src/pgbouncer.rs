//! PgBouncer in transaction mode, in front of a Postgres server.

use std::{fs, net::TcpStream, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    cluster::{Cluster, as_postgres, give_to_postgres},
    parts, ports,
    process::Process,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running PgBouncer.
#[derive(Debug)]
pub struct PgBouncer {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one in front of this server, with one server connection that all clients share, if PgBouncer is installed.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn with_one_connection_to(cluster: &Cluster) -> Option<Self> {
        let program = parts::pgbouncer()?;
        let folder = tempfile::Builder::new().prefix("latchkey-pgbouncer-").tempdir().expect("a temporary folder");
        let port = ports::free();
        let file = |name: &str, content: &str| {
            let file = folder.path().join(name);
            fs::write(&file, content).expect("a file in our own folder");
            give_to_postgres(&file);
            file
        };
        let users = file("users", &format!("\"postgres\" \"{}\"\n", cluster.password()));
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 1\n\
             max_client_conn = 300\n",
            cluster.port(),
            users.display()
        );
        let configuration = file("pgbouncer.ini", &configuration);
        give_to_postgres(folder.path());
        let mut command = Command::new(program);
        command.current_dir(folder.path()).arg(configuration);
        as_postgres(&mut command);
        let mut process = Process::start("pgbouncer", &mut command);
        process.until(PATIENCE, "PgBouncer listens", |_| TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
        Some(Self { process, port, _folder: folder })
    }
}
