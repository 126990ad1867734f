//! `Server`: the listener of one node's Redis port and the connections it has.
//!
//! It starts before the node does: until it is opened, clients are told `LOADING`. It does not decide when the node is ready.
//! The accepting task owns the desks, and they the connections: when it is dropped, all of them end.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt as _;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    connection::Connection,
    desk::Desk,
    door::Door,
    pace::Turns,
    settings::Settings,
    state::{Ending, Shared},
};
use crate::config::Address;

/// After a failed accept (too many open files, say) the next is tried this much later.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// A client that says nothing for so long is asked by the system whether it is there.
const ALIVE_AFTER: Duration = Duration::from_secs(60);
/// Once the node drains clients may still come for so long, and are told at `PING` to go elsewhere: who has just looked by that word
/// whether it may turn here, and comes with another connection, is not refused.
const LATE: Duration = Duration::from_millis(250);
/// What one connection too many is told.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";
/// How much of what it says is read then, in bytes.
const TURNED_AWAY: u64 = 64 << 10;

/// The Redis port of a node could not be opened.
#[derive(Debug)]
pub struct RedisError {
    address: Address,
    source: io::Error,
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen for Redis clients on {}: {}; does this node run already? Else free the address, or change the node's \
             `redis`",
            self.address, self.source
        )
    }
}

impl std::error::Error for RedisError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A running server. Dropping it ends it at once, with everything in progress; `stop` is kinder.
pub(super) struct Server<D> {
    address: SocketAddr,
    shared: Arc<Shared<D>>,
    accepting: JoinHandle<()>,
}

impl<D: Door> Server<D> {
    /// Listens. Keys are answered from `open` on.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub(super) async fn start(address: &Address, settings: Settings) -> Result<Self, RedisError> {
        let failed = |source| RedisError { address: address.clone(), source };
        let listener = TcpListener::bind(address.as_str()).await.map_err(failed)?;
        Self::on(listener, settings).map_err(failed)
    }

    /// The same on a listener that there is already.
    ///
    /// # Errors
    /// If the listener has no address.
    pub(super) fn on(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(settings, address.port()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves this node's keys from now on.
    pub(super) fn open(&self, door: D) {
        self.shared.open(door);
    }

    /// Bytes that connections keep beyond a small share of each.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.shared.kept.load(Ordering::Relaxed)
    }

    /// Takes no new connection after `LATE`; those that there are go on.
    pub(super) fn drain(&self) {
        self.shared.ending.send_if_modified(|ending| {
            let is_news = *ending == Ending::NotYet;
            if is_news {
                *ending = Ending::NoNew;
            }
            is_news
        });
    }

    /// Takes no new connection, ends those that idle, and waits for requests in progress, at most for `Settings::farewell`.
    pub(super) async fn stop(mut self) {
        self.shared.ending.send_replace(Ending::Now);
        if (&mut self.accepting).await.is_err_and(|fault| fault.is_panic()) {
            tracing::error!("the Redis server had panicked");
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

async fn accept<D: Door>(listener: TcpListener, shared: Arc<Shared<D>>) {
    let mut open = JoinSet::new();
    let threads = Handle::current().metrics().num_workers();
    let desks: Vec<Desk> = (0..threads).map(|_| Desk::open(&shared, &mut open)).collect();
    let mut ending = shared.ending.subscribe();
    let mut last_call = pin!(last_call(shared.ending.subscribe()));
    loop {
        let accepted = tokio::select! {
            () = &mut last_call => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(client) => seat(client, &shared, &desks),
            Err(why) => {
                tracing::warn!(%why, "no Redis client could be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    // Whom the system has let in already would find a reset instead.
    while let Some(Ok(client)) = listener.accept().now_or_never() {
        seat(client, &shared, &desks);
    }
    drop((listener, desks));
    let mut all = pin!(async { while open.join_next().await.is_some() {} });
    tokio::select! {
        () = &mut all => return,
        _ = ending.wait_for(|ending| *ending == Ending::Now) => {}
    }
    if timeout(shared.settings.farewell, all).await.is_err() {
        let open = shared.open.load(Ordering::Relaxed);
        tracing::warn!(open, "Redis clients were cut off: their requests, or their reading of replies, took too long");
    }
}

/// When no more clients are to be let in.
async fn last_call(mut ending: watch::Receiver<Ending>) {
    let drains = ending.wait_for(|ending| *ending != Ending::NotYet).await.is_ok_and(|ending| *ending == Ending::NoNew);
    if drains {
        let _ = timeout(LATE, ending.wait_for(|ending| *ending == Ending::Now)).await;
    }
}

/// Has the least busy desk serve a client, if there is room for it.
fn seat<D: Door>((stream, from): (TcpStream, SocketAddr), shared: &Arc<Shared<D>>, desks: &[Desk]) {
    match desks.iter().min_by_key(|desk| desk.load()) {
        Some(desk) if shared.open.load(Ordering::Relaxed) < shared.settings.connections => {
            shared.open.fetch_add(1, Ordering::Relaxed);
            desk.take(Guest { stream, from, id: shared.next.fetch_add(1, Ordering::Relaxed) });
        }
        _ => {
            shared.complaints.complain(from, "there were as many as may be (limits.connections)", shared.now());
            turn_away(stream);
        }
    }
}

/// A client that has come.
pub(super) struct Guest {
    pub(super) stream: TcpStream,
    pub(super) from: SocketAddr,
    /// The number of its connection.
    pub(super) id: i64,
}

/// Serves one connection to its end.
pub(super) async fn serve<D: Door>(Guest { stream, from, id }: Guest, shared: Arc<Shared<D>>, turns: Turns) {
    // Replies are small and waited for.
    let _ = stream.set_nodelay(true);
    // A client may idle for ever; one whose machine is gone must not.
    let _ = sockopt::set_socket_keepalive(&stream, true);
    let _ = sockopt::set_tcp_keepidle(&stream, ALIVE_AFTER);
    let ending = shared.ending.subscribe();
    Connection::new(shared, from, id, turns).serve(stream, ending).await;
}

/// Tells it so if there is room at once, and closes it.
fn turn_away(mut stream: TcpStream) {
    tokio::spawn(timeout(ACCEPT_AGAIN, async move {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        // What it has said meanwhile would have its word replaced by a reset.
        tokio::io::copy(&mut stream.take(TURNED_AWAY), &mut tokio::io::sink()).await
    }));
}
