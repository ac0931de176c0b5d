use std::{future::Future, sync::Arc};

use anyhow::Context;
use tokio::{net::TcpListener, signal, sync::watch};

use crate::{
    api,
    app::App,
    clock::Clock,
    config::Config,
    edge::{self, Wake},
    keys,
    metrics::Metrics,
    storage::{Db, environments},
};

pub(super) async fn run(config: &Config, db: Db) -> anyhow::Result<()> {
    let edge = config.edge()?;
    db.migrate().await?;
    let app = App {
        db: db.clone(),
        clock: Clock::system(),
        publisher: Wake::default(),
        metrics: Arc::new(Metrics::default()),
    };
    greet_first_run(&app).await?;

    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; choose another address with LATCHKEY_LISTEN",
            config.listen
        )
    })?;
    println!("Latchkey is listening on http://{}", listener.local_addr()?);

    let (stop, stopped) = watch::channel(());
    let publisher = tokio::spawn(edge::publisher::run(edge, app.clone(), stopped));
    let stopping = stop_signal()?;
    axum::serve(listener, api::router(app, config).into_make_service())
        .with_graceful_shutdown(stopping)
        .await?;
    // Requests are done; what they committed is in the outbox, and the publisher takes it up again after a restart.
    drop(stop);
    publisher.await?;
    db.close().await;
    Ok(())
}

/// An empty database gets an environment and its first management key, which is shown here and never again.
async fn greet_first_run(app: &App) -> anyhow::Result<()> {
    let mut transaction = app.db.write().await?;
    if !environments::list(transaction.conn()).await?.is_empty() {
        return Ok(());
    }
    let prefix = "lk_live".parse()?;
    let environment =
        keys::create_environment(transaction.conn(), "Default", prefix, &app.clock).await?;
    let everything = [shared::scope::ALL.to_owned()];
    let key = keys::create_management_key(
        &mut transaction,
        &environment.id,
        "First key",
        &everything,
        &app.clock,
    )
    .await?;
    transaction.commit().await?;
    println!(
        "This is the first run: made the environment {}.",
        environment.id
    );
    println!("Its management key, shown this once: {}", key.text.expose());
    Ok(())
}

/// Ends at the first SIGTERM or Ctrl-C.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = signal::ctrl_c() => {}
        }
        tracing::info!("stopping: finishing the requests that are under way");
    })
}
