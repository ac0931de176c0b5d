use serde_json::{Value, json};

use crate::{
    events::EventType,
    storage::{Db, testing::conformance},
    testing::server::*,
};

/// The events of a page.
fn events_of(list: &Value) -> Vec<Value> {
    list["data"].as_array().unwrap().clone()
}

/// The types of the events of a page.
fn types_of(list: &Value) -> Vec<String> {
    events_of(list).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

async fn list(server: &Server, query: &str) -> Value {
    server.get(&format!("/events?limit=100&{query}")).await.expect(200)
}

/// All types, ours included.
fn every_type() -> String {
    format!("events={}", EventType::ALL.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(","))
}

conformance! {
    async fn each_change_of_a_key_writes_its_event(db: Db) {
        let server = Server::new(db).await;
        server.permissions(&["a", "b"]).await;
        let organization = server.organization().await;
        let key = server.api_key(&organization, json!({"name": "k", "permissions": ["a"]})).await;
        let path = format!("/api_keys/{}", id_of(&key));
        server.advance(1000);
        server.patch(&path, json!({"name": "new", "enabled": false})).await.expect(200);
        server.patch(&path, json!({"name": "new"})).await.expect(200);
        let new = server.post(&format!("{path}/rotate"), json!({})).await.expect(201);
        server.delete(&format!("{path}?reason=leaked")).await.expect(204);
        let events = list(&server, &format!("{}&organization_id={organization}", every_type())).await;
        assert_eq!(
            types_of(&events),
            [
                "organization.created", "api_key.created", "api_key.updated", "api_key.created", "api_key.updated",
                "api_key.rotated", "api_key.revoked",
            ]
        );
        let events = events_of(&events);
        let [_, created, updated, created_by_rotation, expiry, rotated, revoked] = &events[..] else { panic!() };
        let mut shown = key.clone();
        shown.as_object_mut().unwrap().remove("value");
        assert_eq!(created["data"], shown, "the event shows the object of the response");
        assert_eq!(updated["data"]["previous_attributes"], json!({"expires_at": null, "name": "k", "enabled": true}));
        assert_eq!((&updated["data"]["name"], &updated["data"]["enabled"]), (&json!("new"), &json!(false)));
        assert_eq!(created_by_rotation["data"]["id"], new["id"]);
        assert_eq!(expiry["data"]["previous_attributes"], json!({"expires_at": null}));
        assert!(expiry["data"]["expires_at"].is_string());
        assert_eq!((&rotated["data"]["id"], &rotated["data"]["rotated_from"]), (&new["id"], &key["id"]));
        assert_eq!(revoked["data"]["revoked_reason"], "leaked");
        let values = [&key, &new].map(|key| key["value"].as_str().unwrap());
        let text = json!(events).to_string();
        assert!(!values.iter().any(|value| text.contains(value)), "a value is in an event");
    }

    async fn an_event_says_who_made_the_change(db: Db) {
        let server = Server::new(db).await;
        server.organization().await;
        let event = events_of(&list(&server, "").await)[0].clone();
        assert_eq!(event["object"], "event");
        let actor = &event["context"]["actor"];
        assert!(actor["id"].as_str().unwrap().starts_with("management_key_"));
        assert_eq!((&actor["source"], &actor["name"]), (&json!("api"), &json!("Test")));
        let of_operator = &events_of(&list(&server, "events=management_key.created").await)[0];
        assert_eq!(of_operator["context"]["actor"]["id"], "operator");
    }

    async fn a_refused_change_writes_no_event(db: Db) {
        let server = Server::new(db).await;
        let organization = server.organization().await;
        server.post(&format!("/organizations/{organization}/api_keys"), json!({"name": "k", "permissions": ["x"]})).await.expect(422);
        server.put("/organizations/org_01KF0JZ4G0000000000000000A", json!({"name": "x"})).await.expect(404);
        assert_eq!(types_of(&list(&server, "").await), ["organization.created"]);
    }

    async fn events_of_latchkey_are_listed_only_if_they_are_named(db: Db) {
        let server = Server::new(db).await;
        server.put("/authorization/api_key_permissions", json!({"organization": []})).await.expect(200);
        assert!(types_of(&list(&server, "").await).is_empty());
        assert_eq!(types_of(&list(&server, "events=api_key_permissions.updated").await), ["api_key_permissions.updated"]);
        assert_eq!(server.get("/events?events=api_key.exploded").await.fields(), ["events.0"]);
        list(&server, "events=dsync.user.created,session.revoked").await;
    }

    async fn a_deleted_organization_is_followed_by_the_events_of_all_that_went_with_it(db: Db) {
        let server = Server::new(db).await;
        server.role("reader", &[]).await;
        let organization = server.organization().await;
        let user = server.user(json!({"email": "a@example.com"})).await;
        let membership = server.membership(&organization, &user, Some("reader")).await;
        server.post(&format!("/authorization/organizations/{organization}/roles"), json!({"name": "Own"})).await.expect(201);
        let keys: Vec<Value> = [
            server.api_key(&organization, json!({"name": "1"})).await,
            server.api_key(&organization, json!({"name": "2"})).await,
            server.user_api_key(&user, json!({"name": "3", "organization_id": organization})).await,
        ].into();
        server.delete(&format!("/api_keys/{}", id_of(&keys[0]))).await.expect(204);
        let before = events_of(&list(&server, "").await);
        let last = id_of(before.last().unwrap());
        server.delete(&format!("/organizations/{organization}")).await.expect(200);
        let other = server.organization().await;
        while server.append_events().await {}
        let events = list(&server, &format!("after={last}")).await;
        assert_eq!(
            types_of(&events),
            [
                "organization.deleted", "api_key.revoked", "api_key.revoked", "organization_membership.deleted",
                "organization_role.deleted", "organization.created",
            ]
        );
        let events = events_of(&events);
        let mut revoked: Vec<&Value> = events[1..3].iter().map(|event| &event["data"]["id"]).collect();
        revoked.sort_by_key(|id| id.to_string());
        let mut expected = vec![&keys[1]["id"], &keys[2]["id"]];
        expected.sort_by_key(|id| id.to_string());
        assert_eq!(revoked, expected);
        assert!(events[1..3].iter().all(|event| event["data"]["revoked_reason"] == "organization_deleted"));
        assert_eq!((&events[3]["data"]["id"], &events[3]["data"]["role"]["slug"]), (&json!(membership), &json!("reader")));
        assert_eq!(events[4]["data"]["organization_id"], json!(organization));
        assert_eq!(events[5]["data"]["id"], json!(other), "what came later is reported later");
        assert!(events[..5].iter().all(|event| event["context"]["actor"]["source"] == "api"));
    }

    async fn a_deleted_permission_is_followed_by_the_events_of_its_roles_and_keys(db: Db) {
        let server = Server::new(db).await;
        server.permissions(&["a", "b"]).await;
        server.role("editor", &["a", "b"]).await;
        let organization = server.organization().await;
        let key = server.api_key(&organization, json!({"name": "1", "permissions": ["a", "b"]})).await;
        server.api_key(&organization, json!({"name": "2", "permissions": ["b"]})).await;
        let last = id_of(events_of(&list(&server, "").await).last().unwrap());
        server.delete("/authorization/permissions/a").await.expect(204);
        while server.append_events().await {}
        let events = list(&server, &format!("after={last}")).await;
        assert_eq!(types_of(&events), ["permission.deleted", "api_key.updated", "role.updated"]);
        let [_, updated, role] = &events_of(&events)[..] else { panic!() };
        assert_eq!(updated["data"]["id"], key["id"]);
        assert_eq!(updated["data"]["permissions"], json!(["b"]));
        assert_eq!(updated["data"]["previous_attributes"], json!({"expires_at": null, "permissions": ["a", "b"]}));
        assert_eq!((&role["data"]["slug"], &role["data"]["permissions"]), (&json!("editor"), &json!(["b"])));
    }

    async fn pages_hold_each_event_once_in_every_order(db: Db) {
        let server = Server::new(db).await;
        for _ in 0..7 {
            server.organization().await;
        }
        let all = ids_of(&list(&server, "").await);
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!((all.len(), &all), (7, &sorted), "oldest first by default");
        let mut after = String::new();
        let mut seen = vec![];
        loop {
            let page = server.get(&format!("/events?limit=2&after={after}")).await.expect(200);
            seen.extend(ids_of(&page));
            match page["list_metadata"]["after"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, all);
        let newest = ids_of(&list(&server, "order=desc").await);
        assert_eq!(newest, all.iter().rev().cloned().collect::<Vec<_>>());
        assert_eq!(ids_of(&list(&server, &format!("before={}", all[3])).await), all[..3]);
        assert_eq!(server.get("/events?order=up").await.fields(), ["order"]);
    }

    async fn ranges_and_organizations_narrow_the_list(db: Db) {
        let server = Server::new(db).await;
        let one = server.organization().await;
        while server.append_events().await {}
        server.advance(60_000);
        let other = server.organization().await;
        let ids = ids_of(&list(&server, "").await);
        let [first, second] = events_of(&list(&server, "").await).try_into().unwrap();
        let time = |event: &Value| event["created_at"].as_str().unwrap().to_owned();
        assert_eq!(ids_of(&list(&server, &format!("range_start={}", time(&second))).await), ids[1..]);
        assert_eq!(ids_of(&list(&server, &format!("range_end={}", time(&first))).await), ids[..1]);
        assert_eq!(ids_of(&list(&server, &format!("organization_id={other}")).await), ids[1..]);
        assert_eq!(ids_of(&list(&server, &format!("organization_id={one}&events=organization.created")).await), ids[..1]);
        assert!(ids_of(&list(&server, &format!("organization_id={one}&events=user.created")).await).is_empty());
        for query in ["range_start=yesterday", "range_end=0", "organization_id=acme"] {
            assert_eq!(server.get(&format!("/events?{query}")).await.status, 422, "{query}");
        }
    }

    async fn a_cursor_that_is_not_in_the_log_is_an_error(db: Db) {
        let server = Server::new(db).await;
        server.organization().await;
        let own = ids_of(&list(&server, "").await)[0].clone();
        let stranger = server.of_another_environment().await;
        assert_eq!(stranger.get(&format!("/events?after={own}")).await.fields(), ["after"]);
        for cursor in ["after", "before"] {
            let path = format!("/events?{cursor}=event_01KF0JZ4G0000000000000000A");
            assert_eq!(server.get(&path).await.fields(), [cursor]);
        }
        // 31 days later, the retention of 30 days has passed.
        server.advance(31 * 24 * 60 * 60 * 1000);
        server.organization().await;
        assert_eq!(ids_of(&list(&server, &format!("after={own}")).await).len(), 1);
        server.sweep().await;
        assert_eq!(server.get(&format!("/events?after={own}")).await.fields(), ["after"]);
        assert_eq!(ids_of(&list(&server, "").await).len(), 1);
    }

    async fn a_log_without_changes_is_empty_for_a_stranger(db: Db) {
        let server = Server::new(db).await;
        server.organization().await;
        let stranger = server.of_another_environment().await;
        assert!(ids_of(&list(&stranger, "").await).is_empty());
    }

    async fn a_key_is_reported_before_and_when_it_expires_each_time_once(db: Db) {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let server = Server::new(db).await;
        let organization = server.organization().await;
        let expires_at = shared::Timestamp::from_millis(START.as_millis() + 10 * DAY).to_string();
        let key = server.api_key(&organization, json!({"name": "k", "expires_at": expires_at})).await;
        server.api_key(&organization, json!({"name": "never"})).await;
        let mut days = vec![];
        let reported = async || events_of(&list(&server, "events=api_key.expiring,api_key.expired").await);
        for day in 0..12 {
            server.report_expiries().await;
            server.report_expiries().await;
            let events = reported().await;
            days.resize(events.len(), day);
            server.advance(DAY);
        }
        assert_eq!(days, [3, 9, 10]);
        let events = reported().await;
        let expected = ["api_key.expiring", "api_key.expiring", "api_key.expired"];
        assert_eq!(events.iter().map(|event| event["event"].as_str().unwrap()).collect::<Vec<_>>(), expected);
        assert_eq!(events[..2].iter().map(|event| event["data"]["expires_in_days"].as_i64().unwrap()).collect::<Vec<_>>(), [7, 1]);
        assert!(events.iter().all(|event| event["data"]["id"] == key["id"]));
        assert!(events.iter().all(|event| event["context"]["actor"]["id"] == "server"));
    }

    async fn a_key_that_is_expired_by_a_call_is_reported_and_a_revoked_one_is_not(db: Db) {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let server = Server::new(db).await;
        let organization = server.organization().await;
        let expires_at = shared::Timestamp::from_millis(START.as_millis() + 2 * DAY).to_string();
        let mut keys = vec![];
        for name in ["expired", "revoked", "put off"] {
            keys.push(id_of(&server.api_key(&organization, json!({"name": name, "expires_at": expires_at})).await));
        }
        server.report_expiries().await;
        server.post(&format!("/api_keys/{}/expire", keys[0]), json!({})).await.expect(200);
        server.delete(&format!("/api_keys/{}", keys[1])).await.expect(204);
        server.patch(&format!("/api_keys/{}", keys[2]), json!({"expires_at": null})).await.expect(200);
        server.advance(3 * DAY);
        server.report_expiries().await;
        let events = list(&server, "events=api_key.expiring,api_key.expired").await;
        assert_eq!(types_of(&events), ["api_key.expired"]);
        assert_eq!(events["data"][0]["data"]["id"], json!(keys[0]));
    }

    async fn a_call_that_changes_nothing_writes_no_event(db: Db) {
        let server = Server::new(db).await;
        server.permissions(&["a"]).await;
        server.role("editor", &["a"]).await;
        let organization = server.organization().await;
        let user = server.user(json!({"email": "a@example.com"})).await;
        let policy = format!("/organizations/{organization}/api_key_expiry_policy");
        let limits = json!({"max_lifetime_seconds": 3600, "default_lifetime_seconds": null});
        server.put(&policy, limits.clone()).await.expect(200);
        let offered = json!({"organization": ["a"], "user": null});
        server.put("/authorization/api_key_permissions", offered.clone()).await.expect(200);
        let before = list(&server, &every_type()).await;
        server.advance(1000);
        for (path, body) in [
            (format!("/organizations/{organization}"), json!({"name": "Acme"})),
            (format!("/organizations/{organization}"), json!({"metadata": {"absent": null}})),
            (format!("/user_management/users/{user}"), json!({"email": "a@example.com"})),
            (policy, limits),
            ("/authorization/api_key_permissions".to_owned(), offered),
            ("/authorization/roles/editor/permissions".to_owned(), json!({"permissions": ["a"]})),
        ] {
            server.put(&path, body).await.expect(200);
        }
        for path in ["/authorization/permissions/a", "/authorization/roles/editor"] {
            let same = server.get(path).await.expect(200);
            let body = json!({"name": same["name"], "description": same["description"]});
            assert_eq!(server.patch(path, body).await.expect(200), same);
        }
        assert_eq!(list(&server, &every_type()).await, before);
    }
}
