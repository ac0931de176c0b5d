//! Which way imports lead: down, from what serves requests to what knows nothing of them. Then each file can be read,
//! tested and changed with only those below it in mind. The compiler allows any direction, so these tests check it.
//!
//! | rule | for |
//! | --- | --- |
//! | crates depend on `shared` at most, and `shared` on none of ours | [`DEPENDENCIES`] |
//! | files do not import each other in a circle | [`WITHOUT_CIRCLES`] |
//! | the parts of the control plane import downwards only | [`LAYERS`] |
//! | a few more imports are forbidden | [`FORBIDDEN_PARTS`], [`FORBIDDEN_CRATES`] |
//!
//! What counts as an import is in `source.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod circles;
mod source;

use std::{fs, path::Path};

use circles::circles;
use source::{Files, Import, imports};
use tests::parts;

/// Our crates, and what each may depend on of the others.
const DEPENDENCIES: [(&str, &[&str]); 4] =
    [("shared", &[]), ("control-plane", &["shared"]), ("edge-validator", &["shared"]), ("xtask", &[])];

/// The crates whose files import each other in no circle.
const WITHOUT_CIRCLES: [&str; 4] = ["shared", "edge-validator", "control-plane", "xtask"];

/// The parts of the control plane, which are the files and folders of its `src/`, from top to bottom. No part imports
/// from a line above its own.
const LAYERS: [&[&str]; 12] = [
    &["main", "cli"],
    &["http"],
    &["state"],
    &["tasks"],
    &["service"],
    &["edge"],
    &["events"],
    &["objects"],
    &["webhooks"],
    &["storage"],
    &["limits"],
    &["clock", "config", "encryption", "entropy", "files", "metrics", "text"],
];

/// Imports that lead downwards, and are forbidden all the same.
const FORBIDDEN_PARTS: [(&str, &str, &str); 1] =
    [("http", "tasks", "requests do not run background tasks; what both need is a `service`")];

/// The functions of `storage` that `http` may call: those that authenticate a caller, keep the response of a creation, or change
/// nothing. All others are for a `service`, whose changes are committed with what the edge has to know of them.
const STORAGE_IN_HTTP: [&str; 5] = ["as_caller", "by_digest", "claim", "get", "keep"];

/// What only commands and tasks may use of `service`.
const NOT_FOR_HTTP: [&str; 1] = ["commit_without_waiting"];

/// Crates that a part does not import.
const FORBIDDEN_CRATES: [(&str, &[&str], &str); 1] = [(
    "service",
    &["axum", "axum_server", "http", "http_body_util", "hyper", "tower", "tower_http"],
    "a `service` is called by commands and tasks too, so it knows nothing of HTTP",
)];

