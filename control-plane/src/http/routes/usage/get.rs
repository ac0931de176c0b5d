use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::{IntervalUsage, Range, UsageParams, Wanted};
use crate::{
    http::{
        Error,
        extract::{access::ReadApiKeys, now::Now, query::Query},
    },
    service::usage,
    state::AppState,
};

/// Counts of the validations in the environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    /// Always `usage`.
    object: &'static str,
    #[serde(flatten)]
    range: Range,
    /// The counts of each interval, oldest first. Intervals without validations are omitted.
    data: Vec<IntervalUsage>,
}

/// Get the usage of the environment.
///
/// Counts the validations of all API keys by hour or day and by outcome. Includes values that are not keys of the
/// environment, as `not_found` and `malformed`. The range is extended to whole intervals.
#[utoipa::path(get, path = "/usage", tag = "usage",
    operation_id = "getUsage", security(("management_key" = ["api_keys:read"])),
    params(UsageParams),
    responses((status = 200, body = Usage)))]
pub async fn get(
    State(state): State<AppState>,
    Now(now): Now,
    ReadApiKeys(caller): ReadApiKeys,
    query: Query,
) -> Result<Json<Usage>, Error> {
    let wanted = Wanted::read(&query, now)?;
    let mut reader = state.database.read().await?;
    let totals = usage::of_environment(reader.conn(), &caller.environment, wanted.span).await?;
    Ok(Json(Usage { object: "usage", range: wanted.shown(), data: Wanted::data(totals) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        storage::{Db, testing::conformance},
        testing::server::*,
    };

    conformance! {
        async fn a_flood_of_what_is_no_key_is_seen(db: Db) {
            let server = Server::new(db).await;
            let stranger = server.of_another_environment().await;
            for _ in 0..3 {
                let unknown = shared::key::KeyText::generate(&"lk_test".parse().unwrap(), &mut crate::entropy::OsEntropy);
                assert_eq!(server.validate(unknown.expose()).await["code"], "not_found");
            }
            assert_eq!(server.validate("typo").await["code"], "malformed");
            server.write_usage().await;
            assert_eq!(server.get("/usage").await.expect(200), json!({
                "object": "usage",
                "interval": "hour",
                "from": "2027-01-14T08:00:00.000Z",
                "to": "2027-01-15T09:00:00.000Z",
                "data": [{"start": START.to_string(), "outcomes": {"malformed": 1, "not_found": 3}, "total": 4}],
            }));
            assert_eq!(stranger.get("/usage").await.expect(200)["data"], json!([]));
        }
    }
}
