//! `Desk`: one task that serves many connections.
//!
//! A task for each connection would hand its few calls to the workers by itself, and each such handing over is a frame and a write
//! to another node. What is ready at one desk at the same time is handed over together. There are as many desks as threads, so
//! none of those waits for another's connections.
//!
//! Invariant: no failure of one connection reaches another, a panic of ours included.

use std::{
    future::{Future as _, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{Either, pending},
    stream::FuturesUnordered,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::sleep,
};

use super::{
    door::Door,
    pace::Turns,
    server::{Guest, serve},
    state::Shared,
};

/// How connections come to a desk. When it is dropped the desk takes no more, and ends with the last it has.
pub(super) struct Desk {
    arriving: UnboundedSender<Guest>,
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
    pub(super) fn take(&self, guest: Guest) {
        self.has.fetch_add(1, Ordering::Relaxed);
        let _ = self.arriving.send(guest);
    }
}

async fn serve_all<D: Door>(mut arrived: UnboundedReceiver<Guest>, shared: Arc<Shared<D>>, has: Arc<AtomicUsize>) {
    let mut served = FuturesUnordered::new();
    // Futures that have all been polled in one go wake whoever polled them, for nothing: with few connections that is each time, and
    // wakes a second thread as well. One that is never polled again is in the way of that.
    served.push(Either::Right(pending()));
    let mut is_open = true;
    let turns = Turns::default();
    let (mut timer, mut is_timed) = (pin!(sleep(Duration::ZERO)), false);
    poll_fn(|cx| {
        while is_open && let Poll::Ready(connection) = arrived.poll_recv(cx) {
            match connection {
                Some(guest) => {
                    served.push(Either::Left(
                        AssertUnwindSafe(serve(guest, Arc::clone(&shared), turns.clone())).catch_unwind(),
                    ));
                }
                None => is_open = false,
            }
        }
        turns.look(shared.now());
        loop {
            while let Poll::Ready(Some(ended)) = served.poll_next_unpin(cx) {
                has.fetch_sub(1, Ordering::Relaxed);
                shared.open.fetch_sub(1, Ordering::Relaxed);
                if ended.is_err() {
                    tracing::error!("what served a Redis client panicked; its connection is closed");
                }
            }
            // One after the other: how much each of them begins is seen then.
            if !turns.give() {
                break;
            }
        }
        if let Some(due) = turns.due() {
            if !std::mem::replace(&mut is_timed, true) {
                timer.set(sleep(due.since(shared.now())));
            }
            if timer.as_mut().poll(cx).is_ready() {
                // Looked at from the beginning: it may be somebody's turn now.
                is_timed = false;
                cx.waker().wake_by_ref();
            }
        }
        // All that had something to read have begun what they were asked.
        shared.see_to();
        if is_open || served.len() > 1 { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Write as _,
        pin::pin,
        sync::atomic::AtomicUsize,
        task::{Context, Wake, Waker},
    };

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;
    use crate::{
        Node,
        config::Limits,
        redis::{
            settings::Settings,
            tests::local::{Local, STUCK},
        },
    };

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn listens() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.expect("a free port")
    }

    #[tokio::test]
    async fn a_desk_that_has_seen_to_all_its_connections_does_not_wake_itself() {
        let listener = listens().await;
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::<Node>::new(Settings::within(&Limits::default()), address.port()));
        let (arriving, arrived) = unbounded_channel();
        let mut desk = pin!(serve_all(arrived, shared, Arc::new(AtomicUsize::new(2))));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut clients = Vec::new();
        assert!(desk.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        for id in 1..=2 {
            clients.push(TcpStream::connect(address).await.expect("it listens"));
            let (stream, from) = listener.accept().await.expect("one comes");
            assert!(arriving.send(Guest { stream, from, id }).is_ok(), "the desk is there");
            woken.0.store(0, Ordering::Relaxed);
            assert!(desk.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(woken.0.load(Ordering::Relaxed), 0, "with {id}");
        }
        drop((clients, arriving));
        desk.await;
    }

    /// So many `SET`s of keys that end so.
    fn sets(count: usize, end: &str) -> String {
        (0..count).fold(String::new(), |mut sets, n| {
            let _ = write!(sets, "SET key{n}{end} x\r\n");
            sets
        })
    }

    #[tokio::test]
    async fn calls_of_which_nothing_comes_do_not_hold_up_the_other_connections_of_their_desk() {
        let listener = listens().await;
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::new(Settings::within(&Limits::default()), address.port()));
        shared.open(Local::new(1 << 10, 0));
        let mut desks = JoinSet::new();
        let desk = Desk::open(&shared, &mut desks);
        let mut clients = Vec::new();
        for id in 0..8 {
            clients.push(TcpStream::connect(address).await.expect("it listens"));
            let (stream, from) = listener.accept().await.expect("one comes");
            desk.take(Guest { stream, from, id });
        }
        for client in &mut clients[..2] {
            client.write_all(sets(600, STUCK).as_bytes()).await.expect("there is room");
        }
        for client in &mut clients[2..] {
            client.write_all(sets(300, "").as_bytes()).await.expect("there is room");
        }
        for client in &mut clients[2..] {
            let mut told = vec![0; 300 * b"+OK\r\n".len()];
            let read = timeout(Duration::from_secs(5), client.read_exact(&mut told)).await;
            read.expect("they are not held up").expect("they are connected");
            assert!(told.chunks(5).all(|one| one == b"+OK\r\n"));
        }
    }
}
