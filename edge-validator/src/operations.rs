//! `/metrics` and `/ready` are for operators, who query the control plane directly. The Worker does not serve them, in
//! any spelling that the control plane, or a proxy in front of it, might recognise.

use shared::error::ApiError;

use crate::failure::Failure;

const ROUTES: [&str; 2] = ["metrics", "ready"];
/// A path can be encoded again and again; nobody decodes it more often than this.
const DECODED_MAX: usize = 4;

/// Whether the first segment of the path is one of these routes, once it is decoded and empty segments are left out.
pub fn is_path_of_operators(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..DECODED_MAX {
        path = decoded(&path);
    }
    let segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
    let first = segments.map(<[u8]>::trim_ascii).find(|segment| !segment.is_empty() && *segment != b".");
    // What follows a semicolon are parameters of the segment to some servers.
    let name = first.and_then(|segment| segment.split(|byte| *byte == b';').next()).unwrap_or_default();
    ROUTES.iter().any(|route| name.eq_ignore_ascii_case(route.as_bytes()))
}

/// The answer, which is that of a route that does not exist.
pub fn not_found() -> Failure {
    let message = "The Worker does not serve this route. Query the control plane directly.";
    ApiError::new(404, "not_found", message).into()
}

/// Without one layer of percent-encoding.
fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let byte = match after {
            [high, low, ..] if first == b'%' => digit(*high).zip(digit(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        decoded.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::is_path_of_operators;

    #[test]
    fn paths_of_operators_are_recognised_in_any_spelling() {
        for path in [
            "/metrics",
            "/ready",
            "/metrics/",
            "//metrics",
            "///ready//",
            "/METRICS",
            "/%6detrics",
            "/%6D%65trics",
            "/%256detrics",
            "/%2fmetrics",
            "/metrics%2f",
            "/.%2fmetrics",
            "/\\metrics",
            "/metrics;x=1",
            "/metrics/x",
            "/ready%20",
        ] {
            assert!(is_path_of_operators(path), "{path}");
        }
        for path in
            ["", "/", "/health", "/openapi.json", "/metricsx", "/organizations/metrics", "/readyz", "/%6", "/%zz"]
        {
            assert!(!is_path_of_operators(path), "{path}");
        }
    }
}
