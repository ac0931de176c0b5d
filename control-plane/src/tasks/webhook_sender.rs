//! Sends webhooks while the server runs.
//!
//! One loop claims deliveries that are due, makes each attempt in a task of its own, and writes what came of it. Each turn of the
//! loop is one transaction: it writes all attempts that ended since the last one, and claims the next. The database has all of the
//! state, so several processes share the work, and none of it is lost with a process: when its lease ends, a claimed delivery is due
//! again.
//!
//! How many attempts an endpoint gets at the same time is decided here, and follows how it does ([`Pace`]): one to begin with, twice
//! as many after each success, half as many after each failure. After a few failures in a row there is a pause. Endpoints that have
//! not proven themselves have connections of their own, so dead endpoints never wait for healthy ones, nor the other way round. An
//! environment gets half of the connections that others leave, so its slow endpoints never take all of them.

mod pace;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, time::Duration};

use shared::{
    Timestamp,
    id::{EnvironmentId, WebhookEndpointId},
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use self::pace::{Pace, Slots};
use super::TaskContext;
use crate::{
    entropy::{OsEntropy, random_i64},
    events::Actor,
    service::{
        commit_without_waiting,
        webhooks::{self, DisableReason},
    },
    storage::{
        self, JsonText, Priority,
        webhook_deliveries::{self as deliveries, Attempt, Claimed, DeliveryStatus},
        webhook_endpoints::{self as endpoints, WebhookEndpoint},
        webhook_replays,
    },
    webhooks::{
        schedule,
        sender::{self, Outcome, Sender},
        signature,
    },
};

/// How often due deliveries are looked for if nothing happens.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after the database failed.
const ERROR_PAUSE: Duration = Duration::from_secs(5);
/// How long attempts that are in progress may take when the server stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a claim is valid: longer than any attempt takes.
const LEASE_MILLIS: i64 = 60_000;
/// How long a delivery is tried: three days.
const TRIED_MILLIS: i64 = 3 * 24 * 60 * 60 * 1000;
/// After so long without a success, an endpoint is disabled: five days.
const FAILING_MILLIS: i64 = 5 * 24 * 60 * 60 * 1000;
/// How many deliveries of a disabled endpoint, and of how many of those, are canceled in one transaction.
const CANCEL_STEP: i64 = 250;
const CANCEL_ENDPOINTS: usize = 4;

/// Sends until the sender of `stopped` is dropped. Attempts that are in progress then have a short time to end. Those that do not
/// are made again when their leases end.
pub async fn run(context: TaskContext, sender: Sender, mut stopped: watch::Receiver<()>) {
    let (ended, mut attempts) = mpsc::unbounded_channel();
    let mut dispatcher = Dispatcher { context, sender, ended, paces: HashMap::new(), unwritten: vec![] };
    loop {
        let pause = match dispatcher.turn().await {
            Ok(true) => Duration::ZERO,
            Ok(false) => POLL_INTERVAL,
            Err(error) => {
                tracing::warn!(%error, "failed to read or write webhook deliveries; will retry");
                ERROR_PAUSE
            }
        };
        tokio::select! {
            _ = stopped.changed() => return dispatcher.finish(&mut attempts).await,
            Some(ended) = attempts.recv() => dispatcher.end(ended),
            () = dispatcher.context.wakes.webhooks.notified() => {}
            () = sleep(pause) => {}
        }
        while let Ok(ended) = attempts.try_recv() {
            dispatcher.end(ended);
        }
    }
}

struct Dispatcher {
    context: TaskContext,
    sender: Sender,
    /// Where attempts report that they have ended.
    ended: mpsc::UnboundedSender<Ended>,
    paces: Paces,
    /// Attempts that have ended and are not written yet.
    unwritten: Vec<Ended>,
}

type Paces = HashMap<WebhookEndpointId, Pace>;

/// An attempt that has ended.
#[derive(Debug, Clone)]
struct Ended {
    endpoint: WebhookEndpoint,
    delivery: Claimed,
    claim: i64,
    started_at: Timestamp,
    result: AttemptResult,
}

#[derive(Debug, Clone)]
enum AttemptResult {
    Sent(sender::Attempt),
    /// Nothing was sent, for a reason of ours.
    NotSent(&'static str),
}

/// What there is to do.
struct Work {
    due: Vec<(WebhookEndpointId, EnvironmentId)>,
    to_cancel: Vec<WebhookEndpointId>,
    has_replays: bool,
}

impl Dispatcher {
    /// An attempt has ended, which is to be written. The turn that writes it may begin others in its place.
    fn end(&mut self, ended: Ended) {
        self.pace(&ended.endpoint).end();
        if let AttemptResult::Sent(attempt) = &ended.result {
            self.context.metrics.count_webhook_attempt(attempt.is_success());
            let (is_success, now) = (attempt.is_success(), self.context.clock.now());
            self.pace(&ended.endpoint).observe(is_success, ended.started_at, now);
        }
        self.unwritten.push(ended);
    }

    /// Does what there is to do now. Returns whether there may be more.
    async fn turn(&mut self) -> storage::Result<bool> {
        let now = self.context.clock.now();
        let work = self.look(now).await?;
        if self.unwritten.is_empty() && work.due.is_empty() && work.to_cancel.is_empty() && !work.has_replays {
            return Ok(false);
        }
        let mut transaction = self.context.db.write_as(Priority::Normal).await?;
        let to_disable = self.write_unwritten(transaction.conn(), now).await?;
        let mut claimed = vec![];
        let mut slots = self.used_slots();
        for endpoint in &work.due {
            let share = work.due.len();
            claimed.extend(self.claim(transaction.conn(), endpoint, &mut slots, share, now).await?);
        }
        let mut has_canceled = false;
        for id in work.to_cancel.iter().take(CANCEL_ENDPOINTS) {
            // It may have been enabled since it was looked at.
            if endpoints::hold_disabled(transaction.conn(), id).await? {
                has_canceled |= deliveries::cancel(transaction.conn(), id, now, CANCEL_STEP).await?;
            }
        }
        let has_queued = webhooks::continue_replays(transaction.conn(), now, &mut OsEntropy).await?;
        transaction.commit().await?;
        self.unwritten.clear();
        let has_claimed = !claimed.is_empty();
        for (endpoint, claim, delivery) in claimed {
            self.pace(&endpoint).begin(now);
            self.start(endpoint, claim, delivery, now);
        }
        self.paces.retain(|_, pace| pace.is_recent(now));
        for (endpoint, reason) in to_disable {
            self.disable(&endpoint, reason, now).await?;
        }
        Ok(has_claimed || has_queued || has_canceled)
    }

    /// Waits a short time for the attempts that are in progress, and writes what came of them.
    async fn finish(&mut self, attempts: &mut mpsc::UnboundedReceiver<Ended>) {
        let deadline = sleep(FINISH_TIMEOUT);
        tokio::pin!(deadline);
        while self.in_progress() > 0 {
            tokio::select! {
                Some(ended) = attempts.recv() => self.end(ended),
                () = &mut deadline => break,
            }
        }
        if let Err(error) = self.write_last().await {
            tracing::warn!(%error, "failed to write webhook deliveries; they will be sent again");
        }
    }

    async fn write_last(&mut self) -> storage::Result<()> {
        let now = self.context.clock.now();
        let mut transaction = self.context.db.write_as(Priority::Normal).await?;
        self.write_unwritten(transaction.conn(), now).await?;
        transaction.commit().await
    }

    /// Writes what came of the attempts that have ended, in the order of their endpoints, so that no two processes wait for each
    /// other. Returns the endpoints that are to be disabled.
    async fn write_unwritten(
        &mut self,
        mut conn: storage::Conn<'_>,
        now: Timestamp,
    ) -> storage::Result<Vec<(WebhookEndpoint, DisableReason)>> {
        self.unwritten.sort_by(|a, b| (&a.endpoint.id, &a.delivery.id).cmp(&(&b.endpoint.id, &b.delivery.id)));
        let mut to_disable = vec![];
        for ended in &self.unwritten {
            to_disable.extend(write(conn.reborrow(), ended, now).await?);
        }
        Ok(to_disable)
    }

    async fn look(&self, now: Timestamp) -> storage::Result<Work> {
        let mut reader = self.context.db.read_as(Priority::Publisher).await?;
        let due = endpoints::with_due_delivery(reader.conn(), now).await?;
        let to_cancel = endpoints::with_deliveries_to_cancel(reader.conn()).await?;
        let has_replays = webhook_replays::any(reader.conn()).await?;
        let may_start = |id: &WebhookEndpointId| self.paces.get(id).is_none_or(|pace| pace.free(now) > 0);
        let mut due: Vec<_> = due.into_iter().filter(|(id, _)| may_start(id)).collect();
        // In no order that lasts, so that none waits for ever when there are too few slots.
        let first = random_i64().unsigned_abs() % u64::try_from(due.len().max(1)).unwrap_or(1);
        due.rotate_left(usize::try_from(first).unwrap_or_default());
        Ok(Work { due, to_cancel, has_replays })
    }

    fn in_progress(&self) -> usize {
        self.paces.values().map(Pace::in_progress).sum()
    }

    fn pace(&mut self, endpoint: &WebhookEndpoint) -> &mut Pace {
        pace_of(&mut self.paces, &endpoint.id, &endpoint.environment_id)
    }

    fn used_slots(&self) -> Slots {
        let mut slots = Slots::default();
        for pace in self.paces.values() {
            slots.take(pace, pace.in_progress());
        }
        slots
    }

    async fn claim(
        &mut self,
        mut conn: storage::Conn<'_>,
        (id, environment): &(WebhookEndpointId, EnvironmentId),
        slots: &mut Slots,
        endpoints_due: usize,
        now: Timestamp,
    ) -> storage::Result<Vec<(WebhookEndpoint, i64, Claimed)>> {
        let pace = pace_of(&mut self.paces, id, environment);
        let free = pace.free(now).min(slots.share(pace, endpoints_due));
        if free == 0 {
            return Ok(vec![]);
        }
        let Some(endpoint) = endpoints::enabled(conn.reborrow(), id).await? else { return Ok(vec![]) };
        let claim = random_i64();
        let lease = (now, now.plus_millis(LEASE_MILLIS));
        let limit = i64::try_from(free).unwrap_or(i64::MAX);
        let claimed = deliveries::claim(conn, id, claim, lease, limit).await?;
        slots.take(pace, claimed.len());
        Ok(claimed.into_iter().map(|delivery| (endpoint.clone(), claim, delivery)).collect())
    }

    /// Makes an attempt, in a task of its own.
    fn start(&self, endpoint: WebhookEndpoint, claim: i64, delivery: Claimed, now: Timestamp) {
        let (sender, ended) = (self.sender.clone(), self.ended.clone());
        let encryption = self.context.encryption.clone();
        tokio::spawn(async move {
            // In a task of its own: if it panics, which is a defect, it has ended all the same.
            let prepared = prepare(&endpoint, &delivery, &encryption, now);
            let attempt = tokio::spawn(async move {
                match prepared {
                    Ok((url, headers, body)) => AttemptResult::Sent(sender.send(&url, headers, body).await),
                    Err(failure) => AttemptResult::NotSent(failure),
                }
            });
            let result = attempt.await.unwrap_or(AttemptResult::NotSent("internal_error"));
            // Nobody receives it if the server is about to stop. Then the lease ends, and the attempt is made again.
            let _ = ended.send(Ended { endpoint, delivery, claim, started_at: now, result });
        });
    }

    async fn disable(&self, endpoint: &WebhookEndpoint, reason: DisableReason, now: Timestamp) -> storage::Result<()> {
        let mut transaction = self.context.database().begin(Actor::Server, Priority::Normal).await?;
        match webhooks::disable(&mut transaction, endpoint, reason, now).await {
            Ok(Some(change)) => {
                commit_without_waiting(transaction, change, now).await?;
                let reason = reason.as_str();
                tracing::warn!(endpoint = endpoint.id.as_str(), reason, "disabled a webhook endpoint");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "failed to disable a webhook endpoint; will retry"),
        }
        Ok(())
    }
}

fn pace_of<'a>(paces: &'a mut Paces, id: &WebhookEndpointId, environment: &EnvironmentId) -> &'a mut Pace {
    paces.entry(id.clone()).or_insert_with(|| Pace::new(environment))
}

