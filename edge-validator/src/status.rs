//! `GET /_edge/status`: the counters of this isolate.

use shared::error::ApiError;
use worker::{Request, Response};

use crate::{config::Config, counters, failure::Failure, response};

/// Answers whoever holds the edge secret, which is the control plane.
pub fn answer(request: &Request, config: &Config) -> Result<Response, Failure> {
    let authorization = request.headers().get("authorization")?;
    let token = authorization.as_deref().and_then(bearer).unwrap_or_default();
    if !config.edge()?.secrets.admits(token) {
        return Err(ApiError::new(401, "unauthorized", "This route is for the control plane.").into());
    }
    let counters = serde_json::to_string(&counters::current()).map_err(worker::Error::from)?;
    Ok(response::json(200, counters)?)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn a_bearer_token_is_read_and_nothing_else() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["", "abc", "Basic abc", "Bearerabc"] {
            assert_eq!(bearer(other), None, "{other}");
        }
    }
}
