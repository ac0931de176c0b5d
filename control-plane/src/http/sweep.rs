//! Sweeps over every route of the OpenAPI document, so that a new route is swept as soon as it exists: bad input, callers
//! without rights, and callers of another environment. All are told clearly, and nothing changes.

mod pasted_keys;

use axum::body::Body;
use serde_json::{Map, Value, json};
use shared::scope::Scope;
use utoipa::openapi::RefOr;

use crate::{
    storage::{Db, testing::conformance},
    testing::server::{Reply, Server, id_of, ids_of},
};

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    description: Value,
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(super::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let of_path = |(path, methods): (String, Value)| {
        let methods = methods.as_object().unwrap().clone();
        methods.into_iter().map(move |(method, description)| Operation {
            method: method.to_uppercase(),
            path: path.clone(),
            description,
        })
    };
    let all: Vec<Operation> = paths.into_iter().flat_map(of_path).collect();
    assert!(all.len() > 15, "the document is whole");
    all
}

impl Operation {
    /// Whether it wants a management key. What the server's own operators ask for does not.
    fn is_protected(&self) -> bool {
        self.description["security"] != json!([{}])
    }

    fn has_path_parameter(&self) -> bool {
        self.path.contains('{')
    }

    /// The path of something in this world.
    fn path_in(&self, world: &World) -> String {
        let fill = |segment: &str| {
            if segment.starts_with('{') { self.existing_name(segment, world) } else { segment.to_owned() }
        };
        self.path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    /// The same with this name in place of one that exists, for each of them.
    fn paths_with<'a>(&'a self, name: &'a str, world: &'a World) -> impl Iterator<Item = String> + 'a {
        let segments: Vec<&str> = self.path.split('/').collect();
        let parameters = segments.clone().into_iter().enumerate().filter(|(_, segment)| segment.starts_with('{'));
        parameters.map(move |(replaced, _)| {
            let fill = |(at, segment): (usize, &&str)| match segment {
                _ if at == replaced => name.to_owned(),
                segment if segment.starts_with('{') => self.existing_name(segment, world),
                segment => (*segment).to_owned(),
            };
            segments.iter().enumerate().map(fill).collect::<Vec<_>>().join("/")
        })
    }

    /// A name that exists in this world.
    fn existing_name(&self, parameter: &str, world: &World) -> String {
        let of = |prefix: &str| self.path.starts_with(prefix);
        let name = match parameter {
            "{organization_id}" => &world.organization,
            "{user_id}" => &world.user,
            "{external_id}" => EXTERNAL_ID,
            "{permission_slug}" => SLUG,
            "{slug}" if of("/authorization/permissions/") => SLUG,
            "{slug}" if of("/authorization/roles/") => ROLE,
            "{slug}" if of("/authorization/organizations/") => ORGANIZATION_ROLE,
            "{id}" if of("/api_keys/") => &world.api_key,
            "{id}" if of("/webhook_endpoints/") => &world.endpoint,
            "{id}" if of("/webhook_deliveries/") => &world.delivery,
            "{id}" if of("/organizations/") => &world.organization,
            "{id}" if of("/user_management/users/") => &world.user,
            "{id}" if of("/user_management/organization_memberships/") => &world.membership,
            unknown => panic!("say in existing_name() what {unknown} of {} can be", self.path),
        };
        name.to_owned()
    }

    /// What its query must say.
    fn query(&self, world: &World) -> String {
        match (self.method.as_str(), self.path.as_str()) {
            ("GET", "/user_management/organization_memberships") => format!("?organization_id={}&", world.organization),
            _ => "?".to_owned(),
        }
    }

    /// A body with what it requires, and little more.
    fn good_body(&self, world: &World) -> Value {
        let schema = self.body_schema().unwrap_or_default();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut body = json!({"name": "New name"});
        for name in required.iter().map(|name| name.as_str().unwrap()) {
            let of_type = &schema["properties"][name]["type"];
            let may_be_null = of_type.as_array().is_some_and(|types| types.contains(&json!("null")));
            body[name] = match name {
                "value" => world.value.clone().into(),
                "organization_id" => world.organization.clone().into(),
                "user_id" => world.user.clone().into(),
                "endpoint_url" => "https://example.com/new".into(),
                "events" => json!(["api_key.created"]),
                "since" => "2027-01-01T00:00:00.000Z".into(),
                _ if may_be_null => Value::Null,
                _ if of_type == "array" => json!([]),
                _ => "new:slug".into(),
            };
        }
        body
    }

    /// What its body may be: the schema of one that has to be there, or the choice of that and null.
    fn body(&self) -> &Value {
        &self.description["requestBody"]["content"]["application/json"]["schema"]
    }

    /// The schema of its body.
    fn body_schema(&self) -> Option<Value> {
        let reference = self.body()["$ref"].as_str().or_else(|| {
            let options = self.body()["oneOf"].as_array();
            options.and_then(|options| options.iter().find_map(|option| option["$ref"].as_str()))
        })?;
        let name = reference.rsplit('/').next().unwrap();
        let document = super::openapi();
        let RefOr::T(schema) = &document.components.as_ref().unwrap().schemas[name] else { panic!("{name}") };
        Some(serde_json::to_value(schema).unwrap())
    }

    /// Whether its body may be null, which then is as good as none.
    fn may_have_null(&self) -> bool {
        self.body()["oneOf"].as_array().is_some_and(|options| options.contains(&json!({"type": "null"})))
    }

    /// A body that it would accept, with one field set to each value that is of none of the field's types.
    fn bodies_with_a_wrong_type(&self) -> Vec<Value> {
        let Some(schema) = self.body_schema() else { return vec![] };
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let good: Map<String, Value> =
            required.iter().map(|name| (name.as_str().unwrap().to_owned(), json!("new:slug"))).collect();
        let mut bodies = Vec::new();
        for (name, property) in &properties {
            for wrong in wrong_values(property) {
                let mut body = good.clone();
                body.insert(name.clone(), wrong);
                bodies.push(Value::Object(body));
            }
        }
        bodies
    }
}

