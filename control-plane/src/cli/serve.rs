use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio::{signal, sync::watch};

use crate::{
    api::{self, limits::Limits},
    app::App,
    cli::first_run,
    clock::Clock,
    config::Config,
    edge::publishing::Publishing,
    storage::Db,
    usage::Retention,
};

/// How long a client may take to send the head of a request.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(10);
/// The longest head of a request, its URL and its headers, that is read in any case. None is longer than twice that, because
/// hyper reads at most so much at once, and only then looks at what it has.
const HEAD_LIMIT: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;

pub(super) async fn run(config: &Config, db: Db) -> anyhow::Result<()> {
    let app = App::new(db.clone(), Clock::system())
        .with_retention(Retention::of_days(config.usage_retention_days))
        .with_limits(Limits::of(config)?);
    let (app, publishing) = Publishing::new(config, app)?;
    db.migrate().await?;
    let listener = TcpListener::bind(config.listen)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .with_context(|| format!("cannot listen on {}; choose another address with LATCHKEY_LISTEN", config.listen))?;
    first_run::greet(&app, &config.bootstrap_key_file).await?;
    print_line!("Latchkey is listening on http://{}", listener.local_addr()?);

    let (stop, stopped) = watch::channel(());
    let publishing = tokio::spawn(publishing.run(stopped));
    serve(listener, api::router(app, config)).await?;
    // Requests are done. What they committed is in the outbox, and the publisher takes it up again after a restart; what they
    // counted is written now.
    drop(stop);
    publishing.await?;
    db.close().await;
    Ok(())
}

/// Answers requests until the first SIGTERM or Ctrl-C, and then those that are under way.
async fn serve(listener: TcpListener, router: Router) -> anyhow::Result<()> {
    let handle = Handle::new();
    tokio::spawn(stop_on_signal(handle.clone())?);
    let mut server = axum_server::from_tcp(listener)?.handle(handle).http1_only();
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_LIMIT);
    http.max_buf_size(HEAD_LIMIT).max_headers(HEADERS_MAX);
    server.serve(router.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

fn stop_on_signal(handle: Handle<SocketAddr>) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = signal::ctrl_c() => {}
        }
        tracing::info!("stopping: finishing the requests that are under way");
        handle.graceful_shutdown(Some(api::REQUEST_TIME_LIMIT + HEAD_TIME_LIMIT));
    })
}
