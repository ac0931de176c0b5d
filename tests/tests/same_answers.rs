//! `POST /api_keys/validations` is answered alike by the edge and by the control plane, byte for byte.

use serde_json::{Value, json};
use shared::{entropy::Repeating, key::KeyText};
use tests::{
    calls::{Key, text},
    database::Database,
    http::{Answer, Client},
    stack::{Caller, Stack},
    wait::{CONVERGENCE, eventually},
};

/// Asks both, which must say the same.
#[track_caller]
fn from_both(edge: &Client, control_plane: &Client, body: &[u8]) -> Answer {
    let ask = |client: &Client| client.send("POST", "/api_keys/validations", Some(body));
    let (edge, control_plane) = (ask(edge), ask(control_plane));
    assert_eq!((edge.status, &edge.text), (control_plane.status, &control_plane.text));
    assert_eq!(edge.header("content-type"), Some("application/json"));
    assert_eq!(control_plane.header("content-type"), Some("application/json"));
    edge
}

#[track_caller]
fn ask_both(caller: &Caller, body: &[u8]) -> Answer {
    from_both(&caller.edge, &caller.control_plane, body)
}

/// The code with which both refuse a key.
#[track_caller]
fn refusal(caller: &Caller, body: &Value) -> String {
    let answer = ask_both(caller, body.to_string().as_bytes()).expect(200);
    assert!(answer["api_key"].is_null(), "{answer}");
    text(&answer, "code")
}

#[test]
fn a_good_key_is_shown_alike() {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    for slug in ["posts:read", "posts:*"] {
        caller.edge.create_permission(slug);
    }
    let organization = caller.edge.create_organization();
    let plain = caller.edge.create_key(&organization, &[]);
    let path = format!("/organizations/{organization}/api_keys");
    let body = json!({"name": "„Ünïcode“ \"\\/\u{1F511}", "permissions": ["posts:*"], "expires_at": "2031-02-03T04:05:06.7+01:00"});
    let created = caller.edge.post(&path, &body).expect(201);
    let ornate = Key { id: text(&created, "id"), value: text(&created, "value") };
    for key in [&plain, &ornate] {
        caller.edge.until_valid(key);
        let answer = ask_both(&caller, json!({"value": key.value}).to_string().as_bytes()).expect(200);
        assert_eq!(answer["api_key"]["id"], *key.id);
    }
    let demands =
        json!({"value": ornate.value, "permissions": "posts:read AND posts:write", "ip": "2001:db8::1", "new": 1});
    let answer = ask_both(&caller, demands.to_string().as_bytes()).expect(200);
    assert_eq!(answer["api_key"]["expires_at"], "2031-02-03T03:05:06.700Z");
    assert_eq!(answer["api_key"]["permissions"], json!(["posts:*"]));
}

#[test]
fn every_refusal_is_worded_alike() {
    let Some(stack) = Stack::start(Database::sqlite()) else { return };
    let (caller, stranger) = (stack.caller(), stack.caller());
    let make = || caller.edge.create_lone_key();
    let (revoked, expired, plain) = (make(), make(), make());
    // There is no route yet that does these to a key, so they are done to its row.
    let (disabled, not_yet_valid, limited) = (make(), make(), make());
    let rows = [
        (&disabled, "disabled = TRUE"),
        (&not_yet_valid, "not_before = 4102444800000"),
        (&limited, "ip_allow_list = '[\"192.0.2.0/24\"]'"),
    ];
    for (key, change) in rows {
        stack.database.execute(&format!("UPDATE api_keys SET {change}, version = version + 1 WHERE id = '{}'", key.id));
    }
    caller.edge.revoke(&revoked);
    caller.edge.expire(&expired);
    let _ = stack.latchkey.run(&["edge", "sync"]).success();
    for (key, code) in
        [(&revoked, "revoked"), (&expired, "expired"), (&disabled, "disabled"), (&limited, "ip_not_allowed")]
    {
        caller.edge.until_refused(key, code);
    }
    caller.edge.until_refused(&not_yet_valid, "not_yet_valid");
    caller.edge.until_valid(&plain);

    for (key, code) in [
        (&revoked, "revoked"),
        (&expired, "expired"),
        (&disabled, "disabled"),
        (&not_yet_valid, "not_yet_valid"),
        (&limited, "ip_not_allowed"),
    ] {
        assert_eq!(refusal(&caller, &json!({"value": key.value})), code);
    }
    assert_eq!(refusal(&caller, &json!({"value": limited.value, "ip": "192.0.3.1"})), "ip_not_allowed");
    let inside = json!({"value": limited.value, "ip": "::ffff:192.0.2.9"}).to_string();
    assert!(ask_both(&caller, inside.as_bytes()).expect(200)["api_key"].is_object());
    assert_eq!(refusal(&caller, &json!({"value": plain.value, "permissions": "x"})), "insufficient_permissions");
    for malformed in ["", "garbage", &plain.value[1..], &caller.tenant.management_key, "\u{0}", "lk_live_ü"] {
        assert_eq!(refusal(&caller, &json!({ "value": malformed })), "malformed");
    }
    // The key of another tenant, once both know that tenant.
    stranger.edge.until_valid(&stranger.edge.create_lone_key());
    assert_eq!(refusal(&stranger, &json!({"value": plain.value})), "not_found");
}

