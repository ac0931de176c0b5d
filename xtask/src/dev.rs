//! `cargo xtask dev`: runs all of Latchkey on this machine, with demo data.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    build_edge, cargo,
    data_dir::DataDir,
    demo::{self, Demo},
    ports,
    progress::{self, step},
    services,
    system::System,
    tools,
};

/// Run all of Latchkey on this machine, with demo data, until Ctrl-C.
///
/// Builds and starts the control plane (on SQLite) and the Worker (in `wrangler dev`), and prints URLs, a management
/// key and three curl commands to try. The first run installs what is missing, which takes a few minutes. Logs are in
/// `logs/` of the data directory; to start over, delete the data directory. All ports are on 127.0.0.1 only.
#[derive(clap::Args)]
pub struct Arguments {
    /// When everything is ready, print one line of JSON instead of text.
    #[arg(long)]
    json: bool,
    /// The port of the control plane; 0 for any free port.
    #[arg(long, value_name = "PORT", default_value_t = 8787)]
    control_plane_port: u16,
    /// The port of the Worker; 0 for any free port.
    #[arg(long, value_name = "PORT", default_value_t = 8788)]
    edge_port: u16,
    /// The directory for the database, secrets and logs. Each concurrent run needs its own.
    #[arg(long, value_name = "DIR", default_value = ".latchkey")]
    data_dir: PathBuf,
    /// The database, such as `postgres://…`. Default: SQLite in the data directory.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Also print the logs of the control plane and the Worker to stderr.
    #[arg(long)]
    verbose: bool,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let data = DataDir::open(&arguments.data_dir)?;
    let control_plane_port = ports::reserve(arguments.control_plane_port, "--control-plane-port")?;
    let edge_port = ports::reserve(arguments.edge_port, "--edge-port")?;
    let program = prepare()?;

    let edge_is_new = !data.edge_state().exists();
    let system = System {
        database_url: arguments.database_url.clone().unwrap_or_else(|| data.database_url()),
        data,
        program,
        control_plane_port: control_plane_port.release(),
        edge_port: edge_port.release(),
    };
    step("Creating the database", || system.latchkey(&["migrate"]).map(drop))?;
    let environment = demo::environment(&system)?;
    let edge = system.start_edge(arguments.verbose)?;
    let mut services = [system.start_control_plane(arguments.verbose)?, edge];
    step("Starting the control plane and the Worker", || system.wait_for_health(&mut services))?;
    let demo = step("Creating demo data", || demo::create(&system, environment, edge_is_new, &mut services));
    // If a service died meanwhile, that is the news, rather than the request that failed for it.
    services::check(&mut services)?;
    announce(&system, &demo?, arguments.json);

    services::watch(&mut services)?;
    progress::say("Stopping.");
    Ok(())
}

/// Installs what is missing, builds everything, and returns the path of the program `latchkey`.
fn prepare() -> Result<PathBuf> {
    if let Some(missing) = tools::missing_node()? {
        bail!(missing);
    }
    step("Building the Worker", || build_edge::build(&build_edge::EDGE_VALIDATOR))?;
    step("Building the control plane", cargo::build_latchkey)
}

fn announce(system: &System, demo: &Demo, as_json: bool) {
    let (control_plane, edge) = (system.control_plane_url(), system.edge_url());
    let Demo { management_key, environment_id, organization_id, api_key, api_key_id } = demo;
    if as_json {
        let line = json!({
            "control_plane_url": control_plane,
            "edge_url": edge,
            "management_key": management_key,
            "environment_id": environment_id,
            "organization_id": organization_id,
            "api_key": api_key,
            "api_key_id": api_key_id,
        });
        println!("{line}");
        return;
    }
    let data = system.data.path().display();
    println!(
        r#"
Latchkey is running.

  For clients      {edge}   (the Worker, which forwards other requests to the control plane)
  Control plane    {control_plane}
  Management key   {management_key}
  Demo key         {api_key}
  Data and logs    {data}

Create a key:
  curl -s {edge}/organizations/{organization_id}/api_keys -H 'Authorization: Bearer {management_key}' -H 'Content-Type: application/json' -d '{{"name": "My first key", "permissions": ["posts:read"]}}'

Validate the demo key at the edge:
  curl -s {edge}/api_keys/validations -H 'Authorization: Bearer {management_key}' -H 'Content-Type: application/json' -d '{{"value": "{api_key}"}}'

Revoke it. The command above then returns `"api_key": null`:
  curl -s -X DELETE {edge}/api_keys/{api_key_id} -H 'Authorization: Bearer {management_key}'

Press Ctrl-C to stop everything."#
    );
}
