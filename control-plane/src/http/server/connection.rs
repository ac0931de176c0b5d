//! How long a connection may wait.
//!
//! | a connection | may do so for |
//! | --- | --- |
//! | is idle: it is new, or its last request is done, and nothing of the next one has come | `keep_alive_seconds` |
//! | has sent the beginning of a request's head, and not all of it | 10 s from the first byte |
//! | waits for a response, or sends a body | as long as `http/middleware/mod.rs` lets it |
//! | takes nothing of a response | 30 s |
//!
//! hyper has one timer for the first two, which starts when a connection becomes idle, so a head could not have its own time.
//! Here a stream that waited for too long reports its end, as if the client had closed it, and hyper closes it.
//!
//! Known gap: the beginning of a head that comes in the same read as the end of the request before it is in hyper's buffer
//! already. The connection counts as idle until the next byte.

use std::{
    fmt,
    future::{self, Ready},
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum_server::accept::Accept;
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tower::Service;

/// The time limits of every connection of a server.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    idle: Duration,
    head: Duration,
    write: Duration,
}

impl TimeLimits {
    /// Those of a server whose idle connections are kept for so long.
    pub fn new(keep_alive: Duration) -> Self {
        Self { idle: keep_alive, head: Duration::from_secs(10), write: Duration::from_secs(30) }
    }
}

impl<Io, Inner> Accept<Io, Inner> for TimeLimits {
    type Stream = TimedStream<Io>;
    type Service = CountedService<Inner>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: Io, service: Inner) -> Self::Future {
        let requests = Arc::<Requests>::default();
        let stream = TimedStream::new(stream, *self, Arc::clone(&requests));
        future::ready(Ok((stream, CountedService { service, requests })))
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// Ends a request, also if nobody waits for its response any more.
struct RequestGuard(Arc<Requests>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// A service that tells its connection when requests begin and end.
#[derive(Debug, Clone)]
pub struct CountedService<Inner> {
    service: Inner,
    requests: Arc<Requests>,
}

impl<Request, Inner> Service<Request> for CountedService<Inner>
where
    Inner: Service<Request, Response: Send, Error: Send, Future: Send + 'static>,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = BoxFuture<'static, Result<Inner::Response, Inner::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.requests.begun.fetch_add(1, Ordering::SeqCst);
        let guard = RequestGuard(Arc::clone(&self.requests));
        let response = self.service.call(request);
        async move {
            let response = response.await;
            drop(guard);
            wake_connection().await;
            response
        }
        .boxed()
    }
}

/// Has the connection polled once more, after the response is written. hyper does not read while an earlier read is pending,
/// and the timer of an idle connection starts with a read.
async fn wake_connection() {
    future::poll_fn(|context| {
        context.waker().wake_by_ref();
        Poll::Ready(())
    })
    .await;
}

/// What a stream waits for, unless a request is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The first byte of a request.
    Request,
    /// The rest of its head.
    Head,
}

/// A stream that ends when its client keeps it waiting for too long.
pub struct TimedStream<Io> {
    stream: Io,
    limits: TimeLimits,
    requests: Arc<Requests>,
    /// How many requests had begun when the timer was started.
    served: usize,
    awaited: Awaited,
    read_timer: Pin<Box<Sleep>>,
    /// Runs while the client takes nothing.
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Whether the client took something since `read_timer` was started.
    has_written: bool,
}

impl<Io> TimedStream<Io> {
    fn new(stream: Io, limits: TimeLimits, requests: Arc<Requests>) -> Self {
        Self {
            stream,
            limits,
            requests,
            served: 0,
            awaited: Awaited::Request,
            read_timer: Box::pin(sleep(limits.idle)),
            write_timer: None,
            has_written: false,
        }
    }

    fn wait_for(&mut self, awaited: Awaited) {
        let limit = match awaited {
            Awaited::Request => self.limits.idle,
            Awaited::Head => self.limits.head,
        };
        self.awaited = awaited;
        self.has_written = false;
        self.read_timer.as_mut().set(sleep(limit));
    }

    /// Passes on the result of a write, or an error once the client has taken nothing for too long.
    fn limit_write(&mut self, context: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.write_timer = None;
            self.has_written = true;
            return result;
        }
        let limit = self.limits.write;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for TimedStream<Io> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let begun = this.requests.begun.load(Ordering::SeqCst);
        if begun != this.requests.ended.load(Ordering::SeqCst) {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        if begun != this.served {
            this.served = begun;
            this.wait_for(Awaited::Request);
        }
        let length = buffer.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(context, buffer);
        if result.is_ready() {
            if buffer.filled().len() > length && this.awaited == Awaited::Request {
                this.wait_for(Awaited::Head);
            }
            return result;
        }
        loop {
            ready!(this.read_timer.as_mut().poll(context));
            let is_writing = this.has_written || this.write_timer.is_some();
            if this.awaited == Awaited::Head || !is_writing {
                return Poll::Ready(Ok(()));
            }
            // The last response is still on its way to a slow client.
            this.wait_for(Awaited::Request);
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for TimedStream<Io> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.limit_write(context, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.limit_write(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<Io> fmt::Debug for TimedStream<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedStream").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tower::{ServiceExt, service_fn};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    /// Longer than any test waits.
    const LONG: Duration = Duration::from_secs(3600);

    /// A connection with these limits, and its client.
    fn connect(idle: Duration, head: Duration, write: Duration) -> (TimedStream<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(16);
        (TimedStream::new(server, TimeLimits { idle, head, write }, Arc::default()), client)
    }

    #[tokio::test]
    async fn idle_connection_ends_after_its_limit() {
        let (mut server, _client) = connect(SHORT, LONG, LONG);
        assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn begun_head_ends_after_its_own_limit_whatever_follows() {
        let (mut server, mut client) = connect(LONG, SHORT, LONG);
        client.write_all(b"G").await.unwrap();
        assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 1);
        client.write_all(b"E").await.unwrap();
        assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 1);
        assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn connection_with_a_request_in_progress_does_not_end() {
        let (mut server, mut client) = connect(SHORT, SHORT, LONG);
        let requests = Arc::clone(&server.requests);
        requests.begun.fetch_add(1, Ordering::SeqCst);
        let guard = RequestGuard(requests);
        // The limits pass, as another connection shows, before the client sends the body.
        let (mut idle, _client) = connect(SHORT, SHORT, LONG);
        assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
        assert!(server.read(&mut [0; 16]).now_or_never().is_none());
        client.write_all(b"{}").await.unwrap();
        assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 2);
        drop(guard);
        assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn request_ends_with_its_response_and_when_it_is_dropped() {
        let requests = Arc::<Requests>::default();
        let service = service_fn(|is_answered: bool| async move {
            if !is_answered {
                future::pending::<()>().await;
            }
            Ok::<_, Infallible>(())
        });
        let service = CountedService { service, requests: Arc::clone(&requests) };
        let counts = || (requests.begun.load(Ordering::SeqCst), requests.ended.load(Ordering::SeqCst));
        service.clone().oneshot(true).await.unwrap();
        assert_eq!(counts(), (1, 1));
        let mut unanswered = service.oneshot(false);
        assert!((&mut unanswered).now_or_never().is_none());
        assert_eq!(counts(), (2, 1));
        drop(unanswered);
        assert_eq!(counts(), (2, 2));
    }

    #[tokio::test]
    async fn write_to_a_client_that_takes_nothing_fails() {
        let (mut server, _client) = connect(LONG, LONG, SHORT);
        let error = server.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
