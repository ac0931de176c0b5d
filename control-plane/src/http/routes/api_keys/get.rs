use axum::{Json, extract::State};
use serde::Serialize;
use shared::{id::ApiKeyId, record::Version};
use utoipa::ToSchema;

use crate::{
    edge::lookup::Has,
    http::{
        Error,
        extract::{access::ReadApiKeys, now::Now, path::InPath},
    },
    objects::api_keys::ManagedApiKey,
    service::api_keys::{self, VersionsAtEdge},
    state::AppState,
};

/// An API key, and its versions at the edge.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyAtEdge {
    #[serde(flatten)]
    key: ManagedApiKey,
    /// The versions of the key in the database and at the edge. Omitted if no edge is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<EdgeVersions>,
}

/// The current versions of a key. The highest version is the current one. The edge never decides by a version that
/// is older than the one in the change feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct EdgeVersions {
    /// The version in the database.
    database: i64,
    /// The version in the change feed. Null if the feed has none, as for a key that has not changed for a week, or if
    /// it is unknown.
    #[schema(required)]
    feed: Option<i64>,
    /// The version in Workers KV, as Cloudflare's API returns it. Null if KV has none, or if it is unknown.
    #[schema(required)]
    kv: Option<i64>,
    /// True while the change feed does not have the last change.
    propagating: bool,
    /// Why `feed` is unknown. Omitted if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    feed_unknown: Option<&'static str>,
    /// Why `kv` is unknown. Omitted if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_unknown: Option<&'static str>,
}

impl From<VersionsAtEdge> for EdgeVersions {
    fn from(versions: VersionsAtEdge) -> Self {
        let (feed, feed_unknown) = shown(versions.at_edge.feed);
        let (kv, kv_unknown) = shown(versions.at_edge.kv);
        let (Version(database), propagating) = (versions.database, versions.propagating);
        Self { database, feed, kv, propagating, feed_unknown, kv_unknown }
    }
}

const fn shown(has: Has) -> (Option<i64>, Option<&'static str>) {
    match has {
        Has::Version(Version(version)) => (Some(version), None),
        Has::Nothing => (None, None),
        Has::Unknown(why) => (None, Some(why)),
    }
}

/// Get an API key.
///
/// Includes the versions of the key in the database, the change feed and Workers KV. A revoked key is not found.
#[utoipa::path(get, path = "/api_keys/{id}", tag = "api_keys",
    operation_id = "getApiKey", security(("management_key" = ["api_keys:read"])),
    params(("id" = ApiKeyId, Path)),
    responses((status = 200, body = ApiKeyAtEdge)))]
pub async fn get(
    State(state): State<AppState>,
    Now(now): Now,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(id): InPath<ApiKeyId>,
) -> Result<Json<ApiKeyAtEdge>, Error> {
    let row = api_keys::get(state.database.read().await?.conn(), &caller.environment, &id).await?;
    let versions = api_keys::versions_at_edge(&state.database, state.lookup.as_deref(), &row).await?;
    Ok(Json(ApiKeyAtEdge { key: ManagedApiKey::new(row, now), edge: versions.map(EdgeVersions::from) }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        edge::lookup::Lookup,
        storage::{Db, testing::conformance},
        testing::{fake_worker::Mood, server::*, world::World},
    };

    conformance! {
        async fn the_versions_show_how_far_a_change_has_come(db: Db) {
            let world = World::new(db).await;
            let lookup = Lookup::new(world.edge(), world.clock.clone()).unwrap();
            let context = world.context();
            let state = state_of(&context).with_lookup(Some(lookup));
            let server = Server::with_state(state, context).await.of_environment(&world.tenant.environment).await;
            let id = world.create_key_for_feed("key").await;
            let path = format!("/api_keys/{id}");
            let edge = async || server.get(&path).await.expect(200)["edge"].clone();
            let version = world.versions().await[id.as_str()].0;
            assert_eq!(edge().await, json!({"database": version, "feed": null, "kv": null, "propagating": true}));
            world.feed_all().await;
            assert_eq!(edge().await, json!({"database": version, "feed": version, "kv": null, "propagating": false}));
            world.flusher().flush().await.unwrap();
            assert_eq!(edge().await, json!({"database": version, "feed": version, "kv": version, "propagating": false}));
            world.feed.set_mood(Mood::Failing);
            let unknown = edge().await;
            assert_eq!((&unknown["feed"], &unknown["kv"]), (&Value::Null, &json!(version)));
            assert!(unknown["feed_unknown"].is_string() && unknown.get("kv_unknown").is_none(), "{unknown}");
        }

        async fn without_an_edge_nothing_is_said_of_it(db: Db) {
            let server = Server::new(db).await;
            let mut key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
            key.as_object_mut().unwrap().remove("value");
            assert_eq!(server.get(&format!("/api_keys/{}", id_of(&key))).await.expect(200), key);
        }
    }
}
