//! Checks the Worker, and the control plane behind it.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use super::findings::{Finding, Findings, Level};
use crate::{config::EdgeConfig, edge::kv::http_client, http};

/// How long the Worker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests to Durable Objects that Cloudflare's free plan includes a day.
/// <https://developers.cloudflare.com/durable-objects/platform/pricing/>
const FREE_REQUESTS_A_DAY: i64 = 100_000;
/// A control plane shows the feed that it is there once in so many milliseconds.
const SIGN_OF_LIFE_MILLIS: i64 = 3_000;
const MILLIS_A_DAY: i64 = 24 * 60 * 60 * 1000;
const DEPLOY: &str = "set the Worker's CONTROL_PLANE_URL to the public address of this control plane, and deploy it";

/// Whether the Worker can be asked further.
pub(super) async fn look(edge: &EdgeConfig, database_id: Option<&str>, findings: &mut Findings) -> bool {
    let worker = match Worker::new(edge) {
        Ok(worker) => worker,
        Err(error) => {
            findings.add(Finding::error("edge_settings_invalid", format!("{error:#}"), "correct LATCHKEY_EDGE_URL"));
            return false;
        }
    };
    let (finding, lease_ms) = worker.status().await;
    findings.add(finding);
    // Whether it passes requests on does not depend on whether it can validate keys.
    findings.extend(match (worker.control_plane().await, database_id) {
        (Some(finding), Some(id)) if finding.level < Level::Error => Some(worker.database(id).await.unwrap_or(finding)),
        (finding, _) => finding,
    });
    findings.extend(worker.metrics().await);
    findings.extend(lease_ms.map(allowance));
    lease_ms.is_some()
}

struct Worker<'a> {
    http: Client,
    url: Url,
    edge: &'a EdgeConfig,
}

impl<'a> Worker<'a> {
    fn new(edge: &'a EdgeConfig) -> anyhow::Result<Self> {
        Ok(Self { http: http_client(TIMEOUT)?, url: Url::parse(&edge.url)?, edge })
    }

    async fn send(&self, method: Method, path: &str, token: &str) -> reqwest::Result<Response> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        let request = self.http.request(method, url);
        if token.is_empty() { request.send().await } else { request.bearer_auth(token).send().await }
    }

    /// Whether it is our Worker, and how long its leases are if it is.
    async fn status(&self) -> (Finding, Option<i64>) {
        let url = "check that LATCHKEY_EDGE_URL is the Worker's address and that the Worker is deployed";
        let answer = self.send(Method::GET, "/_edge/status", self.edge.secrets.ingress_token()).await;
        let (status, body) = match answer {
            Ok(response) => (response.status(), response.json::<Value>().await.unwrap_or_default()),
            Err(error) => {
                let message = format!("the Worker cannot be reached: {}", error.without_url());
                return (Finding::error("worker_unreachable", message, url), None);
            }
        };
        let finding = match status {
            StatusCode::OK if body["kv_reads"].is_u64() => {
                let finding = Finding::ok("worker_answers", "the Worker responds and has the same edge secret");
                return (finding, Some(body["lease_ms"].as_i64().unwrap_or(shared::freshness::LEASE_MILLIS)));
            }
            StatusCode::UNAUTHORIZED => Finding::error(
                "edge_secret_differs",
                "the Worker has a different edge secret",
                "run `wrangler secret put LATCHKEY_EDGE_SECRET` with the value of LATCHKEY_EDGE_SECRET here, and deploy",
            ),
            StatusCode::SERVICE_UNAVAILABLE => Finding::error(
                "worker_not_configured",
                format!(
                    "the Worker cannot validate keys: {}",
                    body["message"].as_str().unwrap_or("it is not configured")
                ),
                "use the bindings of wrangler.toml, run `wrangler secret put LATCHKEY_EDGE_SECRET` with the value of \
                 LATCHKEY_EDGE_SECRET here, and deploy",
            ),
            _ => Finding::error(
                "not_the_worker",
                format!("the server at {} is not the Worker (status {status})", self.edge.url),
                url,
            ),
        };
        (finding, None)
    }

    /// Whether the Worker passes requests on to a control plane, and to one of this version. Its description is asked for,
    /// which needs no management key. Of a Worker that does not answer, enough has been said.
    async fn control_plane(&self) -> Option<Finding> {
        let response = self.send(Method::GET, "/openapi.json", "").await.ok()?;
        let status = response.status();
        Some(passed_on(status, &response.json::<Value>().await.unwrap_or_default()))
    }

    /// What is wrong if the control plane has another database than this one. An older one does not say which it has.
    async fn database(&self, own: &str) -> Option<Finding> {
        let response = self.send(Method::GET, "/health", "").await.ok()?;
        let id = response.headers().get(http::DATABASE_ID)?;
        (id != own).then(|| {
            let message = "the Worker forwards requests to a control plane with a different database";
            Finding::error("control_plane_foreign", message, DEPLOY)
        })
    }

    /// The control plane serves its metrics to those who watch it, and the Worker passes nobody on to them.
    async fn metrics(&self) -> Option<Finding> {
        let response = self.send(Method::GET, "/metrics", "").await.ok()?;
        let is_open = response.status() == StatusCode::OK && response.text().await.ok()?.contains("latchkey_");
        is_open.then(|| {
            Finding::error(
                "metrics_public",
                format!("anyone can read the metrics at {}/metrics", self.edge.url),
                "set LATCHKEY_METRICS_TOKEN, and deploy the Worker of this version, which does not forward /metrics",
            )
        })
    }
}

