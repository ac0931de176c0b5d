use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{IntervalUsage, Range, UsageParams, Wanted};
use crate::{
    api::{Error, access::ReadApiKeys, list::Query},
    app::App,
    storage::usage,
};

/// How often there was a validation in the environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    /// Always `usage`.
    object: &'static str,
    #[serde(flatten)]
    range: Range,
    /// The intervals, oldest first. One without any validation is left out.
    data: Vec<IntervalUsage>,
}

/// Get how often there was a validation in the environment, by outcome.
///
/// It counts what is no key as well, as `not_found` and `malformed`, so that somebody who tries many is seen.
#[utoipa::path(get, path = "/usage", tag = "usage",
    operation_id = "getUsage", security(("management_key" = ["api_keys:read"])),
    params(UsageParams),
    responses((status = 200, body = Usage)))]
pub async fn get(State(app): State<App>, ReadApiKeys(caller): ReadApiKeys, query: Query) -> Result<Json<Usage>, Error> {
    let wanted = Wanted::read(&query, app.clock.now())?;
    let totals = usage::of_environment(app.db.read().await?.conn(), &caller.environment, wanted.span).await?;
    Ok(Json(Usage { object: "usage", range: wanted.shown(), data: Wanted::data(totals) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::testing::*,
        storage::{Db, testing::conformance},
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
