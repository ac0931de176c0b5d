use std::{net::TcpListener, time::Duration};

use anyhow::{Context, anyhow, bail};
use axum_server::Handle;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{sleep, timeout_at},
};

use crate::{
    cli::{database, first_run},
    clock::Clock,
    config::Config,
    edge::lookup::Lookup,
    encryption::EncryptionKey,
    http::{self, server},
    limits::Limits,
    service::{
        events::EventRetention,
        usage::{Retention, Usage},
    },
    state::AppState,
    storage::{
        Db, environments,
        sqlite_file::{self, ServeLock},
    },
    tasks::{TaskContext, Tasks},
    webhooks::address::AddressPolicy,
};

/// Serves until SIGTERM or SIGINT, and then stops in this order:
///
/// 1. SIGTERM only: `/ready` returns 503 for `drain_seconds`, or until SIGINT, and everything else goes on.
/// 2. No more connections are accepted, and requests in progress finish.
/// 3. The background tasks finish what they are doing, and the database is closed. A fifth of the time that
///    `shutdown_seconds` leaves after the drain is kept for this; connections and tasks that are in its way are ended.
///
/// `shutdown_seconds` after the first signal, or on SIGINT during steps 2 and 3, the process exits with an error, whatever
/// is left to do. A repeated SIGTERM is ignored: some supervisors send it to a process and again to its group.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    // Before anything that waits: process 1 of a container ignores the signals that it does not handle.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let prepared = tokio::select! {
        prepared = prepare(config) => Some(prepared?),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let Some(Prepared { state, db, tasks, listener, lock: _lock }) = prepared else {
        tracing::info!("received SIGTERM or SIGINT before the database was ready; exiting");
        return Ok(());
    };
    print_line!("Latchkey is listening on http://{}", listener.local_addr()?);

    let (stop, stopped) = watch::channel(());
    let marking = sqlite_file::keep_marked(db.clone(), stopped.clone());
    let tasks = futures::future::join(tasks.run(stopped), marking);
    let mut tasks = tokio::spawn(tasks);
    let handle = Handle::new();
    let keep_alive = Duration::from_secs(config.keep_alive_seconds);
    let router = http::router(state.clone(), config);
    let mut server = tokio::spawn(server::serve(listener, router, keep_alive, handle.clone()));

    let received_sigterm = tokio::select! {
        result = &mut server => return Ok(result??),
        _ = terminate.recv() => true,
        _ = interrupt.recv() => false,
    };
    let [drain, shutdown] = [config.drain_seconds, config.shutdown_seconds].map(Duration::from_secs);
    let deadline = sleep(shutdown);
    let requests_deadline = deadline.deadline() - (shutdown - drain) / 5;
    let tasks_deadline = deadline.deadline() - (shutdown - drain) / 10;
    if received_sigterm {
        tracing::info!(?drain, "received SIGTERM; /ready returns 503 until the listener closes");
        state.start_draining();
        tokio::select! {
            () = sleep(drain) => {}
            _ = interrupt.recv() => {}
        }
    }
    let finish = async {
        tracing::info!(connections = handle.connection_count(), "stopped listening; finishing requests in progress");
        handle.graceful_shutdown(None);
        if let Ok(result) = timeout_at(requests_deadline, &mut server).await {
            result??;
        } else {
            tracing::warn!(
                connections = handle.connection_count(),
                "requests did not finish in time; closing connections"
            );
            handle.shutdown();
            server.await??;
        }
        // What requests committed is in the outbox, and the publisher takes it up again after a restart; what they counted
        // is written now.
        drop(stop);
        if let Ok(result) = timeout_at(tasks_deadline, &mut tasks).await {
            result?;
        } else {
            tracing::warn!("background tasks did not finish in time; aborting them, and the next start resumes them");
            tasks.abort();
        }
        db.close().await;
        Ok(())
    };
    tokio::select! {
        result = finish => result,
        () = deadline => bail!("the shutdown took longer than shutdown_seconds ({})", shutdown.as_secs()),
        _ = interrupt.recv() => bail!("received SIGINT again; exiting without finishing the shutdown"),
    }
}

/// Opens the database, for which it may have to wait, and brings it to the state that this version needs.
async fn prepare(config: &Config) -> anyhow::Result<Prepared> {
    // What is wrong with the settings is said before anything is waited for.
    config.edge()?;
    let limits = Limits::of(config)?;
    let encryption = EncryptionKey::from_config(config)?;
    let (db, lock) = database::open_to_serve(config).await?;
    let usage = Usage::new(Retention::of_days(config.usage_retention_days));
    let reminders = config.api_key_expiry_reminder_days.parse();
    let reminders = reminders.map_err(|error: String| anyhow!("api_key_expiry_reminder_days {error}"))?;
    let webhook_addresses = AddressPolicy { allowed: config.webhook_private_networks()? };
    let context = TaskContext {
        event_retention: EventRetention::of_days(config.event_retention_days),
        expiry_reminders: reminders,
        ..TaskContext::new(db.clone(), Clock::system(), usage).with_encryption(encryption)
    };
    let (context, tasks) = Tasks::new(config, context)?;
    let lookup = config.edge()?.map(|edge| Lookup::new(edge, Clock::system())).transpose()?;
    db.migrate().await?;
    let listener = TcpListener::bind(config.listen)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .with_context(|| format!("cannot listen on {}; choose another address with LATCHKEY_LISTEN", config.listen))?;
    let TaskContext { clock, encryption, usage, metrics, .. } = context.clone();
    let database = context.database();
    first_run::greet(&database, clock.now(), &config.bootstrap_key_file).await?;
    let database_id = environments::database_id(db.read().await?.conn()).await?;
    let state = AppState::new(database, clock, usage, metrics)
        .with_encryption(encryption)
        .with_webhook_addresses(webhook_addresses)
        .with_limits(limits)
        .with_lookup(lookup)
        .with_database_id(database_id);
    Ok(Prepared { state, db, tasks, listener, lock })
}

struct Prepared {
    state: AppState,
    db: Db,
    tasks: Tasks,
    listener: TcpListener,
    /// Of a SQLite file, held until the database is closed.
    lock: Option<ServeLock>,
}