#[test]
fn crates_depend_on_shared_at_most() {
    let mut violations = vec![];
    for (name, allowed) in DEPENDENCIES {
        let file = format!("{name}/Cargo.toml");
        let text = fs::read_to_string(parts::workspace().join(&file)).unwrap();
        for (index, line) in text.lines().enumerate() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_ours = DEPENDENCIES.iter().any(|(name, _)| *name == dependency);
            if is_ours && !allowed.contains(&dependency) {
                let allowed = if allowed.is_empty() { "no crate of ours".to_owned() } else { allowed.join(", ") };
                violations.push(format!(
                    "{file}:{} depends on `{dependency}`, but `{name}` may depend on {allowed}.",
                    index + 1
                ));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn files_import_each_other_in_no_circle() {
    let imports: Vec<Import> = WITHOUT_CIRCLES.iter().flat_map(|name| imports(name, &read(name))).collect();
    let violations: String = circles(&imports).iter().map(|circle| describe_circle(circle)).collect();
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn parts_of_the_control_plane_import_downwards() {
    let imports = imports("control-plane", &read("control-plane"));
    let violations: Vec<String> = imports.iter().filter_map(violation).collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// What an import of the control plane breaks, if anything.
fn violation(import: &Import) -> Option<String> {
    let from = part(&import.file);
    let rule = match &import.target {
        Some(file) => {
            rule_against_part(from, part(file)).or_else(|| rule_against_function(from, part(file), &import.path))
        }
        None => rule_against_crate(from, &import.path[0]),
    };
    rule.map(|rule| format!("{}, but {rule}.", describe(import)))
}

fn rule_against_part(from: &str, to: &str) -> Option<String> {
    match (layer(from), layer(to)) {
        (None, _) => Some(format!("`{from}` has no line in LAYERS: give it one")),
        (_, None) => Some(format!("`{to}` has no line in LAYERS: give it one")),
        (Some(from_layer), Some(to_layer)) if to_layer < from_layer => Some(format!("`{to}` is above `{from}`")),
        _ => FORBIDDEN_PARTS.iter().find(|rule| (rule.0, rule.1) == (from, to)).map(|rule| rule.2.to_owned()),
    }
}

/// Types begin with an upper-case letter, functions do not.
fn rule_against_function(from: &str, to: &str, path: &[String]) -> Option<String> {
    let name = path.last().filter(|name| name.starts_with(|letter: char| letter.is_lowercase()))?;
    match (from, to) {
        ("http", "storage") if !STORAGE_IN_HTTP.contains(&name.as_str()) => {
            Some(format!("`http` does not call `{name}` of `storage`: that is for a `service`"))
        }
        ("http", "service") if NOT_FOR_HTTP.contains(&name.as_str()) => {
            Some(format!("`{name}` is not for `http`: requests wait for the edge"))
        }
        _ => None,
    }
}

fn rule_against_crate(from: &str, name: &str) -> Option<String> {
    let rule = FORBIDDEN_CRATES.iter().find(|rule| rule.0 == from && rule.1.contains(&name));
    rule.map(|rule| rule.2.to_owned())
}

/// The number of a part's line in [`LAYERS`].
fn layer(part: &str) -> Option<usize> {
    LAYERS.iter().position(|parts| parts.contains(&part))
}

/// `http` of `control-plane/src/http/error.rs`, and of `control-plane/src/http.rs`.
fn part(file: &str) -> &str {
    let path = file.split_once("/src/").map_or(file, |(_, path)| path);
    path.split(['/', '.']).next().unwrap_or(path)
}

fn describe(import: &Import) -> String {
    format!("{}:{} imports `{}`", import.file, import.line, import.path.join("::"))
}

/// One sentence for each import of a circle.
fn describe_circle(circle: &[&Import]) -> String {
    let files: Vec<&str> = circle.iter().chain(circle.first()).map(|import| &*import.file).collect();
    let rule = format!("files must not import each other in a circle: {}", files.join(" -> "));
    circle.iter().map(|import| format!("{}, but {rule}.\n", describe(import))).collect()
}

/// Every source file of a crate.
fn read(name: &str) -> Files {
    let mut files = Files::new();
    let mut folders = vec![parts::workspace().join(name).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(in_workspace(&path), text);
            }
        }
    }
    files
}

fn in_workspace(path: &Path) -> String {
    path.strip_prefix(parts::workspace()).unwrap().display().to_string()
}

/// Source files below `src/` of a crate, and what they import.
fn imports_of(name: &str, files: &[(&str, &str)]) -> Vec<Import> {
    let files = files.iter().map(|(file, text)| (format!("{name}/src/{file}"), (*text).to_owned())).collect();
    imports(name, &files)
}

fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    circles(&imports_of("demo", files)).iter().map(|circle| describe_circle(circle)).collect()
}

#[test]
fn circle_is_found_and_described() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b;\n\npub fn f() { b::g() }"),
        ("b.rs", "pub fn g() { println!(\"{}\", super::a::f()) }"),
    ]);
    let rule = "but files must not import each other in a circle: demo/src/a.rs -> demo/src/b.rs -> demo/src/a.rs.";
    let expected = format!(
        "demo/src/a.rs:3 imports `b::g`, {rule}\n\
         demo/src/b.rs:1 imports `super::a::f`, {rule}\n"
    );
    assert_eq!(found, [expected]);
}

#[test]
fn reexport_leads_to_the_file_that_defines_the_item() {
    let parent = "mod limits; mod cache; pub use limits::Limits; use cache::Cache; struct Own;";
    let child = |name: &str| format!("use super::{name}; pub struct Cache;");
    let circles = |name: &str| {
        circles_of(&[
            ("lib.rs", "mod a;"),
            ("a.rs", parent),
            ("a/limits.rs", "pub struct Limits;"),
            ("a/cache.rs", &child(name)),
        ])
    };
    assert!(circles("Limits").is_empty());
    assert_eq!(circles("Own").len(), 1);
}

#[test]
fn code_for_tests_is_left_out() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "#[cfg(test)] use crate::b::B; pub struct A; impl A { #[cfg(test)] fn f() { crate::b::g() } }"),
        ("b.rs", "use crate::a::A; pub struct B; #[cfg(any(test, feature = \"checks\"))] mod c;"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn import_against_the_layers_is_found_and_described() {
    let imports = imports_of(
        "control-plane",
        &[
            ("lib.rs", "mod http; mod service; mod tasks; mod storage; mod later;"),
            ("http/mod.rs", "pub mod error;\nuse crate::{service::f, tasks::Task};"),
            ("http/error.rs", "pub struct Error;"),
            ("service.rs", "use crate::storage::Row;\nuse crate::http::error::Error;\npub fn f() { axum::serve() }"),
            ("tasks.rs", "pub struct Task;"),
            ("storage.rs", "pub struct Row(crate::later::Later);"),
            ("later.rs", "pub struct Later;"),
        ],
    );
    let found: Vec<String> = imports.iter().filter_map(violation).collect();
    let expected = [
        format!("control-plane/src/http/mod.rs:2 imports `crate::tasks::Task`, but {}.", FORBIDDEN_PARTS[0].2),
        format!("control-plane/src/service.rs:3 imports `axum::serve`, but {}.", FORBIDDEN_CRATES[0].2),
        "control-plane/src/service.rs:2 imports `crate::http::error::Error`, but `http` is above `service`.".to_owned(),
        "control-plane/src/storage.rs:1 imports `crate::later::Later`, but `later` has no line in LAYERS: give it one."
            .to_owned(),
    ];
    assert_eq!(found, expected);
}