#[test]
fn every_mistake_in_a_body_is_worded_alike() {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    // Until its management key has arrived, the edge does not know who asks.
    caller.edge.until_valid(&caller.edge.create_lone_key());
    let bodies: &[(&[u8], u16)] = &[
        (b"", 400),
        (b"{", 400),
        (b"value", 400),
        (br#"{"value": "x"} {}"#, 400),
        (b"{\"value\": \"\xff\"}", 400),
        (b"null", 422),
        (b"[]", 422),
        (b"\"text\"", 422),
        (b"{}", 422),
        (br#"{"value": null}"#, 422),
        (br#"{"value": 1}"#, 422),
        (br#"{"value": {"deep": [1]}}"#, 422),
        (br#"{"value": "x", "value": "y"}"#, 422),
        (br#"{"value": "x", "ip": "nowhere"}"#, 422),
        (br#"{"value": "x", "ip": 7}"#, 422),
        (br#"{"value": "x", "permissions": "("}"#, 422),
        (br#"{"value": "x", "permissions": ["a"]}"#, 422),
        (&[b' '; 16 * 1024 + 1], 413),
        (&[b'x'; 3_000_000], 413),
    ];
    for (body, status) in bodies {
        let answer = ask_both(&caller, body);
        assert_eq!(
            answer.status,
            *status,
            "{} for {:?}",
            answer.text,
            String::from_utf8_lossy(&body[..body.len().min(60)])
        );
        let _ = answer.error(*status);
    }
}

#[test]
fn whoever_may_not_ask_is_told_so_alike() {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    let key = caller.edge.create_lone_key();
    let good = json!({"value": key.value}).to_string();
    let (id, revoked) = stack.latchkey.create_management_key(&caller.tenant.environment, &["*"]);
    let gone = stack.edge.client.with_token(&revoked);
    gone.until_valid(&key);
    let _ = stack.latchkey.run(&["management-keys", "revoke", &id]).success();
    let (_, without_scope) = stack.latchkey.create_management_key(&caller.tenant.environment, &["api_keys:read"]);
    let narrow = stack.edge.client.with_token(&without_scope);
    eventually(CONVERGENCE, "the edge knows of both management keys", || {
        match (gone.validate(&key.value).status, narrow.validate(&key.value).status) {
            (401, 403) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let of = |authorization: &str| {
        from_both(
            &stack.edge.client.with_authorization(authorization),
            &stack.server.client.with_authorization(authorization),
            good.as_bytes(),
        )
    };
    let unknown = format!("Bearer {}", KeyText::generate_management(&mut Repeating(9)).expose());
    let management_key = &caller.tenant.management_key;
    let basic = format!("Basic {management_key}");
    let customer = format!("Bearer {}", key.value);
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "garbage",
        "Bearer garbage",
        &basic,
        management_key,
        &customer,
        &unknown,
        &format!("Bearer {revoked}"),
    ] {
        assert_eq!(of(authorization).error(401), "unauthorized", "{authorization}");
    }
    assert_eq!(from_both(&stack.edge.client, &stack.server.client, good.as_bytes()).error(401), "unauthorized");
    assert_eq!(of(&format!("Bearer {without_scope}")).error(403), "forbidden");
    assert!(of(&format!("bearer   {management_key} ")).expect(200)["api_key"].is_object());
}
