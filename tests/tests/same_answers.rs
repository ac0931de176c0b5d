//! `POST /api_keys/validations` is answered alike by the edge and by the control plane, byte for byte.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::{entropy::Repeating, key::KeyText, reason::Reason};
use tests::{
    calls::{a_key_that_was_never_made, text},
    http::{Answer, Client},
    stack::{Caller, Stack},
    wait::{CONVERGENCE, eventually},
};

/// Asks both, which must say the same.
#[track_caller]
fn from_both(edge: &Client, control_plane: &Client, body: &[u8]) -> Answer {
    let ask = |client: &Client| client.send("POST", "/api_keys/validations", Some(body));
    let (edge, control_plane) = (ask(edge), ask(control_plane));
    let (of_edge, of_control_plane) = (without_last_use(&edge.text), without_last_use(&control_plane.text));
    assert_eq!((edge.status, of_edge), (control_plane.status, of_control_plane));
    assert_eq!(edge.header("content-type"), Some("application/json"));
    assert_eq!(control_plane.header("content-type"), Some("application/json"));
    edge
}

/// The text of an answer but for the moment of the key's last use, of which the edge knows what it was told last.
fn without_last_use(answer: &str) -> String {
    const FIELD: &str = "\"last_used_at\":";
    let Some((before, rest)) = answer.split_once(FIELD) else { return answer.to_owned() };
    let (_, after) = rest.split_once(',').unwrap_or_default();
    format!("{before}{FIELD}…,{after}")
}

#[track_caller]
fn ask_both(caller: &Caller, body: &[u8]) -> Answer {
    from_both(&caller.edge, &caller.control_plane, body)
}

#[test]
fn a_good_key_is_shown_alike_with_all_that_is_said_of_it() {
    let Some(stack) = Stack::shared() else { return };
    let caller = stack.caller();
    caller.edge.create_permission("posts:*");
    let organization = caller.edge.create_organization();
    let path = format!("/organizations/{organization}/api_keys");
    let body = json!({
        "name": "„Ünïcode“ \"\\/\u{1F511}", "permissions": ["posts:*"], "expires_at": "2031-02-03T04:05:06.7+01:00",
        "not_before": "2001-02-03T04:05:06.789Z", "ip_allow_list": ["2001:DB8:0::/32"], "metadata": {"b": "„Ü“", "a": ""},
    });
    let created = caller.edge.post(&path, &body).expect(201);
    let demands = json!({
        "value": text(&created, "value"), "permissions": "posts:read AND posts:write", "ip": "2001:db8::1", "new": 1,
    });
    let demands = demands.to_string();
    eventually(CONVERGENCE, "the edge knows the key", || {
        let answer = caller.edge.send("POST", "/api_keys/validations", Some(demands.as_bytes()));
        if answer.text.contains("obfuscated_value") { Ok(()) } else { Err(answer.text) }
    });
    let shown = &ask_both(&caller, demands.as_bytes()).expect(200)["api_key"];
    assert_eq!(shown["expires_at"], "2031-02-03T03:05:06.700Z");
    assert_eq!(shown["permissions"], json!(["posts:*"]));
    assert_eq!(shown["not_before"], "2001-02-03T04:05:06.789Z");
    assert_eq!(shown["ip_allow_list"], json!(["2001:db8::/32"]));
    assert_eq!(shown["metadata"], json!({"a": "", "b": "„Ü“"}));
    for ours in ["enabled", "created_by", "rotated_from"] {
        assert!(shown.get(ours).is_none(), "{ours}");
    }
}

