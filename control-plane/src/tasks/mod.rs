//! What runs by itself beside the server: it keeps the edge up to date, writes usage, and deletes what is old.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`pump`] | appends committed changes to the change feed |
//! | [`publisher`] | writes changed records to Workers KV once the feed has them |
//! | [`keeper`] | keeps database and change feed in agreement |
//! | [`restore`] | restores a database from the feed after a backup was restored |
//! | [`reseed`] | appends everything to a feed that is new or lost something, and opens it |
//! | [`reseal`] | seals every record again before it is too old |
//! | [`event_logger`] | moves committed events into the log |
//! | [`expiry_reporter`] | reports keys that expire soon or have expired |
//! | [`webhook_sender`] | sends webhooks |
//! | [`usage_writer`] | writes how often this server validated keys |
//! | [`sweeper`] | deletes what is older than its retention |

mod context;
pub mod event_logger;
pub mod expiry_reporter;
pub mod keeper;
pub mod publisher;
pub mod pump;
pub mod reseal;
pub mod reseed;
pub mod restore;
pub mod sweeper;
pub mod usage_writer;
pub mod webhook_sender;

use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use self::context::TaskContext;
use self::{keeper::Keeper, pump::Pump};
use crate::{
    config::Config,
    edge::{
        feed::FeedClient,
        feeder::{Ahead, Feeder},
        flush::Flusher,
    },
    webhooks::{address::AddressPolicy, sender::Sender},
};

/// How long the keeper waits for the feed. Its pages are long, and no caller waits for them.
const FEED_TIMEOUT: Duration = Duration::from_secs(10);

/// The tasks.
#[derive(Debug)]
pub struct Tasks {
    context: TaskContext,
    webhooks: Sender,
    edge: Option<EdgeTasks>,
}

/// The tasks that run only if there is an edge.
#[derive(Debug)]
struct EdgeTasks {
    keeper: Keeper,
    pump: Pump,
    ahead: mpsc::Receiver<Vec<Ahead>>,
    flusher: Flusher,
}

impl Tasks {
    /// The tasks of a process, and its context with the edge, if one is configured.
    ///
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn new(config: &Config, context: TaskContext) -> anyhow::Result<(TaskContext, Self)> {
        let webhooks = Sender::new(AddressPolicy { allowed: config.webhook_private_networks()? })?;
        // Each task has its own settings, because secrets are never copied.
        let each = [config.edge()?, config.edge()?, config.edge()?, config.edge()?];
        let [Some(for_pump), Some(for_keeper), Some(for_feeder), Some(for_flusher)] = each else {
            return Ok((context.clone(), Self { context, webhooks, edge: None }));
        };
        let (context, pump, ahead) = pump::connect(context, for_pump)?;
        let patient = FeedClient::with_timeout(&for_feeder, FEED_TIMEOUT)?;
        let feeder = Feeder::with_client(patient, for_feeder, context.db.clone(), context.clock.clone());
        let keeper = Keeper::new(context.clone(), for_keeper, feeder)?;
        let flusher = Flusher::new(for_flusher, context.db.clone(), context.clock.clone())?;
        let edge = Some(EdgeTasks { keeper, pump, ahead, flusher });
        Ok((context.clone(), Self { context, webhooks, edge }))
    }

    /// Runs until the sender of `stopped` is dropped. Nothing goes to the edge before the database was compared with the change
    /// feed: a restored one would bring back keys that were revoked since.
    pub async fn run(self, stopped: watch::Receiver<()>) {
        let usage = usage_writer::run(self.context.clone(), stopped.clone());
        let sweeper = sweeper::run(self.context.clone(), stopped.clone());
        let events = event_logger::run(self.context.clone(), stopped.clone());
        let expiries = expiry_reporter::run(self.context.clone(), stopped.clone());
        let webhooks = webhook_sender::run(self.context.clone(), self.webhooks.clone(), stopped.clone());
        tokio::join!(usage, sweeper, events, expiries, webhooks, self.publish(stopped));
    }

    async fn publish(self, mut stopped: watch::Receiver<()>) {
        let Self { context, edge, .. } = self;
        let Some(EdgeTasks { mut keeper, pump, ahead, flusher }) = edge else {
            return publisher::run(None, context, stopped).await;
        };
        if keeper.begin(&mut stopped).await {
            tokio::join!(
                keeper.run(ahead, stopped.clone()),
                pump.run(stopped.clone()),
                reseal::run(context.clone(), stopped.clone()),
                publisher::run(Some(flusher), context, stopped),
            );
        }
    }
}