/// Values that a field of this schema cannot have.
fn wrong_values(property: &Value) -> Vec<Value> {
    let types = property["type"].to_string() + &property["oneOf"].to_string();
    let mut values = vec![json!(1.5)];
    if !types.contains("string") && property["$ref"].is_null() && property["oneOf"].is_null() {
        values.push(json!("text"));
    }
    if !types.contains("array") {
        values.push(json!(["text"]));
    }
    if !types.contains("object") {
        values.push(json!({"a": 1}));
    }
    if !types.contains("boolean") {
        values.push(json!(true));
    }
    values
}

const EXTERNAL_ID: &str = "acme-1";
const SLUG: &str = "posts:read";
const ROLE: &str = "editor";
const ORGANIZATION_ROLE: &str = "org-own";

/// An environment with something of everything.
struct World {
    server: Server,
    organization: String,
    user: String,
    membership: String,
    api_key: String,
    endpoint: String,
    delivery: String,
    value: String,
    before: String,
}

impl World {
    async fn new(db: Db) -> Self {
        let server = Server::new(db).await;
        server.permissions(&[SLUG]).await;
        let endpoint = json!({"endpoint_url": "https://example.com/", "events": ["organization.created"]});
        let endpoint = id_of(&server.post("/webhook_endpoints", endpoint).await.expect(201));
        let organization = server.post("/organizations", json!({"name": "Acme", "external_id": EXTERNAL_ID})).await;
        let organization = id_of(&organization.expect(201));
        let key = server.api_key(&organization, json!({"name": "k", "permissions": [SLUG]})).await;
        let (api_key, value) = (id_of(&key), key["value"].as_str().unwrap().to_owned());
        server.role(ROLE, &[SLUG]).await;
        let roles = format!("/authorization/organizations/{organization}/roles");
        server.post(&roles, json!({"name": "Own", "slug": ORGANIZATION_ROLE})).await.expect(201);
        server
            .put(&format!("{roles}/{ORGANIZATION_ROLE}/permissions"), json!({"permissions": [SLUG]}))
            .await
            .expect(200);
        let user = server.user(json!({"external_id": EXTERNAL_ID})).await;
        let membership = server.membership(&organization, &user, Some(ROLE)).await;
        server.user_api_key(&user, json!({"name": "k", "organization_id": organization, "permissions": [SLUG]})).await;
        while server.append_events().await {}
        let delivery =
            ids_of(&server.get(&format!("/webhook_endpoints/{endpoint}/deliveries")).await.expect(200)).remove(0);
        let before = String::new();
        let mut world = Self { server, organization, user, membership, api_key, endpoint, delivery, value, before };
        world.before = world.snapshot().await;
        world.server.advance(1000);
        world
    }

