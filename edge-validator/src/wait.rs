//! Waiting with a time limit.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use worker::Delay;

/// What the future comes to, if it does so in time. The timer is the request's own, since requests cannot share one.
pub async fn within<F: Future>(patience: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(Delay::from(patience))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
