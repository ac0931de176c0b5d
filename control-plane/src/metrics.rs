//! What is counted, in Prometheus' text format. No label has a value that a caller chooses.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

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
        registry.register("http_requests", "Requests answered", requests.clone());
        let request_duration = Family::new_with_constructor(new_histogram as fn() -> Histogram);
        registry.register_with_unit(
            "http_request_duration",
            "How long answering took",
            Unit::Seconds,
            request_duration.clone(),
        );
        let validations = Family::<ValidationLabels, Counter>::default();
        registry.register("validations", "Validations that the control plane answered", validations.clone());
        let outbox_depth = Gauge::default();
        registry.register("outbox_depth", "Records that the edge has yet to be told of", outbox_depth.clone());
        let outbox_age = Gauge::default();
        registry.register_with_unit(
            "outbox_age",
            "How long the oldest of them has been waiting",
            Unit::Seconds,
            outbox_age.clone(),
        );
        let published = Counter::default();
        registry.register("edge_published", "Records written to the edge's store", published.clone());
        let publish_failures = Counter::default();
        registry.register(
            "edge_publish_failures",
            "Bulk writes to the edge's store that failed",
            publish_failures.clone(),
        );
        Self {
            registry,
            requests,
            request_duration,
            validations,
            outbox_depth,
            outbox_age,
            published,
            publish_failures,
        }
    }
}

fn new_histogram() -> Histogram {
    Histogram::new(DURATIONS)
}

impl Metrics {
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
