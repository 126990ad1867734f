//! Connections through a front: two pipes each, one for either way, each as late as its link is slow.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, broadcast, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Closing, Front, Shared};
use crate::{
    id::NodeName,
    wire::{
        frame,
        handshake::{Hello, Kind, decode},
    },
};

/// Connections through one front at a time; nodes have two a pair.
const CONNECTIONS: usize = 256;
/// The first frame of a connection is there within this, and is at most so long.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
const HELLO_MAX: usize = 4 << 10;
/// Whoever dials across a cut waits at most so long for its mending.
const DIALS_FOR: Duration = Duration::from_secs(30);
/// Read at once, and how much of that may be on its way in one direction.
const CHUNK: usize = 32 << 10;
const CHUNKS: usize = 256;
/// The connection to a machine without power is kept open at most so long.
const UNTOLD_FOR: Duration = Duration::from_secs(120);
/// After an accept that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Accepts until it is aborted.
pub(super) async fn listen(shared: Arc<Shared>, front: Front, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((near, _)) = listener.accept().await else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        // Without a place it is closed; whoever dials tries again.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _place = place;
            // A connection that ends is seen by both its ends; nobody else wants to know why.
            let _ = carry(&shared, near, front).await;
        });
    }
}

async fn carry(shared: &Shared, mut near: TcpStream, front: Front) -> io::Result<()> {
    let mut closings = shared.closings.subscribe();
    near.set_nodelay(true)?;
    let hello = timeout(HELLO_WITHIN, read_frame(&mut near)).await??;
    let speaker = decode::<Hello>(Kind::Hello, &hello[frame::PREFIX..]).ok().map(|hello| hello.from.node.name);
    let Some(from) = speaker.filter(|name| shared.fronts.contains_key(name)) else { return Ok(()) };
    let to = front.name;
    let mut far = timeout(DIALS_FOR, dial(shared, from, to, front.node)).await??;
    let fate = {
        let ((near_reads, near_writes), (far_reads, far_writes)) = (near.split(), far.split());
        let there = pipe(shared, (from, to), near_reads, far_writes, hello);
        let back = pipe(shared, (to, from), far_reads, near_writes, Bytes::new());
        tokio::select! {
            ((), ()) = async { tokio::join!(there, back) } => return Ok(()),
            fate = fate(&mut closings, from, to) => fate,
        }
    };
    match fate {
        Closing::Between(..) => {
            near.set_zero_linger()?;
            far.set_zero_linger()
        }
        Closing::PowerOff(gone) => {
            let mut left = if gone == from { far } else { near };
            // It says what it likes to nobody, until it gives up.
            let _ = timeout(UNTOLD_FOR, tokio::io::copy(&mut left, &mut tokio::io::sink())).await;
            Ok(())
        }
    }
}

/// What ends a connection between these two from outside.
async fn fate(closings: &mut broadcast::Receiver<Closing>, from: NodeName, to: NodeName) -> Closing {
    loop {
        match closings.recv().await {
            Ok(closing @ Closing::Between(one, other)) if [(one, other), (other, one)].contains(&(from, to)) => {
                return closing;
            }
            Ok(closing @ Closing::PowerOff(name)) if name == from || name == to => return closing,
            Ok(_) => {}
            Err(_) => return Closing::Between(from, to),
        }
    }
}

async fn dial(shared: &Shared, from: NodeName, to: NodeName, node: SocketAddr) -> io::Result<TcpStream> {
    shared.open(from, to).await;
    let far = TcpStream::connect(node).await?;
    far.set_nodelay(true)?;
    Ok(far)
}

/// The first frame, with its prefix.
async fn read_frame(near: &mut TcpStream) -> io::Result<Bytes> {
    let mut prefix = [0; frame::PREFIX];
    near.read_exact(&mut prefix).await?;
    let length = frame::announced(prefix, HELLO_MAX).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut whole = BytesMut::zeroed(frame::PREFIX + length);
    whole[..frame::PREFIX].copy_from_slice(&prefix);
    near.read_exact(&mut whole[frame::PREFIX..]).await?;
    Ok(whole.freeze())
}

/// One direction: reads ahead as far as it may, and writes each part when it is due and the way is open. Ends when all that was
/// read, and the end of it, has been said, or when nobody is there to hear it.
async fn pipe(
    shared: &Shared,
    (from, to): (NodeName, NodeName),
    mut reads: impl AsyncRead + Unpin,
    mut writes: impl AsyncWrite + Unpin,
    first: Bytes,
) {
    let (said, mut heard) = mpsc::channel::<(Instant, Bytes)>(CHUNKS);
    let read = async move {
        let (mut next, mut last) = (first, Instant::now());
        loop {
            if !next.is_empty() {
                // Never before what was said before it.
                last = last.max(Instant::now() + shared.stream_delay(from, to, next.len()));
                if said.send((last, next)).await.is_err() {
                    return;
                }
            }
            let mut chunk = BytesMut::with_capacity(CHUNK);
            match reads.read_buf(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(_) => next = chunk.freeze(),
            }
        }
    };
    let write = async move {
        let mut is_heard = true;
        while let Some((due, bytes)) = heard.recv().await {
            if is_heard {
                sleep_until(due).await;
                shared.open(from, to).await;
                is_heard = writes.write_all(&bytes).await.is_ok();
            }
        }
        // The end of a connection is a word like others.
        shared.open(from, to).await;
        let _ = writes.shutdown().await;
    };
    tokio::join!(read, write);
}
