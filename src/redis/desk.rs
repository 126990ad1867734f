//! `Desk`: one task that serves many connections.
//!
//! A task for each connection would hand its few calls to the workers by itself, and each such handing over is a frame and a write
//! to another node. What is ready at one desk at the same time is handed over together. There are as many desks as threads, so
//! none of those waits for another's connections.
//!
//! Invariant: no failure of one connection reaches another, a panic of ours included.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use super::{door::Door, server::serve, state::Shared};

/// How connections come to a desk. When it is dropped the desk takes no more, and ends with the last it has.
pub(super) struct Desk {
    arriving: UnboundedSender<(TcpStream, i64)>,
    has: Arc<AtomicUsize>,
}

impl Desk {
    /// Opens one.
    pub(super) fn open<D: Door>(shared: &Arc<Shared<D>>, desks: &mut JoinSet<()>) -> Self {
        let (arriving, arrived) = unbounded_channel();
        let has = Arc::new(AtomicUsize::new(0));
        desks.spawn(serve_all(arrived, Arc::clone(shared), Arc::clone(&has)));
        Self { arriving, has }
    }

    /// How many connections it has.
    pub(super) fn load(&self) -> usize {
        self.has.load(Ordering::Relaxed)
    }

    /// Has a connection served, unless the desk is gone, with the runtime that it was in.
    pub(super) fn take(&self, stream: TcpStream, id: i64) {
        self.has.fetch_add(1, Ordering::Relaxed);
        let _ = self.arriving.send((stream, id));
    }
}

async fn serve_all<D: Door>(
    mut arrived: UnboundedReceiver<(TcpStream, i64)>,
    shared: Arc<Shared<D>>,
    has: Arc<AtomicUsize>,
) {
    let mut served = FuturesUnordered::new();
    let mut is_open = true;
    poll_fn(|cx| {
        while is_open && let Poll::Ready(connection) = arrived.poll_recv(cx) {
            match connection {
                Some((stream, id)) => {
                    served.push(AssertUnwindSafe(serve(stream, Arc::clone(&shared), id)).catch_unwind());
                }
                None => is_open = false,
            }
        }
        while let Poll::Ready(Some(ended)) = served.poll_next_unpin(cx) {
            has.fetch_sub(1, Ordering::Relaxed);
            shared.open.fetch_sub(1, Ordering::Relaxed);
            if ended.is_err() {
                tracing::error!("what served a Redis client panicked; its connection is closed");
            }
        }
        // All that had something to read have begun what they were asked.
        shared.see_to();
        if is_open || !served.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}
