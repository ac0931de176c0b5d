//! Changes that cause an event of every type.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use shared::Rfc3339;
use tests::{calls::text, hand, http::Client, parts, receiver::Receiver, wait::eventually};

use super::{System, TIMEOUT};

/// Events that no request or command causes: a management key is updated only when it is restored from the change feed,
/// after a backup of the database was restored.
const NOT_CAUSED: [&str; 1] = ["management_key.updated"];
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The types of events that the control plane names in its source.
fn known_types() -> BTreeSet<String> {
    let file = parts::workspace().join("control-plane/src/events/types.rs");
    let source = fs::read_to_string(file).unwrap();
    let types = source.lines().filter_map(|line| {
        let (name, origin) = line.trim().split_once(" = \"")?.1.split_once("\", ")?;
        ["WorkOs;", "Latchkey;"].contains(&origin).then(|| name.to_owned())
    });
    types.collect()
}

/// The types of events that [`cause`] causes.
pub fn types() -> BTreeSet<String> {
    let mut types = known_types();
    assert!(types.len() > 30, "{types:?}");
    for not_caused in NOT_CAUSED {
        assert!(types.remove(not_caused), "{not_caused} is not a type of event");
    }
    types
}

/// What JavaScript keeps in another order, or writes in another way than most do.
pub fn metadata() -> Value {
    json!({
        "b": "\"quoted\" and \\ and / and </script>", "a": "🔑 \u{10FFFD} é e\u{301}",
        "10": "ten", "9": "nine", "01": "no index", "4294967294": "the greatest index", "4294967295": "no index",
        "🔑": "an emoji", "line": "separated\u{2028}by\u{2029}lines", "empty": "",
        "-1": "negative", "1e3": "a number", "__proto__": "not a prototype", "\"": "a quote",
    })
}

/// Causes an event of every type, apart from those of an environment, which happen before there can be an endpoint.
#[track_caller]
pub fn cause(system: &System) {
    let client = system.client();
    permissions_and_roles(&client);
    let organization = organization(&client);
    members(&client, &organization);
    api_keys(&client, &organization);
    endpoints(system, &client);
    let (id, _) = system.latchkey.create_management_key(&system.tenant.environment, &["*"]);
    let _ = system.latchkey.run(&["management-keys", "revoke", &id]).success();
    let _ = client.delete(&format!("/organizations/{organization}")).expect(200);
}

#[track_caller]
fn permissions_and_roles(client: &Client) {
    client.create_permission("posts:read");
    client.create_permission("posts:write");
    let described = json!({"description": "Line\u{2028}separator, \"quotes\" and 🔑"});
    let _ = client.patch("/authorization/permissions/posts:read", &described).expect(200);
    let _ = client.post("/authorization/roles", &json!({"slug": "editor", "name": "Editor"})).expect(201);
    let permissions = json!({"permissions": ["posts:read"]});
    let _ = client.put("/authorization/roles/editor/permissions", &permissions).expect(200);
    let offered = json!({"organization": ["posts:read", "posts:write"]});
    let _ = client.put("/authorization/api_key_permissions", &offered).expect(200);
}

#[track_caller]
fn organization(client: &Client) -> String {
    let domains = json!([{"domain": "acme.com", "state": "verified"}]);
    let body = json!({"name": "Acme 🔑 \"Inc.\"", "metadata": metadata(), "domain_data": domains});
    let organization = text(&client.post("/organizations", &body).expect(201), "id");
    let path = format!("/organizations/{organization}");
    let _ = client.put(&path, &json!({"name": "Acme\u{2028}Inc."})).expect(200);
    let policy = json!({"max_lifetime_seconds": null, "default_lifetime_seconds": 40_000_000});
    let _ = client.put(&format!("{path}/api_key_expiry_policy"), &policy).expect(200);
    client.create_role(&organization, "org-billing", &["posts:read"]);
    let role = format!("/authorization/organizations/{organization}/roles/org-billing");
    let _ = client.delete(&role).expect(204);
    organization
}

#[track_caller]
fn members(client: &Client, organization: &str) {
    let body = json!({"email": "marcelina@example.com", "first_name": "Marcelina \"M\" 🔑", "metadata": metadata()});
    let user = text(&client.post("/user_management/users", &body).expect(201), "id");
    let path = format!("/user_management/users/{user}");
    let _ = client.put(&path, &json!({"last_name": "Davis\u{2028}"})).expect(200);
    let body = json!({"organization_id": organization, "user_id": user, "role_slug": "editor"});
    let memberships = "/user_management/organization_memberships";
    let membership = text(&client.post(memberships, &body).expect(201), "id");
    let _ = client.put(&format!("{memberships}/{membership}/deactivate"), &json!({})).expect(200);
    let _ = client.delete(&format!("{memberships}/{membership}"));
    let _ = client.delete(&path);
}

#[track_caller]
fn api_keys(client: &Client, organization: &str) {
    let path = format!("/organizations/{organization}/api_keys");
    let body = json!({"name": "Production 🔑", "permissions": ["posts:read", "posts:write"], "metadata": metadata()});
    let key = text(&client.post(&path, &body).expect(201), "id");
    let changes = json!({"name": "Renamed\u{2028}", "metadata": {"10": null, "8": "eight"}});
    let _ = client.patch(&format!("/api_keys/{key}"), &changes).expect(200);
    let _ = client.post(&format!("/api_keys/{key}/rotate"), &json!({})).expect(201);
    let expired = client.create_key(organization, &[]);
    client.expire(&expired);
    let revoked = client.create_key(organization, &[]);
    client.revoke(&revoked);
    // A reminder is due a day before the expiry, so this one is due soon.
    let expires_at = Rfc3339(hand::now().plus_millis(DAY_MILLIS + 2_000));
    let _ = client.post(&path, &json!({"name": "Expires", "expires_at": expires_at})).expect(201);
    // A key of an organization that is deleted never expires, and the events of a permission's keys follow its
    // deletion.
    eventually(TIMEOUT, "the reminder and the expiry are reported", || {
        let events = client.get("/events?events=api_key.expiring,api_key.expired").expect(200);
        if events["data"].as_array().is_some_and(|events| events.len() == 2) { Ok(()) } else { Err(events) }
    });
    let _ = client.delete("/authorization/permissions/posts:write").expect(204);
}

#[track_caller]
fn endpoints(system: &System, client: &Client) {
    let gone = Receiver::with_status(410);
    let endpoint = system.subscribe(&gone.url, &["permission.created"]);
    let path = format!("/webhook_endpoints/{}", endpoint.id);
    let _ = client.patch(&path, &json!({"endpoint_url": format!("{}/gone", gone.url)})).expect(200);
    client.create_permission("posts:delete");
    eventually(TIMEOUT, "the endpoint is disabled", || {
        let endpoint = client.get(&path).expect(200);
        if endpoint["status"] == "disabled" { Ok(()) } else { Err(endpoint) }
    });
    let _ = client.delete(&path);
}
