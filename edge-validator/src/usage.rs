//! Counts the validations of this isolate ([`shared::usage`]), and reports them to the control plane.
//!
//! A validation is counted in memory. The first one after a report waits in the background of its own request, for some
//! seconds, and then reports for all. If the isolate is evicted before that, its counts are lost.

use std::{cell::RefCell, rc::Rc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use shared::{
    Timestamp,
    digest::{Digest, Place},
    id::EnvironmentId,
    reason::Reason,
    usage::{self, Batch, Outcome, Reporter, Told},
};
use worker::{Context, Delay, console_error, js_sys::futures::JsFuture};

use crate::{
    config::{Config, Edge},
    random,
    wait::within,
};

/// How long the control plane may take over a batch: less than until the next one.
const PATIENCE: Duration = Duration::from_secs(4);
/// The most batches that are told in one go: the one before, what was counted since, and what while telling that.
const BATCHES_MAX: usize = 3;

thread_local! {
    static REPORTER: RefCell<Option<Reporter>> = const { RefCell::new(None) };
}

/// Counts a validation.
pub fn count(outcome: Outcome, environment: &EnvironmentId, place: Place, digest: Digest, now: Timestamp) {
    if let Outcome::Refused(reason @ (Reason::NotFound | Reason::Malformed)) = outcome {
        return count_unknown(environment, reason, now);
    }
    with(|reporter| reporter.tally().count_key(place, outcome, now, || (environment.clone(), digest)));
}

/// Counts a validation of what is no key of this environment.
pub fn count_unknown(environment: &EnvironmentId, reason: Reason, now: Timestamp) {
    with(|reporter| reporter.tally().count_unknown(environment, reason, now));
}

/// Sees to it that what was counted will be told, if there is anybody to tell.
pub fn tell(config: &Rc<Config>, context: &Context, now: Timestamp) {
    let Some(millis) = with(|reporter| reporter.begin(now)).flatten() else { return };
    let config = Rc::clone(config);
    let pause = Duration::from_millis(millis.unsigned_abs());
    context.wait_until(async move {
        Delay::from(pause).await;
        with(Reporter::wake);
        if let (Ok(edge), Ok(control_plane)) = (config.edge(), config.control_plane()) {
            tell_now(edge, &format!("{control_plane}{}", usage::PATH)).await;
        }
    });
}

async fn tell_now(edge: &Edge, url: &str) {
    for _ in 0..BATCHES_MAX {
        let Some(batch) = with(Reporter::batch).flatten() else { return };
        let told = tell_batch(edge, url, &batch).await;
        with(|reporter| reporter.settle(batch.number, told));
        if told == Told::Unknown {
            return;
        }
    }
}

/// Sends a batch, and says what became of it.
async fn tell_batch(edge: &Edge, url: &str, batch: &Batch) -> Told {
    let cause = match within(PATIENCE, post(edge, url, batch)).await {
        Some(Ok(200..=299)) => return Told::Taken,
        // The batch itself is at fault, and always will be. What else is wrong can be mended, and then it can be sent again.
        Some(Ok(status @ (400 | 413 | 422))) => {
            console_error!(
                "The control plane refused the usage counts of {} validations: status {status}",
                batch.validations()
            );
            return Told::Refused;
        }
        Some(Ok(status)) => format!("status {status}"),
        Some(Err(cause)) => cause.to_string(),
        None => format!("no response within {} s", PATIENCE.as_secs()),
    };
    console_error!("Failed to report usage counts to the control plane; will retry: {cause}");
    Told::Unknown
}

async fn post(edge: &Edge, url: &str, batch: &Batch) -> Result<u16, worker::Error> {
    let sent = raw::post(url, edge.secrets.usage_token(), &serde_json::to_string(batch)?);
    let status = JsFuture::from(sent).await?;
    Ok(status.as_f64().unwrap_or_default() as u16)
}

mod raw {
    use worker::{
        js_sys::Promise,
        wasm_bindgen::{self, prelude::wasm_bindgen},
    };

    #[wasm_bindgen(module = "/src/usage.js")]
    extern "C" {
        /// Sends JSON, and resolves to the status of the answer.
        pub fn post(url: &str, token: &str, json: &str) -> Promise;
    }
}

/// Without a name of its own, what an isolate tells would be taken for what another told.
fn with<T>(work: impl FnOnce(&mut Reporter) -> T) -> Option<T> {
    REPORTER.with_borrow_mut(|reporter| {
        if reporter.is_none() {
            *reporter = random::bytes().ok().map(|name: [u8; 16]| Reporter::new(URL_SAFE_NO_PAD.encode(name)));
        }
        reporter.as_mut().map(work)
    })
}