fn passed_on(status: StatusCode, body: &Value) -> Finding {
    let ours = serde_json::to_value(http::openapi()).unwrap_or_default();
    match (status.as_u16(), body["code"].as_str().unwrap_or_default()) {
        (200, _) if *body == ours => Finding::ok(
            "control_plane_behind_worker",
            "the Worker forwards requests to a control plane of this version",
        ),
        (200, _) if body["info"]["title"].is_string() && body["info"]["title"] == ours["info"]["title"] => {
            Finding::warning(
                "control_plane_version_differs",
                "the Worker forwards requests to a control plane of a different version than this command",
                format!("if you are not upgrading it now, {DEPLOY}"),
            )
        }
        (502, _) => Finding::error(
            "control_plane_unreachable",
            "the Worker cannot reach the control plane at its CONTROL_PLANE_URL",
            format!("check that `latchkey serve` runs and can be reached from the Internet, or {DEPLOY}"),
        ),
        (503, "control_plane_not_configured") => {
            Finding::error("control_plane_not_configured", "the Worker has no CONTROL_PLANE_URL", DEPLOY)
        }
        (503, code) => Finding::error(
            "control_plane_unavailable",
            format!("a request through the Worker returned 503 {code}"),
            "check the log of `latchkey serve`",
        ),
        _ => Finding::error(
            "control_plane_foreign",
            format!("the Worker forwards requests to a server that is not a Latchkey control plane (status {status})"),
            DEPLOY,
        ),
    }
}

/// The share of Cloudflare's free daily allowance that polling uses. It is a note, because on the paid plan it is of no
/// account, and nothing here says which plan it is.
fn allowance(lease_ms: i64) -> Finding {
    let polls = MILLIS_A_DAY / (lease_ms.max(2) / 2);
    let signs_of_life = MILLIS_A_DAY / SIGN_OF_LIFE_MILLIS;
    let percent = |requests: i64| requests * 100 / FREE_REQUESTS_A_DAY;
    let message = format!(
        "with LEASE_MS = {lease_ms}, each isolate that is always busy uses {}%, and each `latchkey serve` {}%, of the \
         {FREE_REQUESTS_A_DAY} requests to Durable Objects a day that Cloudflare's Free plan allows",
        percent(polls),
        percent(signs_of_life)
    );
    let finding = Finding::note("polling_allowance", message);
    let advice = "use the Paid plan or a longer LEASE_MS: on the Free plan, once the allowance is used up, the edge \
                  returns 503 for the rest of the day";
    let is_too_much = polls + signs_of_life >= FREE_REQUESTS_A_DAY;
    Finding { advice: is_too_much.then(|| advice.to_owned()), ..finding }
}

#[cfg(test)]
mod tests {
    use super::{super::findings::Level, *};

    #[test]
    fn answer_through_the_worker_is_judged() {
        let own = serde_json::to_value(http::openapi()).unwrap();
        let mut newer = own.clone();
        newer["info"]["version"] = "99.0.0".into();
        let error = |code: &str| serde_json::json!({"code": code, "message": "x"});
        for (status, body, level, code) in [
            (200, own, Level::Ok, "control_plane_behind_worker"),
            (200, newer, Level::Warning, "control_plane_version_differs"),
            (200, Value::Null, Level::Error, "control_plane_foreign"),
            (200, serde_json::json!({"info": {"title": "Another API"}}), Level::Error, "control_plane_foreign"),
            (404, error("not_found"), Level::Error, "control_plane_foreign"),
            (502, error("control_plane_unreachable"), Level::Error, "control_plane_unreachable"),
            (503, error("control_plane_not_configured"), Level::Error, "control_plane_not_configured"),
            (503, error("busy"), Level::Error, "control_plane_unavailable"),
        ] {
            let finding = passed_on(StatusCode::from_u16(status).unwrap(), &body);
            assert_eq!((finding.level, finding.code), (level, code), "{status} {body}");
        }
    }

    #[test]
    fn share_of_the_free_allowance_follows_from_the_lease() {
        let at_2_s = allowance(2_000);
        assert!(at_2_s.message.contains("86%") && at_2_s.message.contains("28%"), "{}", at_2_s.message);
        assert!(at_2_s.advice.is_some());
        let at_4_s = allowance(4_000);
        assert!(at_4_s.message.contains("43%"), "{}", at_4_s.message);
        assert_eq!(at_4_s.advice, None);
    }
}