/// Failures after which no attempt can succeed.
const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
const EVENT_EXPIRED: &str = "event_expired";

type Request = (reqwest::Url, reqwest::header::HeaderMap, bytes::Bytes);

/// What an attempt sends, or why nothing can be sent.
fn prepare(
    endpoint: &WebhookEndpoint,
    delivery: &Claimed,
    encryption: &crate::encryption::EncryptionKey,
    now: Timestamp,
) -> Result<Request, &'static str> {
    if delivery.attempts > i64::try_from(schedule::ATTEMPTS_MAX).unwrap_or(i64::MAX) {
        // The attempts before it were begun and never written: perhaps it is this delivery that ends the process.
        return Err(ATTEMPTS_EXHAUSTED);
    }
    let body = delivery.body.clone().ok_or(EVENT_EXPIRED)?;
    let url = reqwest::Url::parse(&endpoint.url).map_err(|_| "connection_failed")?;
    let secrets = webhooks::signing_secrets(endpoint, encryption, now)
        .and_then(|secrets| signature::sign(delivery.event_id.as_str(), now, body.as_bytes(), &secrets));
    let headers = secrets.map_err(|error| {
        tracing::error!(endpoint = endpoint.id.as_str(), %error, "cannot sign a webhook");
        "secret_unreadable"
    })?;
    Ok((url, headers, body.into()))
}

