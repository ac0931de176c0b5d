//! The metrics, in Prometheus' text format. No label has a value that a caller chooses.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use shared::feed::State;

use crate::clock::Stopwatch;

/// Every metric of the server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<RouteLabels, Histogram>,
    validations: Family<ValidationLabels, Counter>,
    /// Records that the edge has yet to be told of.
    pub outbox_depth: Gauge,
    /// How long the oldest of them has been waiting, in seconds.
    pub outbox_age: Gauge,
    /// Records written to the edge's store.
    pub published: Counter,
    /// Bulk writes to the edge's store that failed.
    pub publish_failures: Counter,
    /// What is known of the change feed.
    pub feed: FeedMetrics,
    /// How old the oldest record of the edge's store is, in seconds.
    pub oldest_seal_age: Gauge,
    /// What is told of usage.
    pub usage: UsageMetrics,
    webhook_attempts: Family<AttemptLabels, Counter>,
}

/// Whether an attempt to deliver a webhook succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    result: &'static str,
}

/// What is counted of the batches in which the edge tells how keys were used.
#[derive(Debug, Default)]
pub struct UsageMetrics {
    validations: Family<ValidationLabels, Counter>,
    batches: Family<BatchLabels, Counter>,
    /// Validations that are in no count of usage, neither the edge's nor the server's own.
    pub lost: Counter,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchResult {
    /// It was added up.
    Applied,
    /// It was added up before.
    Repeated,
    /// It could not be read, or did not arrive whole.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchLabels {
    result: &'static str,
}

impl UsageMetrics {
    /// Counts validations that the edge made.
    pub fn count_validations(&self, outcome: &'static str, count: u64) {
        self.validations.get_or_create(&ValidationLabels { outcome }).inc_by(count);
    }

