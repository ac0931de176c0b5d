//! Reading a request's body, and no more of it than is wanted.

use std::{borrow::Cow, time::Duration};

use futures_util::StreamExt;
use shared::{error::ApiError, json};
use worker::Request;

use crate::{failure::Failure, wait::within};

/// A body this short is there at once, or its sender is dawdling.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body. One that is too long is given up as soon as that is known.
pub async fn read(request: &mut Request, limit: usize) -> Result<Vec<u8>, Failure> {
    let declared = request.headers().get("content-length")?.and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(ApiError::too_large(limit).into());
    }
    let body = within(PATIENCE, read_to_limit(request, limit)).await;
    body.unwrap_or_else(
        || Err(ApiError::new(408, "request_timeout", "The request body did not arrive in time.").into()),
    )
}

/// The body as it was sent, of which JavaScript made this text: without a byte order mark, and with a replacement
/// character, of three bytes, for what is no UTF-8. What it replaced was shorter, or is refused for what now stands there.
pub fn as_sent(text: &str, length: usize) -> Result<Cow<'_, str>, ApiError> {
    const BYTE_ORDER_MARK: &str = "\u{FEFF}";
    match text.len() {
        same if same == length => Ok(text.into()),
        shorter if shorter + BYTE_ORDER_MARK.len() == length => Ok(format!("{BYTE_ORDER_MARK}{text}").into()),
        _ => Err(json::not_utf8()),
    }
}

/// Counts what comes instead of trusting what was declared.
async fn read_to_limit(request: &mut Request, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    if request.inner().body().is_none() {
        return Ok(body);
    }
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        body.extend(chunk?);
        if body.len() > limit {
            return Err(ApiError::too_large(limit).into());
        }
    }
    Ok(body)
}
