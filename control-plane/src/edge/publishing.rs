//! All that runs beside the server: to tell the edge what was changed, and to write how keys were used, and to forget what is old.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{
    feed::FeedClient,
    feeder::{Ahead, Feeder},
    flush::Flusher,
    keeper::Keeper,
    lookup::Lookup,
    publisher,
    pump::{self, Pump},
    reseal,
};
use crate::{app::App, config::Config, sweeper, usage};

/// How long the keeper waits for the feed's answers. Its pages are long, and no caller waits for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tasks.
#[derive(Debug)]
pub struct Publishing {
    app: App,
    edge: Option<EdgeTasks>,
}

/// Those that there are only if there is an edge.
#[derive(Debug)]
struct EdgeTasks {
    keeper: Keeper,
    pump: Pump,
    ahead: mpsc::Receiver<Vec<Ahead>>,
    flusher: Flusher,
}

impl Publishing {
    /// The tasks of a server, and the server with its edge, if one is configured.
    ///
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn new(config: &Config, app: App) -> anyhow::Result<(App, Self)> {
        // Each task has its own settings, because secrets are never copied.
        let each = [config.edge()?, config.edge()?, config.edge()?, config.edge()?, config.edge()?];
        let [Some(for_lookup), Some(for_pump), Some(for_keeper), Some(for_feeder), Some(for_flusher)] = each else {
            return Ok((app.clone(), Self { app, edge: None }));
        };
        let lookup = Lookup::new(for_lookup, app.clock.clone())?;
        let (app, pump, ahead) = pump::connect(app.with_lookup(lookup), for_pump)?;
        let patient = FeedClient::with_timeout(&for_feeder, PATIENCE)?;
        let feeder = Feeder::with_client(patient, for_feeder, app.db.clone(), app.clock.clone());
        let keeper = Keeper::new(app.clone(), for_keeper, feeder)?;
        let flusher = Flusher::new(for_flusher, app.db.clone(), app.clock.clone())?;
        let edge = Some(EdgeTasks { keeper, pump, ahead, flusher });
        Ok((app.clone(), Self { app, edge }))
    }

    /// Publishes until the sender of `stopped` is dropped. Nothing goes to the edge before the database was compared with
    /// the change feed: a restored one would bring back what was revoked since.
    pub async fn run(self, stopped: watch::Receiver<()>) {
        let usage = usage::run(self.app.clone(), stopped.clone());
        let sweeper = sweeper::run(self.app.clone(), stopped.clone());
        tokio::join!(usage, sweeper, self.publish(stopped));
    }

    async fn publish(self, mut stopped: watch::Receiver<()>) {
        let Self { app, edge } = self;
        let Some(EdgeTasks { mut keeper, pump, ahead, flusher }) = edge else {
            return publisher::run(None, app, stopped).await;
        };
        if keeper.begin(&mut stopped).await {
            tokio::join!(
                keeper.run(ahead, stopped.clone()),
                pump.run(stopped.clone()),
                reseal::run(app.clone(), stopped.clone()),
                publisher::run(Some(flusher), app, stopped),
            );
        }
    }
}
