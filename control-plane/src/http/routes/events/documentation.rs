//! Compares the examples in docs/EVENTS.md with real events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    events::EventType,
    storage::{Db, testing::conformance},
    testing::{receiver::Receiver, server::*},
};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Makes everything happen that events report, but for what only a restored backup does.
async fn let_everything_happen(server: &Server) {
    let receiver = Receiver::start().await;
    let endpoint = json!({"endpoint_url": receiver.url(), "events": ["api_key.created"]});
    let gone = id_of(&server.post("/webhook_endpoints", endpoint).await.expect(201));
    server.permissions(&["posts:read", "posts:write"]).await;
    server.patch("/authorization/permissions/posts:read", json!({"description": "Read posts."})).await.expect(200);
    server.put("/authorization/api_key_permissions", json!({"user": ["posts:read"]})).await.expect(200);
    server.role("editor", &["posts:read"]).await;
    let body =
        json!({"name": "Acme", "domains": ["acme.example"], "metadata": {"plan": "team"}, "external_id": "customer-1"});
    let organization = id_of(&server.post("/organizations", body).await.expect(201));
    server.put(&format!("/organizations/{organization}"), json!({"name": "Acme Inc."})).await.expect(200);
    let roles = format!("/authorization/organizations/{organization}/roles");
    server.post(&roles, json!({"name": "Reviewer"})).await.expect(201);
    server.patch(&format!("{roles}/org-reviewer"), json!({"description": "Reviews posts."})).await.expect(200);
    server.delete(&format!("{roles}/org-reviewer")).await.expect(204);
    let user = json!({"email": "ada@acme.example", "first_name": "Ada", "metadata": {"team": "blog"}});
    let user = server.user(user).await;
    server.put(&format!("/user_management/users/{user}"), json!({"locale": "en-GB"})).await.expect(200);
    let membership = server.membership(&organization, &user, None).await;
    let path = format!("/user_management/organization_memberships/{membership}");
    server.put(&path, json!({"role_slug": "editor"})).await.expect(200);
    let body = json!({"name": "Production", "permissions": ["posts:read"], "expires_at": "2027-02-15T08:00:00.000Z"});
    let key = server.api_key(&organization, body).await;
    let path_of_key = format!("/api_keys/{}", id_of(&key));
    receiver.respond(&[410]);
    while server.append_events().await {}
    server.send_webhooks().await;
    server.advance(1000);
    let changes = json!({
        "name": "Live",
        "permissions": ["posts:read", "posts:write"],
        "enabled": false,
        "not_before": "2027-01-16T08:00:00.000Z",
        "ip_allow_list": ["192.0.2.0/24"],
        "metadata": {"tier": "gold"},
        "expires_at": "2027-01-25T08:00:00.000Z",
    });
    server.patch(&path_of_key, changes).await.expect(200);
    let old = server.api_key(&organization, json!({"name": "Staging"})).await;
    server.post(&format!("/api_keys/{}/rotate", id_of(&old)), json!({})).await.expect(201);
    server.delete(&format!("/api_keys/{}?reason=leaked", id_of(&old))).await.expect(204);
    for _ in 0..12 {
        server.report_expiries().await;
        server.advance(DAY);
    }
    let policy = json!({"max_lifetime_seconds": 31_536_000, "default_lifetime_seconds": null});
    server.put(&format!("/organizations/{organization}/api_key_expiry_policy"), policy).await.expect(200);
    server.patch(&format!("/webhook_endpoints/{gone}"), json!({"status": "enabled"})).await.expect(200);
    server.delete(&format!("/webhook_endpoints/{gone}")).await.expect(204);
    server.delete(&path).await.expect(200);
    server.delete(&format!("/user_management/users/{user}")).await.expect(200);
    server.delete("/authorization/permissions/posts:read").await.expect(204);
    server.delete(&format!("/organizations/{organization}")).await.expect(200);
    server.revoke_a_management_key().await;
    while server.append_events().await {}
}

/// The longest event of each type.
async fn real_events(server: &Server) -> BTreeMap<String, Value> {
    let mut events: BTreeMap<String, Value> = BTreeMap::new();
    for event in EventType::ALL {
        let list = server.get(&format!("/events?limit=100&events={event}")).await.expect(200);
        let of_type = list["data"].as_array().unwrap().iter().cloned();
        events.extend(of_type.max_by_key(|event| event.to_string().len()).map(|longest| (event.to_string(), longest)));
    }
    events
}

/// The example below the heading of each type.
fn documented_events() -> BTreeMap<String, Value> {
    let page = include_str!("../../../../../docs/EVENTS.md");
    let sections = page.split("\n### `").skip(1);
    let example = |section: &str| {
        let name = section.split('`').next().unwrap().to_owned();
        let json = section.split("```json\n").nth(1).unwrap_or_else(|| panic!("{name} has no example"));
        let json = json.split("```").next().unwrap();
        (name.clone(), serde_json::from_str(json).unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    sections.filter(|section| section.contains("```json")).map(example).collect()
}

/// Requires that both have the same fields with the same types.
fn compare(place: &str, documented: &Value, real: &Value) {
    match (documented, real) {
        (Value::Object(documented), Value::Object(real)) => {
            assert_eq!(documented.keys().collect::<Vec<_>>(), real.keys().collect::<Vec<_>>(), "{place}");
            for (key, value) in documented {
                compare(&format!("{place}.{key}"), value, &real[key]);
            }
        }
        (Value::Array(documented), Value::Array(real)) => {
            assert_eq!(documented.is_empty(), real.is_empty(), "{place}");
            for (documented, real) in documented.iter().zip(real) {
                compare(place, documented, real);
            }
        }
        _ => {
            assert_eq!(std::mem::discriminant(documented), std::mem::discriminant(real), "{place}: {documented} {real}")
        }
    }
}

/// Which only a restore writes.
const BY_RESTORE: EventType = EventType::ManagementKeyUpdated;

conformance! {
    async fn documentation_shows_each_event_as_it_is(db: Db) {
        let server = Server::new(db).await;
        let_everything_happen(&server).await;
        let real = real_events(&server).await;
        if let Some(file) = std::env::var_os("LATCHKEY_TEST_EVENTS_FILE") {
            std::fs::write(file, json!(real).to_string()).unwrap();
        }
        let missing: Vec<_> = EventType::ALL.iter().filter(|event| !real.contains_key(event.as_str())).collect();
        assert_eq!(missing, [&BY_RESTORE], "the test lets them happen");
        let documented = documented_events();
        for event in EventType::ALL {
            let example = documented.get(event.as_str()).unwrap_or_else(|| panic!("docs/EVENTS.md lacks {event}"));
            if *event != BY_RESTORE {
                compare(event.as_str(), example, &real[event.as_str()]);
            }
        }
        let surplus: Vec<_> = documented.keys().filter(|name| name.parse::<EventType>().is_err()).collect();
        assert!(surplus.is_empty(), "docs/EVENTS.md has {surplus:?}, which nothing writes");
    }
}
