//! `latchkey serve`, on both databases, with ever more keys: none of it may become slower or larger.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use serde_json::json;
use tests::{
    cost,
    crowd::{Crowd, ORGANIZATION},
    database::Database,
    fast_edge::FastEdge,
    latchkey::{Latchkey, Server},
    load::{self, CONNECTIONS, Load},
    parts,
    wait::eventually,
};

use crate::{
    Settings,
    report::{Row, Table, progress},
    rounds::{self, Subject},
};

/// How long each kind of request is made when memory is measured.
const SLICE: Duration = Duration::from_secs(5);
/// How long the edge may take to be told of what was created by then.
const PATIENCE: Duration = Duration::from_secs(60);
const MEGABYTE: f64 = 1_000_000.0;

/// One database of one size.
struct World {
    name: &'static str,
    /// What the columns are called that compare others with it.
    head: &'static str,
    crowd: Crowd,
}

/// The databases that there are to be measured, with their names.
pub fn databases() -> impl Iterator<Item = (&'static str, fn() -> Option<Database>)> {
    let sqlite: fn() -> Option<Database> = || Some(Database::sqlite());
    [("SQLite", sqlite), ("Postgres", Database::postgres)].into_iter()
}

/// How many keys there are, with what that is called.
pub fn sizes(quick: bool) -> &'static [(usize, &'static str)] {
    if quick {
        &[(1_000, "10³ keys"), (10_000, "10⁴ keys")]
    } else {
        &[(1_000, "10³ keys"), (100_000, "10⁵ keys"), (1_000_000, "10⁶ keys")]
    }
}

/// Measures it.
pub fn measure(settings: &Settings) -> Vec<Table> {
    let mut rows: [Vec<Row>; 4] = Default::default();
    for (database, open) in databases() {
        let Some(worlds) = worlds(database, open, settings) else {
            progress(&format!("    {database} is not there, and left out"));
            continue;
        };
        let its: Vec<Row> = worlds.iter().map(|world| memory(world, settings)).collect();
        rows[3].extend(its);
        let servers: Vec<Server> = worlds.iter().map(|world| world.crowd.latchkey.serve()).collect();
        for (number, load) in [validations, creations, lists].into_iter().enumerate() {
            let subjects = subjects(&worlds, &servers, load);
            rows[number].extend(rounds::in_turn(&subjects, settings));
        }
    }
    let titles = [
        "POST /api_keys/validations at the control plane",
        "POST /organizations/{id}/api_keys (so many keys before; without an edge)",
        "GET /organizations/{id}/api_keys, the first page",
        "Memory of `latchkey serve` with an edge, after 5 s of each of these",
    ];
    titles.into_iter().zip(rows).map(|(title, rows)| Table::new(title, rows)).collect()
}

/// Of all sizes; or, with another build to compare with, one of that and one of ours.
fn worlds(database: &str, open: fn() -> Option<Database>, settings: &Settings) -> Option<Vec<World>> {
    let world = |head: &'static str, keys: usize, program: &Path| {
        let name = String::leak(format!("{database}, {head}"));
        progress(&format!("    filling a database: {name}"));
        let database = open()?;
        let latchkey = Latchkey::on(&database).built_as(program);
        Some(World { name, head, crowd: Crowd::of_build(latchkey, database, keys) })
    };
    let (sizes, ours) = (sizes(settings.quick), parts::latchkey());
    match &settings.against {
        Some(other) => [("the other build", other), ("this build", &ours)]
            .map(|(head, program)| world(head, sizes[0].0, program))
            .into_iter()
            .collect(),
        None => sizes.iter().map(|(keys, size)| world(size, *keys, &ours)).collect(),
    }
}

fn subjects(worlds: &[World], servers: &[Server], load: fn(&Crowd) -> Load) -> Vec<Subject> {
    let first = &worlds[0];
    worlds
        .iter()
        .zip(servers)
        .map(|(world, server)| Subject {
            name: world.name,
            address: address(server),
            process: server.process.id(),
            load: Arc::new(load(&world.crowd)),
            rivals: if world.name == first.name { &[] } else { Vec::leak(vec![(first.head, first.name)]) },
        })
        .collect()
}

fn address(server: &Server) -> SocketAddr {
    server.url.trim_start_matches("http://").parse().expect("the address of the server")
}

/// Each of the known keys is asked about before any of them is again.
fn validations(crowd: &Crowd) -> Load {
    let request = |value: &String| {
        let body = json!({"value": value}).to_string();
        load::post("/api_keys/validations", &crowd.tenant.management_key, &body)
    };
    Load::new(crowd.values.iter().map(request).collect(), 200)
}

fn creations(crowd: &Crowd) -> Load {
    let path = format!("/organizations/{ORGANIZATION}/api_keys");
    let body = json!({"name": "Production"}).to_string();
    Load::new(vec![load::post(&path, &crowd.tenant.management_key, &body)], 201)
}

fn lists(crowd: &Crowd) -> Load {
    let path = format!("/organizations/{ORGANIZATION}/api_keys");
    Load::new(vec![load::get(&path, &crowd.tenant.management_key)], 200)
}

/// How large a server becomes that does everything that it can do, the edge included.
fn memory(world: &World, settings: &Settings) -> Row {
    progress(&format!("    {}: memory", world.name));
    let edge = FastEdge::start();
    let mut server = edge.of(&world.crowd.latchkey).serve();
    let asked = server.client.with_token(&world.crowd.tenant.management_key);
    for value in world.crowd.values.iter().step_by(1_000) {
        let answer = asked.validate(value).expect(200);
        assert!(answer["api_key"].is_object(), "it is a good key: {answer}");
    }
    let idle = peak(&server);
    let mut created = 0;
    for load in [validations, creations, lists] {
        let slice = if settings.quick { SLICE / 10 } else { SLICE };
        let load = Arc::new(load(&world.crowd));
        let outcome = load::run(address(&server), &load, CONNECTIONS, slice);
        outcome.assert_as_expected(world.name);
        created = created.max(outcome.latencies.len());
    }
    eventually(PATIENCE, "the edge is told of all of them", || {
        let metrics = server.client.get("/metrics").text;
        if metrics.contains("outbox_depth 0\n") { Ok(()) } else { Err("some wait") }
    });
    let row = Row::new(world.name)
        .with("at first, MB", vec![idle])
        .with("peak, MB", vec![peak(&server)])
        .with("records told", vec![edge.written() as f64]);
    assert!(edge.written() > 0 && created > 0, "the publisher worked");
    server.stop();
    row
}

fn peak(server: &Server) -> f64 {
    cost::peak_memory_of(server.process.id()).expect("it runs") as f64 / MEGABYTE
}
