//! The program `latchkey`: its commands, and its server.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use serde_json::Value;
use shared::digest::{Digest, KvKey};
use tempfile::TempDir;

use crate::{calls::text, database::Database, http::Client, parts, process::Process};

/// How long any command, or the start of the server, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An encryption key, for databases of Postgres. Beside one of SQLite, the server creates a key in a file.
pub const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The program with its settings, in a folder of its own.
#[derive(Debug)]
pub struct Latchkey {
    program: PathBuf,
    folder: TempDir,
    settings: Vec<(String, String)>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its results.
    pub stdout: String,
    /// Its logs and progress.
    pub stderr: String,
}

/// An environment and the management key that was made with it.
#[derive(Debug)]
pub struct Tenant {
    /// The id of the environment.
    pub environment: String,
    /// The id of the management key.
    pub management_key_id: String,
    /// Its text.
    pub management_key: String,
}

impl Tenant {
    /// Where KV holds the record of a key of this environment.
    ///
    /// # Panics
    /// Never: the environment has an id.
    #[must_use]
    pub fn place_of(&self, value: &str) -> KvKey {
        let environment = self.environment.parse().expect("the id of an environment");
        KvKey::api_key(&environment, &Digest::of(value))
    }
}

impl Latchkey {
    /// With no settings at all.
    ///
    /// # Panics
    /// If there is no room for its folder.
    #[must_use]
    pub fn without_settings() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { program: parts::latchkey(), folder, settings: vec![] }
    }

    /// On this database, listening wherever there is room. Tests ask more often than anybody may, and there is no load balancer
    /// to wait for.
    #[must_use]
    pub fn on(database: &Database) -> Self {
        Self::without_settings()
            .set("database_url", &database.url())
            .set("listen", "127.0.0.1:0")
            .set("requests_per_second_of_key", "0")
            .set("requests_per_second_of_address", "0")
            .set("requests_in_progress_of_key", "0")
            .set("requests_in_progress_of_address", "0")
            .set("drain_seconds", "0")
    }

    /// Another build of the program.
    #[must_use]
    pub fn built_as(self, program: &Path) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// With a setting, whatever it was before.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((format!("LATCHKEY_{}", name.to_uppercase()), value.to_owned()));
        self
    }

    /// With a variable of the environment that is no setting.
    #[must_use]
    pub fn in_environment(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same program in another folder, with one setting changed.
    #[must_use]
    pub fn but(&self, name: &str, value: &str) -> Self {
        let (program, settings) = (self.program.clone(), self.settings.clone());
        Self { program, settings, ..Self::without_settings() }.set(name, value)
    }

    /// The folder that it runs in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.folder.path()).args(arguments);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LATCHKEY_")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a command.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&format!("latchkey {}", arguments.join(" ")), &mut self.command(arguments))
    }

    /// Runs a command to its end.
    #[track_caller]
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.start(arguments), PATIENCE)
    }

    /// Runs a command that prints JSON.
    ///
    /// # Panics
    /// If it fails, or prints something else.
    #[track_caller]
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let stdout = self.run(arguments).success();
        serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("not JSON: {stdout}"))
    }

    /// Makes an environment and a management key that may do everything there.
    #[track_caller]
    #[must_use]
    pub fn create_tenant(&self) -> Tenant {
        let environment = text(&self.json(&["environments", "create", "Test", "--json"]), "id");
        let (management_key_id, management_key) = self.create_management_key(&environment, &["*"]);
        Tenant { environment, management_key_id, management_key }
    }

    /// Makes a management key with these scopes, and returns its id and its text.
    #[track_caller]
    #[must_use]
    pub fn create_management_key(&self, environment: &str, scopes: &[&str]) -> (String, String) {
        let mut arguments = vec!["management-keys", "create", "--environment", environment, "--name", "Test", "--json"];
        arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let key = self.json(&arguments);
        (text(&key, "id"), text(&key, "value"))
    }

    /// Starts the server, and waits until it accepts connections.
    #[track_caller]
    #[must_use]
    pub fn serve(&self) -> Server {
        let mut process = self.start(&["serve"]);
        let url = process.until(PATIENCE, "latchkey listens", |process| {
            let stdout = process.stdout();
            let (_, url) = stdout.split_once("Latchkey is listening on ")?;
            url.split_once('\n').map(|(url, _)| url.to_owned())
        });
        let client = Client::new(&url);
        Server { process, url, client }
    }
}

impl Finished {
    /// Waits for a command to end by itself.
    #[track_caller]
    #[must_use]
    pub fn of(mut process: Process, patience: Duration) -> Self {
        let status = process.wait(patience);
        Self { status, stdout: process.stdout(), stderr: process.stderr() }
    }

    /// What a command printed that succeeded.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    #[must_use]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }

    /// What a command complained of that failed as commands do: with 1, and an `error:`.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    #[must_use]
    pub fn failure(self) -> String {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        assert!(self.stderr.contains("error: "), "{self:?}");
        self.stderr
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Process,
    /// Where it answers.
    pub url: String,
    /// Asks it, without saying who asks.
    pub client: Client,
}

impl Server {
    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// If it does not stop in good order.
    #[track_caller]
    pub fn stop(&mut self) {
        self.process.signal(crate::process::Signal::SIGTERM);
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "{status}: {:?}", self.process);
    }
}
