//! A temporary Postgres server, deleted when it is dropped.

use std::{
    env, fs,
    io::Write,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    cargo, children, ports, random,
    services::{self, Plan, Service},
};

/// How to get Postgres where it is missing.
pub const ADVICE: &str =
    "initdb is not in PATH or /usr/lib/postgresql; `apt-get install postgresql` or `brew install postgresql`";

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster. The fields are dropped in this order: the server ends before its files go.
pub struct Cluster {
    _server: [Service; 1],
    _folder: TempDir,
    /// Where its superuser connects.
    pub url: String,
}

/// The folder of Postgres' programs, if they are installed. Debian keeps the servers' out of PATH, by version.
pub fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

impl Cluster {
    /// Creates a cluster on a free port, and waits until it can be used.
    pub fn start(programs: &Path) -> Result<Cluster> {
        let folder = tempfile::Builder::new().prefix("latchkey-postgres-").tempdir()?;
        let owner = owner()?;
        let password = random::secret()?;
        let data = create(programs, folder.path(), owner, &password)?;

        let port = ports::any()?.release();
        let mut command = as_owner(programs.join("postgres"), folder.path(), owner)?;
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let plan = Plan {
            name: "Postgres",
            // "Immediate shutdown": nobody will want the data again, and it does not wait for clients.
            stop_with: Signal::SIGQUIT,
            log: folder.path().join("log"),
            verbose: false,
            dead_when: None,
        };
        let server = Service::start(plan, &mut command)?;
        let mut services = [server];
        let status = data.join("postmaster.pid");
        services::wait_until("waiting for Postgres to start", START_LIMIT, &mut services, || {
            // The last line of this file is how `pg_ctl` knows as well.
            let text = fs::read_to_string(&status).unwrap_or_default();
            text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        })?;
        let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
        Ok(Cluster { _server: services, _folder: folder, url })
    }
}

/// Reachable on the loopback interface alone; fast rather than durable.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "max_connections=300",
];

/// Runs `initdb`, and returns the folder of the data.
fn create(programs: &Path, folder: &Path, owner: Option<Owner>, password: &str) -> Result<PathBuf> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let (data, password_file) = (folder.join("data"), folder.join("password"));
    fs::File::create(&password_file)?.write_all(password.as_bytes())?;
    if let Some(Owner { user, group }) = owner {
        chown(folder, Some(user), Some(group))?;
        chown(&password_file, Some(user), Some(group))?;
    }
    let mut command = as_owner(programs.join("initdb"), folder, owner)?;
    // A password although it is on the loopback interface: whoever else is on this machine must not become our superuser.
    // In plain text, because the usual hashing costs a tenth of a second at each connection of a debug build.
    command.args(["--username=postgres", "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    command.arg("--pwfile").arg(&password_file).arg("-D").arg(&data);
    children::capture("initdb", &mut command)?;
    Ok(data)
}

/// Whom Postgres runs as, when not as ourselves.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

/// Postgres refuses to run as root; then it runs as the user that its package created.
fn owner() -> Result<Option<Owner>> {
    let id = |arguments: &[&str]| -> Result<u32> {
        let text = children::capture("id", cargo::command("id")?.args(arguments))?;
        text.trim().parse().with_context(|| format!("`id` printed {text:?}"))
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    let (Ok(user), Ok(group)) = (id(&["-u", "postgres"]), id(&["-g", "postgres"])) else {
        bail!(
            "Postgres refuses to run as root, and there is no user `postgres`; create it with `useradd --system postgres`"
        );
    };
    Ok(Some(Owner { user, group }))
}

fn as_owner(program: PathBuf, folder: &Path, owner: Option<Owner>) -> Result<Command> {
    let mut command = cargo::command(program)?;
    command.current_dir(folder);
    if let Some(Owner { user, group }) = owner {
        command.uid(user).gid(group);
    }
    Ok(command)
}
