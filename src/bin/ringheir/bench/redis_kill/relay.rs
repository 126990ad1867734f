//! `Relay`: what stands in front of each Redis, and loses in one instant whatever it has not yet passed on.
//!
//! Replicas and sentinels know a server by its front's address, so all that servers say to each other passes here. It is what
//! [`ringheir::fault_proxy`] is to nodes, which knows a speaker by the first words of a node. Clients do not pass here.
//!
//! Invariant: after `cut` no byte of that server is passed on.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use ringheir::moment::Moment;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use super::trial::Cut;
use crate::clock::Clock;

/// Read at once, and how much of that may be on its way in one direction.
const CHUNK: usize = 32 << 10;
const CHUNKS: usize = 256;

/// See the module. It works until it is dropped.
pub(super) struct Relay {
    fronts: Vec<watch::Sender<Option<Cut>>>,
    tasks: Vec<AbortHandle>,
}

impl Relay {
    /// Listens at each front for the server behind it. What is said is on its way for so long.
    pub(super) async fn open(fronts: &[(SocketAddr, SocketAddr)], delay: Duration) -> io::Result<Self> {
        let mut relay = Self { fronts: Vec::new(), tasks: Vec::new() };
        for (front, server) in fronts {
            let listener = TcpListener::bind(front).await?;
            let (cut, is_cut) = watch::channel(None);
            relay.fronts.push(cut);
            relay.tasks.push(tokio::spawn(listen(listener, *server, delay, is_cut)).abort_handle());
        }
        Ok(relay)
    }

    /// Cuts off the server behind a front.
    pub(super) fn cut(&self, front: usize, cut: Cut) {
        self.fronts[front].send_replace(Some(cut));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, delay: Duration, is_cut: watch::Receiver<Option<Cut>>) {
    // What is carried ends with whoever listens.
    let mut carried = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((near, _)) = accepted {
                    carried.spawn(carry(near, server, delay, is_cut.clone()));
                }
            }
            Some(_) = carried.join_next() => {}
        }
    }
}

/// One connection, until an end closes it or it is cut. What goes wrong with it is seen by both ends.
async fn carry(
    near: TcpStream,
    server: SocketAddr,
    delay: Duration,
    mut is_cut: watch::Receiver<Option<Cut>>,
) -> io::Result<()> {
    near.set_nodelay(true)?;
    let found = is_cut.borrow().is_some();
    // Nobody listens there any more.
    let mut ends = if found { vec![near] } else { vec![near, TcpStream::connect(server).await?] };
    if let [near, far] = &mut ends[..] {
        far.set_nodelay(true)?;
        let ((near_reads, near_writes), (far_reads, far_writes)) = (near.split(), far.split());
        let (there, back) = (is_cut.clone(), is_cut.clone());
        let both = async {
            tokio::join!(pipe(near_reads, far_writes, delay, there), pipe(far_reads, near_writes, delay, back))
        };
        tokio::select! {
            biased;
            _ = is_cut.wait_for(Option::is_some) => {}
            _ = both => return Ok(()),
        }
    }
    let cut = *is_cut.borrow();
    match cut {
        Some(Cut::Silent) => std::future::pending().await,
        _ => ends.iter().try_for_each(TcpStream::set_zero_linger),
    }
}

/// One direction: reads ahead, and writes each part when it is due. Cut off, it says nothing more, not even that it ends.
async fn pipe(
    mut reads: impl AsyncRead + Unpin,
    mut writes: impl AsyncWrite + Unpin,
    delay: Duration,
    is_cut: watch::Receiver<Option<Cut>>,
) -> io::Result<()> {
    let clock = Clock::start();
    let (said, mut heard) = mpsc::channel::<(Moment, Bytes)>(CHUNKS);
    let read = async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let length = reads.read_buf(&mut chunk).await.unwrap_or(0);
            // Nobody hears it any more, or it was the last.
            if length == 0 || said.send((clock.now() + delay, chunk.freeze())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = heard.recv().await {
            let early = due.since(clock.now());
            if !early.is_zero() {
                sleep(early).await;
            }
            if is_cut.borrow().is_some() {
                return std::future::pending().await;
            }
            writes.write_all(&chunk).await?;
        }
        if is_cut.borrow().is_some() {
            return std::future::pending().await;
        }
        writes.shutdown().await
    };
    tokio::join!(read, write).1
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const A_WHILE: Duration = Duration::from_millis(150);

    /// A relay, one that dialled its front, and the server that was reached.
    async fn relayed(delay: Duration) -> (Relay, SocketAddr, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let free = TcpListener::bind("127.0.0.1:0").await.expect("loopback").local_addr().expect("bound");
        let relay = Relay::open(&[(free, server.local_addr().expect("bound"))], delay).await.expect("free");
        let near = TcpStream::connect(free).await.expect("a front");
        let (far, _) = timeout(SOON, server.accept()).await.expect("passed on").expect("a connection");
        (relay, free, near, far)
    }

    #[tokio::test]
    async fn what_is_said_passes_both_ways_until_the_link_is_cut_and_then_both_see_it_end() {
        let (relay, front, mut near, mut far) = relayed(Duration::ZERO).await;
        let mut heard = [0; 4];
        near.write_all(b"ping").await.expect("open");
        timeout(SOON, far.read_exact(&mut heard)).await.expect("in time").expect("open");
        far.write_all(b"pong").await.expect("open");
        timeout(SOON, near.read_exact(&mut heard)).await.expect("in time").expect("open");
        assert_eq!(&heard, b"pong");
        relay.cut(0, Cut::Reset);
        let _ = far.write_all(b"the last words").await;
        for end in [&mut near, &mut far] {
            let seen = timeout(SOON, end.read(&mut heard)).await.expect("in time");
            assert!(seen.is_err(), "{seen:?}");
        }
        let mut again = TcpStream::connect(front).await.expect("the front itself is there");
        let seen = timeout(SOON, again.read(&mut heard)).await.expect("in time");
        assert!(!matches!(seen, Ok(1..)), "{seen:?}");
    }

    #[tokio::test]
    async fn what_is_still_on_its_way_when_the_link_is_cut_does_not_arrive() {
        for cut in [Cut::Reset, Cut::Silent] {
            let (relay, _, mut near, mut far) = relayed(A_WHILE).await;
            far.write_all(b"early").await.expect("open");
            let mut heard = [0; 16];
            let length = timeout(SOON, near.read(&mut heard)).await.expect("in time").expect("open");
            assert_eq!(&heard[..length], b"early");
            far.write_all(b"the last words").await.expect("open");
            sleep(A_WHILE / 3).await;
            relay.cut(0, cut);
            let seen = timeout(A_WHILE * 2, near.read(&mut heard)).await;
            assert!(!matches!(seen, Ok(Ok(1..))), "{seen:?}");
        }
    }

    #[tokio::test]
    async fn a_link_that_falls_silent_says_nothing_more_and_does_not_end() {
        let (relay, front, mut near, mut far) = relayed(Duration::ZERO).await;
        relay.cut(0, Cut::Silent);
        far.write_all(b"the last words").await.expect("open");
        drop(far);
        let mut again = TcpStream::connect(front).await.expect("the front itself is there");
        for end in [&mut near, &mut again] {
            let seen = timeout(A_WHILE, end.read(&mut [0])).await;
            assert!(seen.is_err(), "{seen:?}");
        }
    }
}
