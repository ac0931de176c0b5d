//! The demo data of `cargo xtask dev`.
//!
//! A restart reuses the environment and the organization. It creates new keys and revokes the earlier ones, because
//! Latchkey stores no key in plain text, so the earlier ones cannot be shown again.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    http::Client,
    services::{self, Service},
    system::System,
};

const ENVIRONMENT: &str = "Development";
const MANAGEMENT_KEY: &str = "cargo xtask dev";
const ORGANIZATION: &str = "demo";
const API_KEY: &str = "Demo key";
const PERMISSIONS: [(&str, &str); 2] = [("posts:read", "Read posts"), ("posts:write", "Write posts")];
/// More pages than any demo has.
const MOST_PAGES: usize = 100;
const AT_THE_EDGE_LIMIT: Duration = Duration::from_secs(60);

/// The ids and texts that are shown.
pub struct Demo {
    pub management_key: String,
    pub environment_id: String,
    pub organization_id: String,
    pub api_key: String,
    pub api_key_id: String,
}

/// The environment, and whether an earlier run made it.
pub struct Environment {
    id: String,
    is_old: bool,
}

/// Finds or creates the environment. Done before the server starts, which creates one of its own in an empty database.
pub fn environment(system: &System) -> Result<Environment> {
    let known = system.latchkey(&["environments", "list", "--json"])?;
    if let Some(environment) = items(&known).find(|environment| environment["name"] == ENVIRONMENT) {
        return Ok(Environment { id: text(environment, "id")?, is_old: true });
    }
    let created = system.latchkey(&["environments", "create", ENVIRONMENT, "--json"])?;
    Ok(Environment { id: text(&created, "id")?, is_old: false })
}

/// Creates everything else, through the Worker as clients do, and waits until the Worker accepts the demo key.
pub fn create(system: &System, environment: Environment, edge_is_new: bool, services: &mut [Service]) -> Result<Demo> {
    if environment.is_old && edge_is_new {
        // The database is older than this data folder, so its keys are not in the local KV yet.
        system.sync_edge()?;
    }
    let management_key = management_key(system, &environment.id)?;
    let client = Client::new(&system.edge_url(), &management_key);
    create_permissions(&client)?;
    let organization_id = organization(&client)?;
    let (api_key_id, api_key) = api_key(&client, &organization_id)?;

    let what = "waiting for the demo key at the edge";
    services::wait_until(what, AT_THE_EDGE_LIMIT, services, || {
        let answer = client.post("/api_keys/validations", &json!({ "value": api_key }));
        answer.is_ok_and(|answer| answer.body["api_key"].is_object())
    })?;
    Ok(Demo { management_key, environment_id: environment.id, organization_id, api_key, api_key_id })
}

fn management_key(system: &System, environment: &str) -> Result<String> {
    let known = system.latchkey(&["management-keys", "list", "--environment", environment, "--json"])?;
    for key in items(&known).filter(|key| key["name"] == MANAGEMENT_KEY && key["revoked_at"].is_null()) {
        system.latchkey(&["management-keys", "revoke", &text(key, "id")?])?;
    }
    let arguments = ["management-keys", "create", "--environment", environment, "--name", MANAGEMENT_KEY, "--json"];
    text(&system.latchkey(&arguments)?, "value")
}

fn create_permissions(client: &Client) -> Result<()> {
    for (slug, name) in PERMISSIONS {
        if client.get(&format!("/authorization/permissions/{slug}"))?.status == 404 {
            let answer = client.post("/authorization/permissions", &json!({ "slug": slug, "name": name }))?;
            answer.success("cannot create a permission")?;
        }
    }
    Ok(())
}

fn organization(client: &Client) -> Result<String> {
    let known = list(client, "/organizations")?;
    if let Some(organization) = known.iter().find(|organization| organization["external_id"] == ORGANIZATION) {
        return text(organization, "id");
    }
    let answer = client.post("/organizations", &json!({ "name": "Demo organization", "external_id": ORGANIZATION }))?;
    text(&answer.success("cannot create the organization")?, "id")
}

/// The id and the text of a new key.
fn api_key(client: &Client, organization: &str) -> Result<(String, String)> {
    let path = format!("/organizations/{organization}/api_keys");
    for key in list(client, &path)?.iter().filter(|key| key["name"] == API_KEY) {
        client.delete(&format!("/api_keys/{}", text(key, "id")?))?.success("cannot revoke the earlier demo key")?;
    }
    let permissions = PERMISSIONS.map(|(slug, _)| slug);
    let answer = client.post(&path, &json!({ "name": API_KEY, "permissions": permissions }))?;
    let key = answer.success("cannot create the demo key")?;
    Ok((text(&key, "id")?, text(&key, "value")?))
}

/// All items of a list, page by page.
fn list(client: &Client, path: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut query = "?limit=100".to_owned();
    for _ in 0..MOST_PAGES {
        let page = client.get(&format!("{path}{query}"))?.success("cannot read a list")?;
        found.extend(items(&page["data"]).cloned());
        let Some(after) = page["list_metadata"]["after"].as_str() else {
            break;
        };
        query = format!("?limit=100&after={after}");
    }
    Ok(found)
}

fn items(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

fn text(object: &Value, field: &str) -> Result<String> {
    let text = object[field].as_str().with_context(|| format!("there is no `{field}` in {object}"))?;
    Ok(text.to_owned())
}