    /// Everything that the environment's own caller can see.
    async fn snapshot(&self) -> String {
        let Self { organization, user, endpoint, .. } = self;
        let mut all = String::new();
        for list in [
            "/organizations?limit=100",
            "/authorization/permissions?limit=100",
            "/authorization/api_key_permissions",
            "/user_management/users?limit=100",
            &format!("/organizations/{organization}/api_keys"),
            &format!("/user_management/users/{user}/api_keys"),
            &format!(
                "/user_management/organization_memberships?organization_id={organization}&statuses=active,inactive"
            ),
            &format!("/authorization/organizations/{organization}/roles"),
            "/webhook_endpoints?limit=100",
            &format!("/webhook_endpoints/{endpoint}/deliveries?limit=100"),
            "/events?limit=100",
        ] {
            all += &self.server.get(list).await.expect(200).to_string();
        }
        all
    }

    async fn assert_nothing_changed(&self, after: &str) {
        assert_eq!(self.snapshot().await, self.before, "after {after}");
    }
}

/// A clear refusal: a 4xx with a message and a code, and nothing of what went wrong inside.
#[track_caller]
fn assert_refused(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status), "{what}: {reply:?}");
    let body = reply.json();
    assert!(body["message"].as_str().is_some_and(|message| message.len() < 10_000), "{what}: {body}");
    assert!(body["code"].is_string(), "{what}: {body}");
    if reply.status == 422 {
        let errors = body["errors"].as_array().unwrap();
        assert!(!errors.is_empty() && errors.iter().all(|error| error["field"].is_string()), "{what}: {body}");
    }
}

