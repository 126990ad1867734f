//! The data lane: our own frames on our own TCP stream.
//!
//! Whoever has something to send writes it, on their own thread, with all else that is pending, as far as the socket takes it at
//! once. What it does not take is left to the lane's own task; while that writes, more gathers: so the batches grow with the load
//! and a lone message waits for nobody. Small messages are copied once, into the batch; large ones not at all.
//! The reader takes as many frames as one read brought. Neither queues anything of its own.

use std::{collections::VecDeque, io::IoSlice, sync::Arc};

use bytes::{Buf as _, Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::{
    io::{self, AsyncReadExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
};

use super::{
    Core,
    link::{Link, Stage},
};
use crate::{transport::Lane, wire::frame};

/// Read at once; many small frames in one call to the kernel.
const BLOCK: usize = 64 * 1024;
/// From here on a message is written from where it lies.
const UNCOPIED: usize = 8 * 1024;
/// So many parts are written in one call to the kernel.
const SLICES: usize = 16;

/// Carries `link`'s data lane over `stream` from now on, in two tasks which end with the link.
pub(super) fn carry(core: &Arc<Core>, link: Arc<Link>, stream: TcpStream) {
    let (reader, writer) = stream.into_split();
    // A link has one connection for each lane.
    let _ = link.writer.set(Mutex::new(Writer::new(writer)));
    tokio::spawn(read(Arc::clone(core), Arc::clone(&link), reader));
    tokio::spawn(write(Arc::clone(&link)));
    link.lane_ready(Lane::Data);
}

/// However a task ends, by an error, a panic or the end of the runtime, the link ends with it.
struct Closes(Arc<Link>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn read(core: Arc<Core>, link: Arc<Link>, mut stream: OwnedReadHalf) {
    let link = Closes(link);
    let mut read = BytesMut::with_capacity(BLOCK);
    // Until the pair is announced, what arrives waits in the kernel; but an end must be seen, so wait for either.
    let mut stage = link.0.watch();
    if stage.wait_for(|stage| matches!(stage, Stage::Up | Stage::Closed)).await.is_err() {
        return;
    }
    drop(stage);
    loop {
        read.reserve(BLOCK);
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        loop {
            match frame::cut(&mut read, core.limits.frame) {
                Ok(Some(message)) if link.0.stage() == Stage::Up => {
                    core.inbound.message(link.0.peer.node, Lane::Data, message);
                }
                Ok(Some(_)) => return,
                Ok(None) => break,
                Err(frame::TooLong { length }) => {
                    tracing::warn!(peer = %link.0.peer.node, length, "closed a link: a frame above the limit");
                    return;
                }
            }
        }
        core.inbound.read_through();
    }
}

/// The writing end of a data lane, and what was taken from the outbox and is not written yet.
#[derive(Debug)]
pub(super) struct Writer {
    stream: OwnedWriteHalf,
    batch: Vec<Bytes>,
    /// Where small messages and the prefixes of large ones are gathered.
    gathering: BytesMut,
    /// What is written next, in this order.
    parts: VecDeque<Bytes>,
}

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    All,
    /// The socket takes no more at the moment.
    Part,
}

impl Writer {
    fn new(stream: OwnedWriteHalf) -> Self {
        Self { stream, batch: Vec::new(), gathering: BytesMut::with_capacity(BLOCK), parts: VecDeque::new() }
    }

    fn is_done(&self) -> bool {
        self.batch.is_empty() && self.parts.is_empty()
    }

    /// Makes parts of what was taken.
    fn gather(&mut self) {
        for message in self.batch.drain(..) {
            self.gathering.extend_from_slice(&frame::prefix(message.len()));
            if message.len() < UNCOPIED {
                self.gathering.extend_from_slice(&message);
            } else {
                self.parts.push_back(self.gathering.split().freeze());
                self.parts.push_back(message);
            }
        }
        if !self.gathering.is_empty() {
            self.parts.push_back(self.gathering.split().freeze());
        }
    }

    fn write_some(&self) -> io::Result<usize> {
        let parts = self.parts.iter().take(SLICES);
        let slices: SmallVec<[IoSlice<'_>; SLICES]> = parts.map(|part| IoSlice::new(part)).collect();
        self.stream.try_write_vectored(&slices)
    }

    /// Writes what was taken, as far as it goes without waiting.
    fn write_now(&mut self) -> io::Result<Wrote> {
        self.gather();
        while !self.parts.is_empty() {
            let mut written = match self.write_some() {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(Wrote::Part),
                Err(why) => return Err(why),
            };
            while let Some(part) = self.parts.front_mut() {
                if written < part.len() {
                    part.advance(written);
                    break;
                }
                written -= part.len();
                self.parts.pop_front();
            }
        }
        Ok(Wrote::All)
    }

    /// Writes all that was taken.
    async fn write(&mut self) -> io::Result<()> {
        while self.write_now()? == Wrote::Part {
            self.stream.writable().await?;
        }
        Ok(())
    }
}

/// Writes what is pending, as far as it goes without waiting.
pub(super) fn push(link: &Link) {
    // One that does not carry yet begins with what is pending.
    let Some(writer) = link.writer.get() else { return };
    // Who has the lock may have looked into the outbox already: the task looks again.
    let Ok(mut writer) = writer.try_lock() else { return link.data.nudge() };
    if !writer.is_done() {
        return link.data.nudge();
    }
    while link.data.take(&mut writer.batch) {
        match writer.write_now() {
            Ok(Wrote::All) => {}
            Ok(Wrote::Part) => return link.data.nudge(),
            Err(_) => return link.close(),
        }
    }
}

/// Writes what `push` left.
async fn write(link: Arc<Link>) {
    let link = Closes(link);
    while link.0.stage() != Stage::Closed {
        {
            let Some(writer) = link.0.writer.get() else { return };
            let mut writer = writer.lock().await;
            while !writer.is_done() || link.0.data.take(&mut writer.batch) {
                if writer.write().await.is_err() {
                    return;
                }
            }
        }
        link.0.data.pending().await;
    }
}