/// What is asked of both: a key by its name here, where it is used from, what it must be allowed to do, and what comes of it.
type Question = (&'static str, Option<&'static str>, Option<&'static str>, Result<(), Reason>);

/// Every reason stands here, and what comes first where there are several.
const QUESTIONS: &[Question] = &[
    ("empty", None, None, Err(Reason::Malformed)),
    ("garbage", None, None, Err(Reason::Malformed)),
    ("cut short", None, None, Err(Reason::Malformed)),
    ("of another prefix", None, None, Err(Reason::Malformed)),
    ("a management key", None, None, Err(Reason::Malformed)),
    ("never made", None, None, Err(Reason::NotFound)),
    ("a stranger's", None, None, Err(Reason::NotFound)),
    ("never made", Some("192.0.2.1"), Some("admin"), Err(Reason::NotFound)),
    // One reason alone.
    ("revoked", None, None, Err(Reason::Revoked)),
    ("disabled", None, None, Err(Reason::Disabled)),
    ("early", None, None, Err(Reason::NotYetValid)),
    ("expired", None, None, Err(Reason::Expired)),
    ("limited", None, None, Err(Reason::IpNotAllowed)),
    ("plain", None, Some("admin"), Err(Reason::InsufficientPermissions)),
    // All that stand behind one another in the list of reasons, and each time one less.
    ("with all against it", None, Some("admin"), Err(Reason::Revoked)),
    ("with all but revoked", None, Some("admin"), Err(Reason::Disabled)),
    ("with all but disabled", None, Some("admin"), Err(Reason::NotYetValid)),
    ("expired and limited", None, Some("admin"), Err(Reason::Expired)),
    ("limited", Some("192.0.3.1"), Some("admin"), Err(Reason::IpNotAllowed)),
    ("limited", Some("192.0.2.1"), Some("admin"), Err(Reason::InsufficientPermissions)),
    ("limited", Some("192.0.2.1"), Some("posts:read"), Ok(())),
    // Addresses of both families, and those of one family that are written as of the other.
    ("limited", Some("192.0.2.255"), None, Ok(())),
    ("limited", Some("::ffff:192.0.2.9"), None, Ok(())),
    ("limited", Some("::ffff:192.0.3.9"), None, Err(Reason::IpNotAllowed)),
    ("limited", Some("198.51.100.7"), None, Ok(())),
    ("limited", Some("198.51.100.8"), None, Err(Reason::IpNotAllowed)),
    ("limited", Some("2001:db8:ffff::1"), None, Ok(())),
    ("limited", Some("2001:db9::1"), None, Err(Reason::IpNotAllowed)),
    ("limited to mapped", Some("203.0.113.5"), None, Ok(())),
    ("limited to mapped", Some("::ffff:203.0.113.5"), None, Ok(())),
    ("limited to mapped", Some("2001:db8::1"), None, Err(Reason::IpNotAllowed)),
    ("limited to IPv6", Some("2001:db8::1"), None, Ok(())),
    ("limited to IPv6", Some("192.0.2.1"), None, Err(Reason::IpNotAllowed)),
    ("limited to IPv6", Some("::ffff:192.0.2.1"), None, Err(Reason::IpNotAllowed)),
    ("plain", Some("2001:db8::1"), None, Ok(())),
    // Expressions and stars.
    ("plain", None, Some("posts:read"), Ok(())),
    ("plain", None, Some("posts:write"), Err(Reason::InsufficientPermissions)),
    ("plain", None, Some("users:delete AND posts:read"), Ok(())),
    ("plain", None, Some("users"), Err(Reason::InsufficientPermissions)),
    ("plain", None, Some("users:*"), Ok(())),
    ("plain", None, Some("posts:*"), Err(Reason::InsufficientPermissions)),
    ("plain", None, Some("posts:read AND (x OR (users:a AND (y OR users:b)))"), Ok(())),
    ("plain", None, Some("posts:read AND (x OR (users:a AND (y OR z)))"), Err(Reason::InsufficientPermissions)),
    ("plain", None, Some("posts:read OR x AND y"), Ok(())),
    ("plain", None, Some("(posts:read OR x) AND y"), Err(Reason::InsufficientPermissions)),
    ("with a star", None, Some("whatever:there.is"), Ok(())),
    ("ornate", Some("::1"), Some("posts:read"), Ok(())),
    // What is a user's: no more than the user's role allows by now, and nothing while the membership is not active.
    ("a user's", None, Some("posts:read"), Ok(())),
    ("a user's", None, Some("users:a"), Err(Reason::InsufficientPermissions)),
    ("an inactive user's", None, None, Err(Reason::Disabled)),
];

const FUTURE: &str = "2099-01-01T00:00:00Z";

/// Makes a key, and then does this to it.
fn make(caller: &Caller, organization: &str, body: &Value, changes: &[Change]) -> String {
    let created = caller.edge.post(&format!("/organizations/{organization}/api_keys"), body).expect(201);
    let path = format!("/api_keys/{}", text(&created, "id"));
    for change in changes {
        let _ = match change {
            Change::Disable => caller.edge.send("PATCH", &path, Some(br#"{"enabled": false}"#)).expect(200),
            Change::Expire => caller.edge.post(&format!("{path}/expire"), &json!({})).expect(200),
            Change::Revoke => caller.edge.delete(&format!("{path}?reason=for%20a%20test")).expect(204),
        };
    }
    text(&created, "value")
}

/// Makes the key of a user whose role allows less by now, and deactivates the membership if told so.
fn make_of_user(caller: &Caller, organization: &str, role: &str, is_active: bool) -> String {
    let edge = &caller.edge;
    let post = |path: &str, body: &Value| edge.post(path, body).expect(201);
    let put = |path: &str, body: &Value| edge.send("PUT", path, Some(body.to_string().as_bytes())).expect(200);
    let _ = post("/authorization/roles", &json!({"slug": role, "name": role}));
    let of_role = format!("/authorization/roles/{role}/permissions");
    let _ = put(&of_role, &json!({"permissions": ["posts:read", "users:*"]}));
    let user = text(&post("/user_management/users", &json!({"email": format!("{role}@example.com")})), "id");
    let membership = json!({"user_id": user, "organization_id": organization, "role_slug": role});
    let membership = text(&post("/user_management/organization_memberships", &membership), "id");
    let key = json!({"name": "k", "organization_id": organization, "permissions": ["posts:read", "users:*"]});
    let key = post(&format!("/user_management/users/{user}/api_keys"), &key);
    let _ = put(&of_role, &json!({"permissions": ["posts:read"]}));
    if !is_active {
        let _ = put(&format!("/user_management/organization_memberships/{membership}/deactivate"), &json!({}));
    }
    text(&key, "value")
}

enum Change {
    Disable,
    Expire,
    Revoke,
}

/// The texts of the keys that are asked about, by their names in the questions.
fn keys(caller: &Caller, stranger: &Caller) -> BTreeMap<&'static str, String> {
    use Change::{Disable, Expire, Revoke};
    for slug in ["posts:read", "users:*", "*"] {
        caller.edge.create_permission(slug);
    }
    let organization = caller.edge.create_organization();
    let make = |body: Value, changes: &[Change]| make(caller, &organization, &body, changes);
    let some = ["posts:read", "users:*"];
    let plain = make(json!({"name": "k", "permissions": some}), &[]);
    let restricted = || json!({"name": "k", "not_before": FUTURE, "ip_allow_list": ["192.0.2.0/24"]});
    let limited = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"];
    let ornate = json!({
        "name": "„Ünïcode“ \"\\/\u{1F511}", "permissions": some, "expires_at": "2031-02-03T04:05:06.7+01:00",
        "not_before": "2001-02-03T04:05:06.789Z", "ip_allow_list": ["0.0.0.0/0", "::/0"],
        "metadata": {"„Ü“ \"": "\u{1F511}\\", "a": ""},
    });
    [
        ("empty", String::new()),
        ("garbage", "lk_live_ü \u{0}".to_owned()),
        ("cut short", plain[1..].to_owned()),
        (
            "of another prefix",
            KeyText::generate(&"other".parse().expect("a prefix"), &mut Repeating(7)).expose().to_owned(),
        ),
        ("a management key", caller.tenant.management_key.clone()),
        ("never made", a_key_that_was_never_made(8)),
        ("a stranger's", stranger.edge.create_lone_key().value),
        ("revoked", make(json!({"name": "k"}), &[Revoke])),
        ("disabled", make(json!({"name": "k"}), &[Disable])),
        ("early", make(json!({"name": "k", "not_before": FUTURE}), &[])),
        ("expired", make(json!({"name": "k"}), &[Expire])),
        ("with all against it", make(restricted(), &[Disable, Expire, Revoke])),
        ("with all but revoked", make(restricted(), &[Disable, Expire])),
        ("with all but disabled", make(restricted(), &[Expire])),
        ("expired and limited", make(json!({"name": "k", "ip_allow_list": limited}), &[Expire])),
        ("limited", make(json!({"name": "k", "permissions": some, "ip_allow_list": limited}), &[])),
        ("limited to mapped", make(json!({"name": "k", "ip_allow_list": ["::ffff:203.0.113.0/120"]}), &[])),
        ("limited to IPv6", make(json!({"name": "k", "ip_allow_list": ["::/0"]}), &[])),
        ("with a star", make(json!({"name": "k", "permissions": ["*"]}), &[])),
        ("ornate", make(ornate, &[])),
        ("a user's", make_of_user(caller, &organization, "member-of-team", true)),
        ("an inactive user's", make_of_user(caller, &organization, "member-no-more", false)),
        ("plain", plain),
    ]
    .into()
}

#[test]
fn every_question_is_answered_alike() {
    let Some(stack) = Stack::shared() else { return };
    let (caller, stranger) = (stack.caller(), stack.caller());
    let keys = keys(&caller, &stranger);
    for (key, ip, permissions, expected) in QUESTIONS {
        let question = json!({"value": keys[key], "ip": ip, "permissions": permissions}).to_string();
        let what = format!("{key} from {ip:?} for {permissions:?}");
        // A new key takes its time to the edge; until then it is not found there, nor is its caller.
        eventually(CONVERGENCE, &what, || {
            let edge = caller.edge.send("POST", "/api_keys/validations", Some(question.as_bytes()));
            if edge.status == 200 && refused(&edge) == *expected { Ok(()) } else { Err(edge.text) }
        });
        let answer = ask_both(&caller, question.as_bytes());
        assert_eq!(refused(&answer), *expected, "{what}");
        if let Err(reason) = expected {
            let told = json!({"api_key": null, "code": reason.code(), "message": reason.message()});
            assert_eq!(answer.expect(200), told, "{what}");
        }
    }
    for reason in Reason::EVERY {
        assert!(QUESTIONS.iter().any(|(.., expected)| *expected == Err(*reason)), "no question is about {reason:?}");
    }
}

/// The reason of an answer.
fn refused(answer: &Answer) -> Result<(), Reason> {
    let answer = answer.expect(200);
    let of_code = |code: &Value| Reason::EVERY.iter().copied().find(|reason| *code == reason.code());
    match (answer["api_key"].is_object(), of_code(&answer["code"])) {
        (true, None) => Ok(()),
        (false, Some(reason)) => Err(reason),
        _ => panic!("{answer}"),
    }
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
        // No longer: a server may close the connection on a client that goes on sending what it has refused.
        (&[b'x'; 60_000], 413),
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
