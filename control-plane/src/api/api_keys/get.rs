use axum::{Json, extract::State};
use serde::Serialize;
use shared::{
    id::{ApiKeyId, EnvironmentId},
    record::Version,
};
use utoipa::ToSchema;

use super::ShownApiKey;
use crate::{
    api::{Error, access::ReadApiKeys, path::InPath},
    app::App,
    edge::lookup::Has,
    storage::{
        api_keys::{self, ApiKey},
        outbox,
    },
};

/// A key, and what the edge has of it.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyAtEdge {
    #[serde(flatten)]
    key: ShownApiKey,
    /// Left out if no edge is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<EdgeVersions>,
}

/// Which version of a key is where, now. The highest one counts: the edge believes nothing older than what the feed has.
#[derive(Debug, Serialize, ToSchema)]
pub struct EdgeVersions {
    /// The version in the database.
    database: i64,
    /// The version in the change feed. Null if it has none, as of a key that was not changed in the last week, or if
    /// that is unknown.
    feed: Option<i64>,
    /// The version in Workers KV, as Cloudflare's API shows it. Null if it has none, or if that is unknown.
    kv: Option<i64>,
    /// Whether the change feed has yet to be told of the last change.
    propagating: bool,
    /// Why `feed` is unknown. Left out if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    feed_unknown: Option<&'static str>,
    /// Why `kv` is unknown. Left out if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_unknown: Option<&'static str>,
}

/// Get an API key, and which version of it the edge has.
#[utoipa::path(get, path = "/api_keys/{id}", tag = "api_keys",
    operation_id = "getApiKey", security(("management_key" = ["api_keys:read"])),
    params(("id" = ApiKeyId, Path)),
    responses((status = 200, body = ApiKeyAtEdge)))]
pub async fn get(
    State(app): State<App>,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(id): InPath<ApiKeyId>,
) -> Result<Json<ApiKeyAtEdge>, Error> {
    let row = read(&app, &caller.environment, &id).await?;
    let row = row.ok_or_else(|| Error::not_found("API key"))?;
    let edge = edge_versions(&app, &row).await?;
    Ok(Json(ApiKeyAtEdge { key: ShownApiKey::new(row, app.clock.now()), edge }))
}

/// Nothing of the database is held while the edge is asked.
async fn read(app: &App, environment: &EnvironmentId, id: &ApiKeyId) -> Result<Option<ApiKey>, Error> {
    Ok(api_keys::get(app.db.read().await?.conn(), environment, id).await?)
}

async fn edge_versions(app: &App, row: &ApiKey) -> Result<Option<EdgeVersions>, Error> {
    let (Some(lookup), Some(kv_key)) = (&app.lookup, row.kv_key()) else { return Ok(None) };
    let unfed = outbox::unfed_of(app.db.read().await?.conn(), &[row.id.as_str()]).await?;
    let found = lookup.look(&kv_key).await;
    let (feed, feed_unknown) = shown(found.feed);
    let (kv, kv_unknown) = shown(found.kv);
    let Version(database) = row.version;
    Ok(Some(EdgeVersions { database, feed, kv, propagating: !unfed.is_empty(), feed_unknown, kv_unknown }))
}

const fn shown(has: Has) -> (Option<i64>, Option<&'static str>) {
    match has {
        Has::Version(Version(version)) => (Some(version), None),
        Has::Nothing => (None, None),
        Has::Unknown(why) => (None, Some(why)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        api::testing::*,
        edge::{
            lookup::Lookup,
            testing::{World, feed::Mood},
        },
        storage::{Db, testing::conformance},
    };

    conformance! {
        async fn the_versions_show_how_far_a_change_has_come(db: Db) {
            let world = World::new(db).await;
            let lookup = Lookup::new(world.edge(), world.clock.clone()).unwrap();
            let app = world.app().with_lookup(lookup);
            let server = Server::of(app).await.of_environment(&world.tenant.environment).await;
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