/// Writes what came of an attempt. Returns the endpoint and a reason if it is to be disabled.
async fn write(
    mut conn: storage::Conn<'_>,
    ended: &Ended,
    now: Timestamp,
) -> storage::Result<Option<(WebhookEndpoint, DisableReason)>> {
    let Ended { endpoint, delivery, claim, started_at, result } = ended;
    let (attempt, is_success) = attempt_of(ended);
    let retry_after = match result {
        AttemptResult::Sent(sender::Attempt { outcome: Outcome::Responded { retry_after, .. }, .. }) => {
            retry_after.as_deref()
        }
        _ => None,
    };
    let is_last = matches!(result, AttemptResult::NotSent(ATTEMPTS_EXHAUSTED | EVENT_EXPIRED));
    let next = match is_success {
        true => Err(DeliveryStatus::Succeeded),
        false if is_last => Err(DeliveryStatus::Failed),
        false => retry_at(delivery, *started_at, now, retry_after).ok_or(DeliveryStatus::Failed),
    };
    let is_valid = deliveries::record(conn.reborrow(), &delivery.id, *claim, &attempt, next).await?;
    if is_valid && is_success {
        endpoints::note_success(conn.reborrow(), &endpoint.id).await?;
    }
    if !is_valid || is_success || delivery.is_replay || matches!(result, AttemptResult::NotSent(_)) {
        return Ok(None);
    }
    endpoints::note_failure(conn, &endpoint.id, now).await?;
    let reason = match attempt.response_status {
        Some(410) => Some(DisableReason::Gone),
        // Only with the last attempt of a delivery: a single failure after a quiet week is no sign.
        _ => next.is_err().then(|| DisableReason::FailingSince(now.plus_millis(-FAILING_MILLIS))),
    };
    Ok(reason.map(|reason| (endpoint.clone(), reason)))
}

