use axum::{Json, extract::State};
use serde::Serialize;
use shared::id::ApiKeyId;
use utoipa::ToSchema;

use crate::{
    http::{
        Error,
        extract::{access::ReadApiKeys, now::Now, path::InPath, query::Query},
        routes::usage::view::{IntervalUsage, Range, UsageParams, Wanted},
    },
    service::api_keys,
    state::AppState,
};

/// Counts of the validations of an API key.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyUsage {
    /// Always `api_key_usage`.
    object: &'static str,
    /// The id of the API key.
    api_key_id: ApiKeyId,
    #[serde(flatten)]
    range: Range,
    /// The counts of each interval, oldest first. Intervals without validations are omitted.
    data: Vec<IntervalUsage>,
}

/// Get the usage of an API key.
///
/// Counts the validations of the key by hour or day and by outcome. The range is extended to whole
/// intervals. Also works for a revoked key.
#[utoipa::path(get, path = "/api_keys/{id}/usage", tag = "api_keys",
    operation_id = "getApiKeyUsage", security(("management_key" = ["api_keys:read"])),
    params(("id" = ApiKeyId, Path), UsageParams),
    responses((status = 200, body = ApiKeyUsage)))]
pub async fn usage(
    State(state): State<AppState>,
    Now(now): Now,
    ReadApiKeys(caller): ReadApiKeys,
    InPath(id): InPath<ApiKeyId>,
    query: Query,
) -> Result<Json<ApiKeyUsage>, Error> {
    let mut reader = state.database.read().await?;
    api_keys::require_known(reader.conn(), &caller.environment, &id).await?;
    let wanted = Wanted::read(&query, now)?;
    let totals = api_keys::usage(reader.conn(), &caller.environment, &id, wanted.span).await?;
    let data = Wanted::data(totals);
    Ok(Json(ApiKeyUsage { object: "api_key_usage", api_key_id: id, range: wanted.shown(), data }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    const HOUR: i64 = 3_600_000;

    /// A server with a key, its path and its text.
    async fn world(db: Db) -> (Server, String, String) {
        let server = Server::new(db).await;
        let key = server.api_key(&server.organization().await, json!({"name": "k"})).await;
        (server, format!("/api_keys/{}", id_of(&key)), key["value"].as_str().unwrap().to_owned())
    }

    conformance! {
        async fn validations_are_shown_by_hour_and_outcome_and_the_last_use_with_the_key(db: Db) {
            let (server, path, value) = world(db).await;
            server.validate(&value).await;
            server.advance(HOUR + 1);
            server.validate(&value).await;
            server.post("/api_keys/validations", json!({"value": value, "permissions": "admin"})).await.expect(200);
            server.write_usage().await;
            let usage = server.get(&format!("{path}/usage")).await.expect(200);
            assert_eq!(usage, json!({
                "object": "api_key_usage",
                "api_key_id": path.rsplit('/').next().unwrap(),
                "interval": "hour",
                "from": "2027-01-14T09:00:00.000Z",
                "to": "2027-01-15T10:00:00.000Z",
                "data": [
                    {"start": "2027-01-15T08:00:00.000Z", "outcomes": {"valid": 1}, "total": 1},
                    {"start": "2027-01-15T09:00:00.000Z", "outcomes": {"insufficient_permissions": 1, "valid": 1}, "total": 2},
                ],
            }));
            let days = server.get(&format!("{path}/usage?interval=day")).await.expect(200);
            assert_eq!((&days["from"], &days["to"]), (&json!("2026-12-16T00:00:00.000Z"), &json!("2027-01-16T00:00:00.000Z")));
            assert_eq!(days["data"], json!([
                {"start": "2027-01-15T00:00:00.000Z", "outcomes": {"insufficient_permissions": 1, "valid": 2}, "total": 3},
            ]));
            let used = START.plus_millis(HOUR + 1).to_string();
            let key = server.get(&path).await.expect(200);
            assert_eq!((&key["last_used_at"], &key["updated_at"]), (&json!(used), &json!(START.to_string())));
            assert_eq!(server.validate(&value).await["api_key"]["last_used_at"], json!(used));
        }

        async fn a_refused_key_was_not_used(db: Db) {
            let (server, path, value) = world(db).await;
            server.validate(&value).await;
            server.write_usage().await;
            server.advance(1_000);
            server.post(&format!("{path}/expire"), json!({})).await.expect(200);
            assert_eq!(server.validate(&value).await["code"], "expired");
            server.write_usage().await;
            assert_eq!(server.get(&path).await.expect(200)["last_used_at"], json!(START.to_string()));
        }

        async fn whoever_still_tries_a_revoked_key_is_seen(db: Db) {
            let (server, path, value) = world(db).await;
            server.delete(&path).await.expect(204);
            assert_eq!(server.validate(&value).await["code"], "revoked");
            server.write_usage().await;
            let usage = server.get(&format!("{path}/usage")).await.expect(200);
            assert_eq!(usage["data"][0]["outcomes"], json!({"revoked": 1}));
            let stranger = server.of_another_environment().await;
            assert_eq!(stranger.get(&format!("{path}/usage")).await.error(404), "entity_not_found");
        }

        async fn a_range_is_widened_to_whole_intervals(db: Db) {
            let (server, path, _) = world(db).await;
            for (query, from, to) in [
                ("from=2027-01-01T00:00:00Z&to=2027-01-01T01:00:00Z", "2027-01-01T00:00", "2027-01-01T01:00"),
                ("from=2027-01-01T00:59:59.999Z&to=2027-01-01T01:00:00.001Z", "2027-01-01T00:00", "2027-01-01T02:00"),
                // Clocks are put forward in Berlin that night.
                ("from=2026-03-29T01:30:00%2B01:00&to=2026-03-29T03:30:00%2B02:00", "2026-03-29T00:00", "2026-03-29T02:00"),
                ("interval=day&from=2026-03-28T23:30:00-01:00&to=2026-03-30T00:30:00Z", "2026-03-29T00:00", "2026-03-31T00:00"),
                ("from=2026-12-01T00:00:00Z&to=2027-01-01T00:00:00Z", "2026-12-01T00:00", "2027-01-01T00:00"),
                ("interval=day&from=2026-01-01T12:00:00Z&to=2027-02-05T12:00:00Z", "2026-01-01T00:00", "2027-02-06T00:00"),
                ("to=2027-01-01T00:30:00Z", "2026-12-31T00:00", "2027-01-01T01:00"),
                ("interval=day&to=2027-01-01T00:30:00Z", "2026-12-02T00:00", "2027-01-02T00:00"),
                ("from=&to=&interval=hour", "2027-01-14T08:00", "2027-01-15T09:00"),
                ("to=1970-01-01T02:00:00Z", "1970-01-01T00:00", "1970-01-01T02:00"),
                ("from=1970-01-01T00:00:00Z&to=1970-01-01T00:00:00.001Z", "1970-01-01T00:00", "1970-01-01T01:00"),
            ] {
                let usage = server.get(&format!("{path}/usage?{query}")).await.expect(200);
                let whole = |moment: &Value| moment.as_str().unwrap().strip_suffix(":00.000Z").unwrap().to_owned();
                assert_eq!((whole(&usage["from"]), whole(&usage["to"])), (from.to_owned(), to.to_owned()), "{query}");
            }
        }

        async fn a_range_that_makes_no_sense_names_its_field(db: Db) {
            let (server, path, _) = world(db).await;
            for (query, fields) in [
                ("interval=week", vec!["interval"]),
                ("interval=", vec!["interval"]),
                ("from=yesterday", vec!["from"]),
                ("to=2027-01-01", vec!["to"]),
                ("from=2027-01-01T00:00:00Z&to=2027-01-01T00:00:00Z", vec!["from"]),
                ("from=2027-01-02T00:00:00Z&to=2027-01-01T00:00:00Z", vec!["from"]),
                ("from=2030-01-01T00:00:00Z", vec!["from"]),
                ("from=2026-12-01T00:00:00Z&to=2027-01-01T00:00:00.001Z", vec!["from"]),
                ("interval=day&from=2026-01-01T12:00:00Z&to=2027-02-05T12:00:00.001Z", vec!["from"]),
                ("from=x&to=x&interval=x", vec!["interval", "to", "from"]),
            ] {
                assert_eq!(server.get(&format!("{path}/usage?{query}")).await.fields(), fields, "{query}");
            }
        }
    }
}
