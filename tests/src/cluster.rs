//! A Postgres server of a test's own, which it can stop, break and start again. Other tests share the server that
//! [`crate::database`] uses.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    parts, ports,
    process::{Process, Signal},
    session::Session,
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that survives being killed with everything it has acknowledged: `fsync` is only needed when a machine loses
/// power, but `synchronous_commit` must be on.
const SETTINGS: [&str; 5] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "synchronous_commit=on",
    "max_connections=300",
];

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It ends all sessions and writes a checkpoint.
    Fast,
    /// It ends at once and recovers at its next start, as after a crash.
    Immediate,
}

/// A Postgres server.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the server ends before its files go.
    server: Option<Process>,
    folder: TempDir,
    programs: PathBuf,
    password: String,
    port: u16,
    settings: Vec<String>,
}

impl Cluster {
    /// Creates a server that is not running, if Postgres is installed.
    ///
    /// # Panics
    /// If it cannot be created.
    #[must_use]
    pub fn create() -> Option<Self> {
        let programs = parts::postgres_programs()?;
        let folder = tempfile::Builder::new().prefix("latchkey-cluster-").tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("our own folder");
        give_to_postgres(folder.path());
        let password = format!("{:016x}", crate::unique());
        let cluster = Self { server: None, folder, programs, password, port: ports::free(), settings: vec![] };
        let password_file = cluster.put_file("password", cluster.password.as_bytes());
        let mut initdb = cluster.command("initdb");
        initdb.args(["--username=postgres", "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg("--pwfile").arg(password_file).arg("-D").arg(cluster.data());
        let mut process = Process::start("initdb", &mut initdb);
        let status = process.wait(PATIENCE);
        assert!(status.success(), "{process:?}");
        Some(cluster)
    }

    /// Creates a server and starts it, if Postgres is installed.
    #[must_use]
    pub fn started() -> Option<Self> {
        let mut cluster = Self::create()?;
        cluster.start();
        Some(cluster)
    }

    /// Passes a setting to the server at its next start.
    #[must_use]
    pub fn with_setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Writes a file that only the server and its superuser can read.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn put_file(&self, name: &str, content: &[u8]) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, content).expect("a file in our own folder");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our own file");
        give_to_postgres(&file);
        file
    }

    /// Starts the server and waits until it accepts connections.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for setting in SETTINGS.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let mut process = Process::start("postgres", &mut command);
        let status_file = self.data().join("postmaster.pid");
        process.until(PATIENCE, "Postgres is ready", |process| {
            // The file of a server that was killed is still there, so its first line counts too.
            let text = fs::read_to_string(&status_file).unwrap_or_default();
            let mut lines = text.lines();
            let is_of_this_one = lines.next() == Some(process.id().to_string().as_str());
            (is_of_this_one && lines.nth(6).is_some_and(|line| line.trim() == "ready")).then_some(())
        });
        self.server = Some(process);
    }

    /// Stops the server and waits until it has ended.
    ///
    /// # Panics
    /// If it does not run, or does not end.
    #[track_caller]
    pub fn stop(&mut self, shutdown: Shutdown) {
        let mut server = self.server.take().expect("the server runs");
        // Sessions lead process groups of their own, so only the server itself receives this.
        server.signal(match shutdown {
            Shutdown::Fast => Signal::SIGINT,
            Shutdown::Immediate => Signal::SIGQUIT,
        });
        let _ = server.wait(PATIENCE);
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of its superuser `postgres`.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Where its superuser connects to the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The same through a proxy or a pooler on this port.
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", self.password)
    }

    /// A connection of its superuser.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    #[must_use]
    pub fn session(&self) -> Session {
        Session::connect(&self.url()).expect("the server accepts connections")
    }

    /// Changes a setting of the running server, for its open sessions too, and waits until new ones have it.
    ///
    /// # Panics
    /// If it does not take effect.
    #[track_caller]
    pub fn reload_with(&self, setting: &str, value: &str) {
        let mut session = self.session();
        // Each statement by itself: several at once would be a transaction, in which this is not allowed.
        session.execute(&format!("ALTER SYSTEM SET {setting} = {value}"));
        session.execute("SELECT pg_reload_conf()");
        eventually(PATIENCE, "a setting takes effect", || {
            let is_set = format!("SELECT (current_setting('{setting}') = '{value}')::int::bigint");
            if self.session().number(&is_set) == 1 { Ok(()) } else { Err("it has not") }
        });
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        as_postgres(&mut command);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() && !std::thread::panicking() {
            self.stop(Shutdown::Immediate);
        }
    }
}

/// The user and the group that Postgres and PgBouncer run as when we are root, which both refuse to be.
fn postgres_owner() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().expect("there is `id`");
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    Some((id(&["-u", "postgres"]).expect("there is a user `postgres`"), id(&["-g", "postgres"]).expect("and a group")))
}

/// Runs a command as the user of Postgres, if we are root.
pub(crate) fn as_postgres(command: &mut Command) {
    if let Some((user, group)) = postgres_owner() {
        command.uid(user).gid(group);
    }
}

/// Makes the user of Postgres the owner of a file, if we are root.
pub(crate) fn give_to_postgres(file: &Path) {
    if let Some((user, group)) = postgres_owner() {
        chown(file, Some(user), Some(group)).expect("root changes owners");
    }
}