/// When the next attempt is due, if there is one.
fn retry_at(delivery: &Claimed, started_at: Timestamp, now: Timestamp, retry_after: Option<&str>) -> Option<Timestamp> {
    let has_time = started_at < delivery.created_at.plus_millis(TRIED_MILLIS);
    let failed = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
    schedule::next_attempt_at(failed, now, retry_after, &mut OsEntropy).filter(|_| has_time)
}

/// An attempt as it is stored, and whether it succeeded.
fn attempt_of(ended: &Ended) -> (Attempt, bool) {
    let mut attempt = Attempt {
        attempt: ended.delivery.attempts,
        started_at: ended.started_at,
        duration_ms: 0,
        url: ended.endpoint.url.clone(),
        response_status: None,
        response_headers: JsonText::default(),
        response_body: String::new(),
        failure: None,
    };
    let sent = match &ended.result {
        AttemptResult::Sent(sent) => sent,
        AttemptResult::NotSent(failure) => {
            attempt.failure = Some((*failure).to_owned());
            return (attempt, false);
        }
    };
    attempt.duration_ms = i64::try_from(sent.duration.as_millis()).unwrap_or(i64::MAX);
    match &sent.outcome {
        Outcome::Responded { status, headers, body, .. } => {
            attempt.response_status = Some(i64::from(*status));
            attempt.response_headers = JsonText(headers.iter().cloned().collect());
            attempt.response_body.clone_from(body);
        }
        Outcome::Failed { code } => attempt.failure = Some(code.as_str().to_owned()),
    }
    (attempt, sent.is_success())
}

/// Does what the task does, until nothing is due.
#[cfg(test)]
pub(crate) async fn send_due(context: TaskContext, sender: Sender) {
    send_due_with(context, sender, async || {}).await;
}

/// The same, and does something before the first results are written.
#[cfg(test)]
pub(crate) async fn send_due_with(context: TaskContext, sender: Sender, during: impl AsyncFnOnce()) {
    let (ended, mut attempts) = mpsc::unbounded_channel();
    let mut dispatcher = Dispatcher { context, sender, ended, paces: HashMap::new(), unwritten: vec![] };
    dispatcher.turn().await.unwrap();
    let mut during = Some(during);
    while dispatcher.in_progress() > 0 || during.is_some() {
        while dispatcher.in_progress() > 0 {
            dispatcher.end(attempts.recv().await.unwrap());
        }
        if let Some(during) = during.take() {
            during().await;
        }
        dispatcher.turn().await.unwrap();
    }
}
