use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use shared::entropy::Repeating;

use super::*;
use crate::{
    storage::{
        Db,
        testing::{conformance, idempotent_answers},
    },
    tasks::sweeper,
    testing::server::*,
};

const KEY: &str = "0a1b2c3d-of-the-caller";

/// A server, and where it makes keys.
struct World {
    server: Server,
    keys: String,
}

impl World {
    async fn new(db: Db) -> Self {
        let server = Server::new(db).await;
        server.permissions(&["a"]).await;
        let keys = format!("/organizations/{}/api_keys", server.organization().await);
        Self { server, keys }
    }

    /// Asks for something new. Says whether the answer is an old one.
    async fn create(&self, key: &str, path: &str, body: &Value) -> (bool, Reply) {
        let (headers, reply) = self.server.post_with(HEADER, key, path, body).await;
        (headers.get("idempotent-replayed").is_some_and(|value| value == "true"), reply)
    }

    async fn create_key(&self, key: &str, body: &Value) -> (bool, Reply) {
        self.create(key, &self.keys, body).await
    }

    /// How many keys there are.
    async fn count(&self) -> usize {
        ids_of(&self.server.get(&format!("{}?limit=100", self.keys)).await.expect(200)).len()
    }
}

conformance! {
    async fn a_repeated_creation_creates_nothing_and_is_answered_alike(db: Db) {
        let world = World::new(db).await;
        let server = &world.server;
        let (organization, user) = (server.organization().await, server.user(json!({})).await);
        server.membership(&organization, &user, None).await;
        let users_keys = format!("/user_management/users/{user}/api_keys");
        let roles = format!("/authorization/organizations/{organization}/roles");
        let creations = [
            ("/organizations", json!({"name": "Acme", "external_id": "acme-1"})),
            ("/authorization/permissions", json!({"slug": "b", "name": "B"})),
            (world.keys.as_str(), json!({"name": "k", "permissions": ["a"]})),
            ("/user_management/users", json!({"external_id": "u-1"})),
            (users_keys.as_str(), json!({"name": "k", "organization_id": organization})),
            ("/authorization/roles", json!({"slug": "editor", "name": "Editor"})),
            (roles.as_str(), json!({"slug": "org-editor", "name": "Editor"})),
        ];
        for (path, body) in creations {
            let (is_old, first) = world.create(&format!("for {path}"), path, &body).await;
            assert!(!is_old && first.expect(201)["id"].is_string());
            world.server.advance(1000);
            for _ in 0..2 {
                assert_eq!(world.create(&format!("for {path}"), path, &body).await, (true, first.clone()));
            }
        }
        assert_eq!(world.count().await, 1);
        let (_, first) = world.create_key(KEY, &json!({"name": "k"})).await;
        let value = first.expect(201)["value"].as_str().unwrap().to_owned();
        assert!(world.server.validate(&value).await["api_key"].is_object());
    }

    async fn without_the_header_and_with_another_key_there_is_another_one(db: Db) {
        let world = World::new(db).await;
        let body = json!({"name": "k"});
        for _ in 0..2 {
            world.server.post(&world.keys, body.clone()).await.expect(201);
        }
        for key in ["a", "A", &"k".repeat(255), " ~"] {
            assert!(!world.create_key(key, &body).await.0);
        }
        assert_eq!(world.count().await, 6);
    }

    async fn a_key_is_for_one_request(db: Db) {
        let world = World::new(db).await;
        world.create_key(KEY, &json!({"name": "k"})).await.1.expect(201);
        let (is_old, reply) = world.create_key(KEY, &json!({"name": "other"})).await;
        assert_eq!((is_old, reply.error(422).as_str()), (false, "idempotency_key_reused"));
        let (_, reply) = world.create(KEY, "/organizations", &json!({"name": "k"})).await;
        assert_eq!(reply.error(422), "idempotency_key_reused");
        assert_eq!(world.count().await, 1);
    }

    async fn those_that_come_at_once_are_answered_alike(db: Db) {
        let world = World::new(db).await;
        let body = json!({"name": "k"});
        let replies = futures::future::join_all((0..20).map(|_| world.create_key(KEY, &body))).await;
        let texts: std::collections::BTreeSet<_> = replies.iter().map(|(_, reply)| &reply.text).collect();
        assert!(replies.iter().all(|(_, reply)| reply.status == 201));
        assert_eq!((texts.len(), world.count().await), (1, 1));
        assert_eq!(replies.iter().filter(|(is_old, _)| !is_old).count(), 1);
    }

    async fn after_a_day_it_is_a_new_request(db: Db) {
        let world = World::new(db).await;
        let body = json!({"name": "k"});
        world.create_key(KEY, &body).await.1.expect(201);
        world.server.advance(storage::KEPT_MILLIS - 1);
        assert_eq!(sweeper::step(&world.server.context, 10).await.unwrap(), 0);
        assert!(world.create_key(KEY, &body).await.0);
        world.server.advance(1);
        assert!(!world.create_key(KEY, &json!({"name": "other"})).await.0);
        assert_eq!(world.count().await, 2);
        world.server.advance(storage::KEPT_MILLIS);
        assert_eq!(sweeper::step(&world.server.context, 10).await.unwrap(), 1);
        assert_eq!(idempotent_answers(&world.server.db).await.len(), 0);
    }

    async fn what_failed_may_be_tried_again_otherwise(db: Db) {
        let world = World::new(db).await;
        let nowhere = "/organizations/org_01KF0JZ4G0000000000000000A/api_keys";
        assert_eq!(world.create(KEY, nowhere, &json!({"name": "k"})).await.1.error(404), "entity_not_found");
        for body in [json!({"name": ""}), json!({"name": "k", "permissions": ["unknown"]})] {
            world.create_key(KEY, &body).await.1.fields();
        }
        assert_eq!(idempotent_answers(&world.server.db).await.len(), 0);
        assert!(!world.create_key(KEY, &json!({"name": "k"})).await.0);
        assert_eq!(world.count().await, 1);
    }

    /// A moment that was to come when it was sent is past when it is repeated.
    async fn a_repeated_request_is_not_refused_for_being_late(db: Db) {
        let world = World::new(db).await;
        let body = json!({"name": "k", "expires_at": START.plus_millis(1000).to_string()});
        let (_, first) = world.create_key(KEY, &body).await;
        world.server.advance(2000);
        assert_eq!(world.create_key(KEY, &body).await, (true, first));
    }

    async fn callers_do_not_meet(db: Db) {
        let world = World::new(db).await;
        let colleague = world.server.of_environment(&world.server.environment).await;
        let body = json!({"name": "k"});
        let (_, mine) = world.create_key(KEY, &body).await;
        let (_, theirs) = colleague.post_with(HEADER, KEY, &world.keys, &body).await;
        assert_ne!(mine.expect(201)["value"], theirs.expect(201)["value"]);
        let reader = world.server.with_scopes(&["api_keys:read"]).await;
        assert_eq!(reader.post_with(HEADER, KEY, &world.keys, &body).await.1.error(403), "forbidden");
    }

    async fn nothing_that_is_kept_tells_anything(db: Db) {
        let world = World::new(db).await;
        let (_, created) = world.create_key(KEY, &json!({"name": "A name that nobody else has"})).await;
        let value = created.expect(201)["value"].as_str().unwrap().to_owned();
        let secrets = [value.as_str(), &value[8..40], &world.server.management_key, KEY, "A name that nobody else has", "api_key"];
        let mut forms: Vec<Vec<u8>> = vec![];
        for secret in secrets {
            let hash = Sha256::digest(secret);
            let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
            forms.extend([secret.into(), hash.to_vec(), STANDARD.encode(secret).into(), hex.into()]);
        }
        let rows = idempotent_answers(&world.server.db).await;
        let [row] = rows.as_slice() else { panic!("{} rows", rows.len()) };
        for bytes in row {
            for form in &forms {
                assert!(!bytes.windows(form.len()).any(|part| part == form), "{}", String::from_utf8_lossy(form));
            }
        }
        assert!(row[2].len() > created.text.len(), "the answer is there all the same");
    }

    async fn a_key_that_is_none_is_refused(db: Db) {
        let world = World::new(db).await;
        for key in ["", "k\u{e9}", "a\tb", &"k".repeat(256)] {
            assert_eq!(world.create_key(key, &json!({"name": "k"})).await.1.error(400), "invalid_idempotency_key", "{key:?}");
        }
        let twice = Request::post(&world.keys).header(header::AUTHORIZATION, format!("Bearer {}", world.server.management_key));
        let twice = twice.header(HEADER, "a").header(HEADER, "a").body(Body::from(r#"{"name": "k"}"#)).unwrap();
        assert_eq!(world.server.ask(twice).await.1.error(400), "invalid_idempotency_key");
        assert_eq!(world.count().await, 0);
    }

    async fn what_creates_nothing_has_no_use_for_it(db: Db) {
        let world = World::new(db).await;
        for (name, expected) in [("Acme", "Acme"), ("Other", "Other")] {
            let path = world.keys.trim_end_matches("/api_keys");
            let request = Request::put(path).header(header::AUTHORIZATION, format!("Bearer {}", world.server.management_key));
            let body = Body::from(json!({"name": name}).to_string());
            let (headers, reply) = world.server.ask(request.header(HEADER, "\u{e9}").body(body).unwrap()).await;
            assert_eq!(reply.expect(200)["name"], expected);
            assert!(headers.get("idempotent-replayed").is_none());
        }
    }
}

fn idempotency(management_key: &str, name: Option<Name>) -> Idempotency {
    Idempotency { caller: Hkdf::new(None, management_key.as_bytes()), request: [7; 32], name }
}

fn place(management_key: &str, name: Name) -> Place {
    let idempotency = idempotency(management_key, Some(name));
    idempotency.place(idempotency.name.as_ref().unwrap()).unwrap_or_else(|_| panic!("no place"))
}

#[test]
fn an_answer_is_opened_by_its_own_caller_in_its_own_place() {
    let given = || Name::Given("key".to_owned());
    let answer = Answer { status: StatusCode::CREATED, body: "{}".to_owned().into(), is_replayed: false };
    let mut sealed = place("mk_a", given()).seal(&answer, &mut Repeating(9)).unwrap_or_else(|_| panic!("not sealed"));
    let opened = place("mk_a", given()).open(&sealed).unwrap();
    assert_eq!((opened.status, opened.body.expose_secret()), (StatusCode::CREATED, "{}"));
    assert!(place("mk_b", given()).open(&sealed).is_none());
    assert!(place("mk_a", Name::Given("kez".to_owned())).open(&sealed).is_none());
    assert!(place("mk_a", Name::Itself).open(&sealed).is_none());
    *sealed.last_mut().unwrap() ^= 1;
    assert!(place("mk_a", given()).open(&sealed).is_none());
    assert!(place("mk_a", given()).open(b"short").is_none());
}

/// The place is public, so it must not be what keeps an answer closed.
#[test]
fn each_caller_and_each_name_has_a_key_of_its_own() {
    let places = [
        place("mk_a", Name::Given("key".to_owned())),
        place("mk_b", Name::Given("key".to_owned())),
        place("mk_a", Name::Given("kez".to_owned())),
        place("mk_a", Name::Itself),
    ];
    let nonce = XNonce::from([9; NONCE_LENGTH]);
    let encrypted = places.map(|place| place.cipher.encrypt(&nonce, [0; 32].as_slice()).unwrap());
    assert_eq!(std::collections::BTreeSet::from(encrypted).len(), 4);
}

#[test]
fn a_request_is_named_by_itself_where_no_name_is_given() {
    let given = |name: &str| Some(Name::Given(name.to_owned()));
    assert!(matches!(idempotency("mk", None).or_itself().name, Some(Name::Itself)));
    assert!(matches!(idempotency("mk", given("given")).or_itself().name, Some(Name::Given(_))));
    let other = Idempotency { request: [8; 32], ..idempotency("mk", None) };
    let of_other = other.place(&Name::Itself).unwrap_or_else(|_| panic!("no place"));
    assert_ne!(of_other.id, place("mk", Name::Itself).id);
}