    /// Counts a batch of the edge.
    pub fn count_batch(&self, result: BatchResult) {
        let result = match result {
            BatchResult::Applied => "applied",
            BatchResult::Repeated => "repeated",
            BatchResult::Refused => "refused",
        };
        self.batches.get_or_create(&BatchLabels { result }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        let validations = "Validations that the edge has answered and reported";
        registry.register("edge_validations", validations, self.validations.clone());
        let batches = "Batches of usage counts from the edge";
        registry.register("usage_batches", batches, self.batches.clone());
        registry.register("usage_lost", "Validations that are missing from the usage counts", self.lost.clone());
    }
}

/// What is counted of the change feed.
#[derive(Debug, Default)]
pub struct FeedMetrics {
    states: Family<FeedStateLabels, Gauge>,
    /// How long the oldest change has been waiting that the feed has yet to be told of, in seconds.
    pub lag: Gauge,
    /// Changes that the feed was told of. One that was repeated counts again.
    pub appended: Counter,
    /// Appends that failed.
    pub append_failures: Counter,
    waiting: Gauge,
    /// Changes that the feed had and the database had not, because it was restored from a backup. They were taken over.
    pub drift: Counter,
}

/// How the change feed is, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedState {
    /// It is there and in this state.
    Is(State),
    /// It does not answer.
    Unreachable,
}

impl FeedState {
    const EVERY: [Self; 4] =
        [Self::Is(State::Open), Self::Is(State::Closed), Self::Is(State::Retired), Self::Unreachable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Is(state) => state.as_str(),
            Self::Unreachable => "unreachable",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeedStateLabels {
    state: &'static str,
}

/// A request that waits, for as long as this is there.
#[derive(Debug)]
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl FeedMetrics {
    /// Counts one more request that waits, until what is returned is dropped.
    #[must_use]
    pub fn count_waiting(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }

    /// Shows this state and no other.
    pub fn show(&self, now: FeedState) {
        for state in FeedState::EVERY {
            let gauge = self.states.get_or_create(&FeedStateLabels { state: state.as_str() });
            gauge.set(i64::from(state == now));
        }
    }

    fn register(&self, registry: &mut Registry) {
        let states = self.states.clone();
        registry.register("feed_state", "Whether the change feed is in this state, as last observed", states);
        let lag = "Age of the oldest change that the change feed does not have yet";
        registry.register_with_unit("feed_lag", lag, Unit::Seconds, self.lag.clone());
        registry.register("feed_appended", "Changes appended to the change feed", self.appended.clone());
        let failures = self.append_failures.clone();
        registry.register("feed_append_failures", "Failed appends to the change feed", failures);
        let waiting = "Requests that wait until the change feed has their change";
        registry.register("feed_pending_acknowledgements", waiting, self.waiting.clone());
        let drift = "Changes applied to the database from the change feed";
        registry.register("feed_drift", drift, self.drift.clone());
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ValidationLabels {
    outcome: &'static str,
}

/// Upper bounds of the histogram's buckets, in seconds.
const DURATIONS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("latchkey");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "HTTP requests handled", requests.clone());
        let request_duration = Family::new_with_constructor(new_histogram as fn() -> Histogram);
        registry.register_with_unit(
            "http_request_duration",
            "Time to handle an HTTP request",
            Unit::Seconds,
            request_duration.clone(),
        );
        let validations = Family::<ValidationLabels, Counter>::default();
        registry.register("validations", "Validations that the control plane has answered", validations.clone());
        let outbox_depth = Gauge::default();
        registry.register(
            "outbox_depth",
            "Changed records in the outbox, waiting for Workers KV; counted up to 100,000",
            outbox_depth.clone(),
        );
        let outbox_age = Gauge::default();
        registry.register_with_unit(
            "outbox_age",
            "Age of the oldest record in the outbox",
            Unit::Seconds,
            outbox_age.clone(),
        );
        let webhook_attempts = Family::default();
        let attempts = "Attempts to deliver a webhook";
        registry.register("webhook_attempts", attempts, Family::clone(&webhook_attempts));
        let published = Counter::default();
        registry.register("edge_published", "Records written to Workers KV", published.clone());
        let publish_failures = Counter::default();
        registry.register("edge_publish_failures", "Failed bulk writes to Workers KV", publish_failures.clone());
        let feed = FeedMetrics::default();
        feed.register(&mut registry);
        let oldest_seal_age = Gauge::default();
        registry.register_with_unit(
            "edge_oldest_seal_age",
            "Time since the oldest record in Workers KV was sealed",
            Unit::Seconds,
            oldest_seal_age.clone(),
        );
        let usage = UsageMetrics::default();
        usage.register(&mut registry);
        Self {
            registry,
            requests,
            request_duration,
            validations,
            outbox_depth,
            outbox_age,
            published,
            webhook_attempts,
            publish_failures,
            feed,
            oldest_seal_age,
            usage,
        }
    }
}

fn new_histogram() -> Histogram {
    Histogram::new(DURATIONS)
}

impl Metrics {
    /// Counts an attempt to deliver a webhook.
    pub fn count_webhook_attempt(&self, is_success: bool) {
        let result = if is_success { "succeeded" } else { "failed" };
        self.webhook_attempts.get_or_create(&AttemptLabels { result }).inc();
    }

    /// Counts an answered request. `route` is the route's pattern, never the path that was asked for.
    pub fn count_request(&self, method: &str, route: &str, status: u16, stopwatch: Stopwatch) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.requests.get_or_create(&RequestLabels { method: method.clone(), route: route.clone(), status }).inc();
        let duration = self.request_duration.get_or_create(&RouteLabels { method, route });
        duration.observe(stopwatch.elapsed().as_secs_f64());
    }

    /// Counts a validation by its outcome: `valid`, or the code of the refusal.
    pub fn count_validation(&self, outcome: &'static str) {
        self.validations.get_or_create(&ValidationLabels { outcome }).inc();
    }

    /// All of it, in Prometheus' text format.
    pub fn to_text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feed_is_in_one_state_at_a_time() {
        let metrics = Metrics::default();
        let shown = |state: &str, value: i64| {
            let line = format!("latchkey_feed_state{{state=\"{state}\"}} {value}\n");
            assert!(metrics.to_text().unwrap().contains(&line), "{line}");
        };
        metrics.feed.show(FeedState::Unreachable);
        shown("unreachable", 1);
        shown("open", 0);
        metrics.feed.show(FeedState::Is(State::Open));
        shown("unreachable", 0);
        shown("open", 1);
    }

    #[test]
    fn whoever_waits_is_counted_until_it_waits_no_more() {
        let metrics = FeedMetrics::default();
        let (one, other) = (metrics.count_waiting(), metrics.count_waiting());
        assert_eq!(metrics.waiting.get(), 2);
        drop((one, other));
        assert_eq!(metrics.waiting.get(), 0);
    }
}