fn bad_bodies() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no JSON", b"name=x".to_vec()),
        ("cut short", br#"{"name": "x"#.to_vec()),
        ("bad UTF-8", b"{\"name\": \"\xff\xfe\", \"slug\": \"\xff\", \"value\": \"\xff\"}".to_vec()),
        (
            "a lone surrogate",
            br#"{"name": "\ud800", "slug": "\ud800", "value": "\ud800", "expires_at": "\ud800", "permissions": ["\ud800"],
                "organization": ["\ud800"], "user_id": "\ud800", "role_slug": "\ud800", "endpoint_url": "\ud800",
                "since": "\ud800", "overlap_seconds": "\ud800"}"#.to_vec(),
        ),
        ("a text", br#""text""#.to_vec()),
        ("a number", b"1".to_vec()),
        ("null", b"null".to_vec()),
        ("an array", br#"["a", "b", "c"]"#.to_vec()),
        ("two values", b"{} {}".to_vec()),
        ("nested deeply", [vec![b'['; 100_000], vec![b']'; 100_000]].concat()),
        ("ten megabytes", vec![b' '; 10_000_000]),
        ("ten megabytes in a field", [br#"{"name": ""#.as_slice(), &vec![b'x'; 10_000_000], br#""}"#].concat()),
    ]
}

/// Names that nothing has.
fn bad_names() -> Vec<String> {
    let mut names: Vec<String> =
        ["x", "%00", "%ff%fe", "..%2f..", "'%20OR%20'1'='1", "%F0%9F%94%91", "%0a", "*"].map(str::to_owned).to_vec();
    names.push("x".repeat(5_000));
    for prefix in ["org", "api_key", "user", "perm", "om", "role", "we", "wd"] {
        names.push(format!("{prefix}_01KF0JZ4G0000000000000000A"));
        names.push(format!("{prefix}_01KF0JZ4G0000000000000000a"));
        names.push(format!("{prefix}_01KF0JZ4G0000000000000000A%00"));
    }
    names
}

conformance! {
    async fn bad_bodies_are_refused_by_every_route(db: Db) {
        let world = World::new(db).await;
        for operation in operations().iter().filter(|operation| operation.body_schema().is_some()) {
            let path = operation.path_in(&world);
            let bodies = bad_bodies().into_iter().filter(|(what, _)| *what != "null" || !operation.may_have_null());
            for (what, body) in bodies {
                let what = format!("{} {path} with {what}", operation.method);
                assert_refused(&world.server.send(&operation.method, &path, Body::from(body)).await, &what);
                world.assert_nothing_changed(&what).await;
            }
            for body in operation.bodies_with_a_wrong_type() {
                let what = format!("{} {path} with {body}", operation.method);
                let reply = world.server.send(&operation.method, &path, Body::from(body.to_string())).await;
                assert_eq!(reply.status, 422, "{what}: {}", reply.text);
                assert_refused(&reply, &what);
                world.assert_nothing_changed(&what).await;
            }
        }
    }

    async fn names_that_nothing_has_are_not_found(db: Db) {
        let world = World::new(db).await;
        for operation in operations().iter().filter(|operation| operation.has_path_parameter()) {
            let body = operation.good_body(&world).to_string();
            for name in bad_names() {
                for path in operation.paths_with(&name, &world) {
                    let reply = world.server.send(&operation.method, &path, Body::from(body.clone())).await;
                    assert_eq!(reply.status, 404, "{} {path}: {}", operation.method, reply.text);
                    assert_refused(&reply, &path);
                    world.assert_nothing_changed(&path).await;
                }
            }
        }
    }

    async fn queries_that_make_no_sense_are_refused_by_every_list(db: Db) {
        let world = World::new(db).await;
        let is_list = |operation: &&Operation| operation.description["parameters"].to_string().contains("\"limit\"");
        let lists: Vec<Operation> = operations().into_iter().filter(|operation| is_list(&operation)).collect();
        assert!(lists.len() >= 3, "the lists are found");
        for list in lists {
            let path = list.path_in(&world) + &list.query(&world);
            for query in [
                "limit=0", "limit=101", "limit=-1", "limit=x", "limit=99999999999999999999", "limit=", "order=up", "after=x",
                "before=%00", "after=%ff", "before=environment_01KF0JZ4G0000000000000000A", "after='", "limit=1&limit=x",
            ] {
                assert_refused(&world.server.get(&format!("{path}{query}")).await, &format!("{path}{query}"));
            }
            let long = format!("{path}after={}", "x".repeat(50_000));
            assert_refused(&world.server.get(&long).await, "a long query");
            world.server.get(&format!("{path}unknown=%00&&=&after=&before=")).await.expect(200);
        }
    }

    async fn ranges_that_make_no_sense_are_refused_by_every_question_for_usage(db: Db) {
        let world = World::new(db).await;
        let has_range = |operation: &&Operation| operation.description["parameters"].to_string().contains("\"interval\"");
        let questions: Vec<Operation> = operations().into_iter().filter(|operation| has_range(&operation)).collect();
        assert_eq!(questions.len(), 2, "the questions are found");
        for question in questions {
            let path = question.path_in(&world);
            for query in [
                "interval=x", "interval=", "from=x", "to=%00", "to=%ff", "from='", "from=2030-01-01", "from=0", "to=-1",
                "from=2030-01-01T00:00:00Z", "from=0000-01-01T00:00:00Z",
                "from=1970-01-01T00:00:00Z", "from=2027-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
            ] {
                assert_refused(&world.server.get(&format!("{path}?{query}")).await, &format!("{path}?{query}"));
            }
            let long = format!("{path}?from={}", "x".repeat(50_000));
            assert_refused(&world.server.get(&long).await, "a long query");
            world.server.get(&format!("{path}?unknown=%00&&=&from=&to=")).await.expect(200);
            world.server.get(&format!("{path}?to=9999-12-31T23:59:59.999Z")).await.expect(200);
        }
    }

    async fn without_a_good_management_key_nothing_is_done(db: Db) {
        let world = World::new(db).await;
        let unknown = shared::key::KeyText::generate_management(&mut crate::entropy::OsEntropy);
        let headers = [
            None,
            Some(String::new()),
            Some("Bearer".to_owned()),
            Some("Bearer ".to_owned()),
            Some(format!("Basic {}", world.server.management_key)),
            Some(world.server.management_key.clone()),
            Some(format!("Bearer {}x", world.server.management_key)),
            Some(format!("Bearer {}", unknown.expose())),
            // A customer's key manages nothing.
            Some(format!("Bearer {}", world.value)),
            Some(format!("Bearer {}", "x".repeat(8_000))),
        ];
        for operation in operations().iter().filter(|operation| operation.is_protected()) {
            let path = operation.path_in(&world);
            for header in &headers {
                let body = Body::from(operation.good_body(&world).to_string());
                let reply = world.server.send_as(header.as_deref(), &operation.method, &path, body).await;
                assert_eq!(reply.error(401), "unauthorized", "{} {path} as {header:?}", operation.method);
            }
        }
        world.assert_nothing_changed("all of it").await;
    }

    async fn a_management_key_does_what_its_scopes_say_and_nothing_else(db: Db) {
        let world = World::new(db).await;
        let scopes = Scope::EVERY.iter().map(|scope| scope.as_str());
        let mut callers = vec![];
        for scope in scopes.clone() {
            let others: Vec<&str> = scopes.clone().filter(|other| *other != scope).chain(["a:scope_of_the_future"]).collect();
            callers.push((scope, world.server.with_scopes(&[scope]).await, world.server.with_scopes(&others).await));
        }
        for operation in operations().iter().filter(|operation| operation.is_protected()) {
            let needed = operation.description["security"][0]["management_key"][0].as_str().unwrap_or_default();
            let (_, with, without) = callers.iter().find(|(scope, ..)| *scope == needed).expect(needed);
            let path = operation.path_in(&world) + &operation.query(&world);
            let body = Body::from(operation.good_body(&world).to_string());
            let reply = without.send(&operation.method, &path, body).await;
            assert_eq!(reply.error(403), "forbidden", "{} {path} without {needed}", operation.method);
            let (path, expected): (String, &[u16]) = match operation.method.as_str() {
                "GET" => (path, &[200]),
                // Something that is not there, or a body that is none: nothing is to change.
                _ => (operation.paths_with("nothing", &world).last().unwrap_or(path), &[400, 404, 422]),
            };
            let reply = with.send(&operation.method, &path, Body::empty()).await;
            assert!(expected.contains(&reply.status), "{} {path} with {needed}: {}", operation.method, reply.text);
        }
        world.assert_nothing_changed("all of it").await;
    }

    /// When it arrives, when its caller is authenticated, and when its transaction has its turn or its row was read.
    async fn clock_is_read_at_most_three_times_for_each_request(db: Db) {
        let world = World::new(db).await;
        for operation in operations() {
            let path = operation.path_in(&world) + &operation.query(&world);
            let body = Body::from(operation.good_body(&world).to_string());
            let before = world.server.clock_reads();
            let reply = world.server.send(&operation.method, &path, body).await;
            let reads = world.server.clock_reads() - before;
            let most = match operation.method.as_str() {
                _ if !operation.is_protected() => 1,
                // It adds to the log what the requests before it have changed.
                "GET" if operation.path == "/events" => 3,
                "GET" => 2,
                _ => 3,
            };
            assert!((1..=most).contains(&reads), "{} {path} reads it {reads} times: {}", operation.method, reply.text);
        }
    }

    async fn an_environment_can_neither_read_nor_change_another(db: Db) {
        let world = World::new(db).await;
        let stranger = world.server.of_another_environment().await;
        for operation in operations().iter().filter(|operation| operation.is_protected()) {
            let path = operation.path_in(&world);
            let body = operation.good_body(&world).to_string();
            let reply = stranger.send(&operation.method, &path, Body::from(body.clone())).await;
            let what = format!("{} {path}: {}", operation.method, reply.text);
            if operation.has_path_parameter() {
                assert_eq!(reply.status, 404, "{what}");
            }
            let secrets = [
                world.organization.as_str(),
                &world.api_key,
                &world.user,
                &world.membership,
                &world.endpoint,
                &world.delivery,
                EXTERNAL_ID,
            ];
            let is_news = |secret: &&&str| !path.contains(**secret) && !body.contains(**secret);
            let shown = secrets.iter().filter(is_news).any(|secret| reply.text.contains(*secret));
            assert!(!shown, "{what}");
            world.assert_nothing_changed(&what).await;
        }
        assert_eq!(stranger.validate(&world.value).await["code"], "not_found");
        // Nor by naming something of another environment inside a request or as a cursor.
        let own = stranger.organization().await;
        let keys = format!("/organizations/{own}/api_keys");
        assert_eq!(stranger.post(&keys, json!({"name": "k", "permissions": [SLUG]})).await.fields(), ["permissions.0"]);
        for cursor in ["after", "before"] {
            let list = stranger.get(&format!("/organizations?{cursor}={}", world.organization)).await.expect(200);
            assert!(!ids_of(&list).contains(&world.organization));
        }
        world.assert_nothing_changed("all of it").await;
    }
}
