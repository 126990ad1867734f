//! The data lane: our own frames on our own TCP stream.
//!
//! The writer takes all that is pending, up to one batch, and writes it together; while it writes, more gathers: so the
//! batches grow with the load and a lone message waits for nobody. Small messages are copied once, into the batch; large ones
//! not at all. The reader takes as many frames as one read brought. Neither queues anything of its own.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
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
    tokio::spawn(read(Arc::clone(core), Arc::clone(&link), reader));
    tokio::spawn(write(Arc::clone(&link), writer));
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
    }
}

async fn write(link: Arc<Link>, mut stream: OwnedWriteHalf) {
    let link = Closes(link);
    let (mut batch, mut buffer) = (Vec::new(), Vec::with_capacity(BLOCK));
    while link.0.stage() != Stage::Closed {
        if !link.0.data.take(&mut batch) {
            link.0.data.pending().await;
        } else if write_batch(&mut stream, &mut batch, &mut buffer).await.is_err() {
            return;
        }
    }
}

async fn write_batch(stream: &mut OwnedWriteHalf, batch: &mut Vec<Bytes>, buffer: &mut Vec<u8>) -> io::Result<()> {
    for message in batch.drain(..) {
        buffer.extend_from_slice(&frame::prefix(message.len()));
        if message.len() < UNCOPIED {
            buffer.extend_from_slice(&message);
        } else {
            stream.write_all(buffer).await?;
            buffer.clear();
            stream.write_all(&message).await?;
        }
    }
    stream.write_all(buffer).await?;
    buffer.clear();
    buffer.shrink_to(BATCH);
    Ok(())
}
