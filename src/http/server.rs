//! `Server`: the listener of one node's HTTP and the connections it has.
//!
//! It starts before the node does: until it is opened, `/healthz` answers and all else says 503. It does not decide when
//! the node is ready, and it does not end the node.
//!
//! ```text
//! Server ── accepting (1 task) ── connection (1 task each, at most `connections`)
//! ```
//!
//! The accepting task owns the connections: when it is dropped, all of them end. No failure of one reaches another.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{door::Door, patience::Patience, problem::Problem, routes, settings::Settings, state::Shared};
use crate::config::Address;

/// The head of a request, and what is read ahead of its body, in bytes.
const HEAD_MAX: usize = 64 << 10;
/// After a failed accept (too many open files, say) the next is tried this much later.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The HTTP of a node did not start.
#[derive(Debug)]
pub struct HttpError {
    address: Address,
    source: io::Error,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen for HTTP on {}: {}; does this node run already? Else free the address, or change the node's `http`",
            self.address, self.source
        )
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A running HTTP server. Dropping it ends it at once, with everything in progress; `stop` is kinder.
pub(crate) struct Server<D> {
    address: SocketAddr,
    shared: Arc<Shared<D>>,
    accepting: JoinHandle<()>,
}

impl<D: Door> Server<D> {
    /// Listens. Sessions are answered from `open` on.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub(crate) async fn start(address: &Address, settings: Settings) -> Result<Self, HttpError> {
        let failed = |source| HttpError { address: address.clone(), source };
        let listener = TcpListener::bind(address.as_str()).await.map_err(failed)?;
        Self::on(listener, settings).map_err(failed)
    }

    /// The same on a listener that there is already.
    ///
    /// # Errors
    /// If the listener has no address.
    pub(crate) fn on(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(settings));
        let router = routes(Arc::clone(&shared));
        let accepting = tokio::spawn(accept(listener, router, shared.settings.clone(), shared.stopping.subscribe()));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves this node's sessions from now on.
    pub(crate) fn open(&self, door: D) {
        self.shared.open(door);
    }

    /// `/readyz` says 503 from now on, so that no new caller is sent here; sessions are still answered.
    pub(crate) fn drain(&self) {
        self.shared.drain();
    }

    /// Takes no new connection, ends those that idle and the streams, and waits for requests in progress, at most for
    /// `Settings::farewell`. Call it before the node stops, so that they can still be answered.
    pub(crate) async fn stop(mut self) {
        self.shared.stopping.send_replace(true);
        if (&mut self.accepting).await.is_err_and(|fault| fault.is_panic()) {
            tracing::error!("the HTTP server had panicked");
        }
    }
}

impl<D> Drop for Server<D> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl<D> fmt::Debug for Server<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, router: Router, settings: Settings, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let ended = stopping.clone();
    loop {
        let accepted = tokio::select! {
            () = stop_asked(&mut stopping) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < settings.connections => {
                connections.spawn(serve(stream, router.clone(), settings.clone(), ended.clone()));
            }
            Ok((stream, _)) => turn_away(&stream),
            Err(fault) => {
                tracing::warn!(%fault, "cannot accept an HTTP connection");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(settings.farewell, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "HTTP requests were cut off: they took too long to end");
    }
}

/// Says that there is no room, if it can be said without waiting, and hangs up.
fn turn_away(stream: &TcpStream) {
    let words = Problem::not_ready("it has as many connections as it may have").as_last_words();
    if let Err(fault) = stream.try_write(words.as_bytes()) {
        tracing::debug!(%fault, "an HTTP connection was turned away without a word");
    }
}

async fn serve(stream: TcpStream, router: Router, settings: Settings, mut stopping: watch::Receiver<bool>) {
    if let Err(fault) = stream.set_nodelay(true) {
        tracing::debug!(%fault, "an HTTP connection that ended as it began");
        return;
    }
    let io = TokioIo::new(Patience::new(stream, settings.stall));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head)
        .max_buf_size(HEAD_MAX)
        .serve_connection(io, TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stop_asked(&mut stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(fault) = ended {
        tracing::debug!(%fault, "an HTTP connection ended badly");
    }
}

async fn stop_asked(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone altogether.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
