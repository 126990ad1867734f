//! The data lane: our own frames on our own TCP stream.
//!
//! Whoever has something to send writes it, on their own thread, with all else that is pending, as far as the socket takes it at
//! once. What it does not take, and what is large, is left to the lane's own task; while that writes, more gathers: so the batches
//! grow with the load and a lone message waits for nobody. Small messages are copied once, into the batch; large ones not at all.
//! The reader takes as many frames as one read brought. Neither queues anything of its own.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
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
use crate::{
    transport::{Lane, outbox::BATCH},
    wire::frame,
};

/// Read at once; many small frames in one call to the kernel.
const BLOCK: usize = 64 * 1024;
/// From here on a message is written from where it lies.
const UNCOPIED: usize = 16 * 1024;

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
    /// Small messages of the batch, ready to be written.
    buffer: Vec<u8>,
    written: usize,
}

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    All,
    /// The rest is for the lane's task.
    Part,
}

impl Writer {
    fn new(stream: OwnedWriteHalf) -> Self {
        Self { stream, batch: Vec::new(), buffer: Vec::with_capacity(BLOCK), written: 0 }
    }

    fn is_done(&self) -> bool {
        self.batch.is_empty() && self.written == self.buffer.len()
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(BATCH);
        self.written = 0;
    }

    /// Writes what was taken, as far as it goes without waiting.
    fn write_now(&mut self) -> io::Result<Wrote> {
        if self.batch.iter().any(|message| message.len() >= UNCOPIED) {
            return Ok(Wrote::Part);
        }
        for message in self.batch.drain(..) {
            self.buffer.extend_from_slice(&frame::prefix(message.len()));
            self.buffer.extend_from_slice(&message);
        }
        while self.written < self.buffer.len() {
            match self.stream.try_write(&self.buffer[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(Wrote::Part),
                Err(why) => return Err(why),
            }
        }
        self.clear();
        Ok(Wrote::All)
    }

    /// Writes all that was taken.
    async fn write(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.buffer[self.written..]).await?;
        self.clear();
        for message in self.batch.drain(..) {
            self.buffer.extend_from_slice(&frame::prefix(message.len()));
            if message.len() < UNCOPIED {
                self.buffer.extend_from_slice(&message);
            } else {
                self.stream.write_all(&self.buffer).await?;
                self.buffer.clear();
                self.stream.write_all(&message).await?;
            }
        }
        self.stream.write_all(&self.buffer).await?;
        self.clear();
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
