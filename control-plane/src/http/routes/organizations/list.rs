use axum::{Json, extract::State};
use shared::id::OrganizationId;

use crate::{
    http::{
        Error,
        extract::{
            access::ReadOrganizations,
            query::{ListParams, Query},
        },
        list::List,
    },
    objects::organizations::Organization,
    service::organizations,
    state::AppState,
};

/// List organizations.
///
/// Returns the organizations of the environment, newest first by default. `domains` and `search` filter them.
#[utoipa::path(get, path = "/organizations", tag = "organizations",
    operation_id = "listOrganizations", security(("management_key" = ["organizations:read"])),
    params(
        ListParams,
        ("domains" = Option<Vec<String>>, Query, explode = false, description = "Domains, separated by commas: return only organizations that have one of them. At most 50."),
        ("search" = Option<String>, Query, description = "Text: return only organizations whose name contains it, regardless of case. At most 255 characters."),
    ),
    responses((status = 200, body = List<Organization>)))]
pub async fn list(
    State(state): State<AppState>,
    ReadOrganizations(caller): ReadOrganizations,
    query: Query,
) -> Result<Json<List<Organization>>, Error> {
    let wanted = query.page::<OrganizationId>()?;
    let filter = organizations::filter(query.get("search"), &query.all("domains"))?;
    let (environment, searches) = (&caller.environment, &state.searches);
    let page = organizations::list(&state.database, searches, environment, filter, &wanted.page).await?;
    Ok(Json(List::new(&wanted, page, |row| row.id.as_str(), Organization::from)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::future::{join, join_all};
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn pages_follow_each_other_in_both_directions(db: Db) {
            let server = Server::new(db).await;
            let mut made = Vec::new();
            for _ in 0..5 {
                server.advance(1);
                made.push(server.organization().await);
            }
            let first = server.get("/organizations?limit=2&order=asc").await.expect(200);
            assert_eq!(ids_of(&first), made[..2]);
            assert_eq!(first["list_metadata"], json!({"before": null, "after": made[1]}));
            let second = server.get(&format!("/organizations?limit=2&order=asc&after={}", made[1])).await.expect(200);
            assert_eq!(ids_of(&second), made[2..4]);
            assert_eq!(second["list_metadata"], json!({"before": made[2], "after": made[3]}));
            let back = server.get(&format!("/organizations?limit=2&order=asc&before={}", made[2])).await.expect(200);
            assert_eq!(ids_of(&back), made[..2]);
            assert_eq!(back["list_metadata"], json!({"before": null, "after": made[1]}));
            made.reverse();
            assert_eq!(ids_of(&server.get("/organizations").await.expect(200)), made);
            // `normal` is newest first with the cursors exchanged.
            let normal = server.get("/organizations?limit=2&order=normal").await.expect(200);
            assert_eq!(normal["list_metadata"], json!({"before": made[1], "after": null}));
            let older = server.get(&format!("/organizations?limit=2&order=normal&before={}", made[1])).await.expect(200);
            assert_eq!(ids_of(&older), made[2..4]);
        }

        async fn rows_that_are_added_meanwhile_make_no_other_appear_twice_or_never(db: Db) {
            let server = Server::new(db).await;
            let mut made = Vec::new();
            for _ in 0..7 {
                server.advance(1);
                made.push(server.organization().await);
            }
            for order in ["asc", "desc"] {
                let (mut seen, mut cursor) = (Vec::new(), String::new());
                loop {
                    let page = server.get(&format!("/organizations?limit=2&order={order}&after={cursor}")).await.expect(200);
                    seen.extend(ids_of(&page));
                    server.advance(1);
                    let added = server.organization().await;
                    match page["list_metadata"]["after"].as_str() {
                        Some(after) if seen.len() < 40 && cursor != added => after.clone_into(&mut cursor),
                        _ => break,
                    }
                    if made.iter().all(|id| seen.contains(id)) {
                        break;
                    }
                }
                let mut once = seen.clone();
                once.sort();
                once.dedup();
                assert_eq!(once.len(), seen.len(), "{order}: an item was shown twice");
                assert!(made.iter().all(|id| seen.contains(id)), "{order}: an item was skipped");
            }
        }

        async fn search_takes_its_text_literally(db: Db) {
            let server = Server::new(db).await;
            for name in ["Acme 100%", "acme_x", "Other!"] {
                server.post("/organizations", json!({"name": name})).await.expect(201);
            }
            for (search, found) in [("ACME", 2), ("%25", 1), ("_", 1), ("!", 1), ("z", 0), ("'", 0)] {
                let list = server.get(&format!("/organizations?search={search}")).await.expect(200);
                assert_eq!(ids_of(&list).len(), found, "{search}");
            }
        }

        async fn search_ignores_case_in_every_script(db: Db) {
            let server = Server::new(db).await;
            let created = server.post("/organizations", json!({"name": "ÄRZTE GmbH"})).await.expect(201);
            let path = format!("/organizations/{}", id_of(&created));
            for (search, found) in [("%C3%A4rzte", 1), ("%C3%84RZTE", 1), ("gMBH", 1), ("arzte", 0)] {
                let list = server.get(&format!("/organizations?search={search}")).await.expect(200);
                assert_eq!(ids_of(&list).len(), found, "{search}");
            }
            server.put(&path, json!({"name": "Große Straße"})).await.expect(200);
            for (search, found) in [("%C3%A4rzte", 0), ("STRASSE", 1), ("GRO%E1%BA%9EE", 1), ("gro%C3%9Fe", 1)] {
                let list = server.get(&format!("/organizations?search={search}")).await.expect(200);
                assert_eq!(ids_of(&list).len(), found, "{search}");
            }
        }

        async fn searches_wait_for_each_other_and_nobody_else_waits_for_them(db: Db) {
            let server = Server::new(db).await;
            let id = server.organization().await;
            let held = join(server.state.searches.wait(), server.state.searches.wait()).await;
            assert_eq!(server.state.searches.free(), 0, "these are all");
            let is_held = AtomicBool::new(true);
            let search = async || {
                let found = server.get("/organizations?search=acme").await;
                assert!(!is_held.load(Ordering::Relaxed), "it did not wait");
                assert_eq!(ids_of(&found.expect(200)), std::slice::from_ref(&id));
            };
            let others = async {
                for _ in 0..20 {
                    assert_eq!(ids_of(&server.get("/organizations").await.expect(200)), std::slice::from_ref(&id));
                }
                is_held.store(false, Ordering::Relaxed);
                drop(held);
            };
            join(join_all((0..20).map(|_| search())), others).await;
            assert_eq!(server.state.searches.free(), 2);
        }

        async fn a_query_that_makes_no_sense_is_refused(db: Db) {
            let server = Server::new(db).await;
            let id = server.organization().await;
            for (query, field) in [
                ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"),
                ("order=up", "order"), ("after=x", "after"), ("before=user_01", "before"), ("search=%00", "search"),
            ] {
                assert_eq!(server.get(&format!("/organizations?{query}")).await.fields(), [field], "{query}");
            }
            let both = format!("/organizations?after={id}&before={id}");
            assert_eq!(server.get(&both).await.fields(), ["before"]);
            server.get("/organizations?unknown=1&search=&after=&domains=").await.expect(200);
        }
    }
}
