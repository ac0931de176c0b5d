//! The HTTP server: which heads of requests it reads, and how long its connections may wait.

mod connection;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use axum::Router;
use axum_server::Handle;

use self::connection::TimeLimits;

/// The longest head of a request, its URL and its headers, that is read in any case. None is longer than twice that, because
/// hyper reads at most so much at once, and only then looks at what it has.
const HEAD_LIMIT: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;

/// Answers requests until the handle ends it.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    keep_alive: Duration,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let acceptor = TimeLimits::new(keep_alive);
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle).http1_only();
    let mut http = server.http_builder().http1();
    http.header_read_timeout(None).max_buf_size(HEAD_LIMIT).max_headers(HEADERS_MAX);
    server.serve(router.into_make_service_with_connect_info::<SocketAddr>()).await
}
