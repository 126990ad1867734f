//! One link: the two connections of a pair of nodes, and what waits to be written on them.
//!
//! A link is committed (known, not yet usable), then ready and up (both lanes carry), then closed; never back. Either lane's end closes
//! both. It is not reused: a pair that finds itself again makes a new link, with a new id.

use std::{
    net::{Shutdown, TcpStream as StdStream},
    os::fd::AsFd,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use tokio::{
    net::TcpStream,
    sync::{Mutex as AsyncMutex, watch},
};

use super::{data::Writer, links::Links};
use crate::{
    transport::{Lane, Peer, outbox::Outbox},
    wire::limits::Limits,
};

const CONTROL: u8 = 1;
const DATA: u8 = 2;

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Known to this node; a lane is missing or not yet announced.
    Committed,
    /// Being announced to the layer above, which may send already.
    Ready,
    /// Announced; what arrives is delivered.
    Up,
    /// Over.
    Closed,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: u128,
    pub(super) peer: Peer,
    pub(super) dialled_here: bool,
    pub(super) control: Outbox,
    pub(super) data: Outbox,
    /// The writing end of the data lane: whoever has the lock writes.
    pub(super) writer: OnceLock<AsyncMutex<Writer>>,
    /// Known to the two ends only; it stands before every batch of the control lane, so that no third node can slip one in.
    pub(super) token: [u8; 16],
    myself: Weak<Self>,
    links: Weak<Links>,
    ready: AtomicU8,
    data_taken: AtomicBool,
    stage: watch::Sender<Stage>,
    /// The same sockets once more: shutting them down ends both lanes whoever reads them.
    sockets: Mutex<Vec<StdStream>>,
}

impl Link {
    pub(super) fn new(
        id: u128,
        peer: Peer,
        dialled_here: bool,
        token: [u8; 16],
        links: Weak<Links>,
        limits: &Limits,
    ) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            myself: Weak::clone(myself),
            id,
            peer,
            dialled_here,
            control: Outbox::new(limits),
            data: Outbox::new(limits),
            writer: OnceLock::new(),
            token,
            links,
            ready: AtomicU8::new(0),
            data_taken: AtomicBool::new(false),
            stage: watch::Sender::new(Stage::Committed),
            sockets: Mutex::default(),
        })
    }

    /// A stage to watch.
    pub(super) fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// True for the first caller only: a link has one data connection.
    pub(super) fn take_data(&self) -> bool {
        !self.data_taken.swap(true, Ordering::AcqRel)
    }

    /// Keeps a second handle on a connection, to cut it.
    pub(super) fn keep(&self, stream: &TcpStream) {
        match stream.as_fd().try_clone_to_owned() {
            Ok(socket) => self.sockets.lock().unwrap_or_else(PoisonError::into_inner).push(socket.into()),
            Err(_) => self.close(), // out of descriptors: a link that cannot be cut is not kept
        }
        if self.stage() == Stage::Closed {
            self.cut();
        }
    }

    /// A lane carries now; with the second one, the link comes up.
    pub(super) fn lane_ready(&self, lane: Lane) {
        let bit = if lane == Lane::Control { CONTROL } else { DATA };
        let before = self.ready.fetch_or(bit, Ordering::AcqRel);
        let both_now = before != CONTROL | DATA && before | bit == CONTROL | DATA;
        if both_now && let (Some(links), Some(myself)) = (self.links.upgrade(), self.myself.upgrade()) {
            links.both_lanes(myself);
        }
    }

    /// Moves one stage on, unless the link is not where it should be (closed meanwhile). Only the herald calls it.
    pub(super) fn advance(&self, from: Stage, to: Stage) -> bool {
        self.stage.send_if_modified(|stage| {
            let as_expected = *stage == from;
            if as_expected {
                *stage = to;
            }
            as_expected
        })
    }

    /// Ends the link: both connections are cut, what is queued is dropped, the pair is free for another link.
    pub(super) fn close(&self) {
        let closed_now = self.stage.send_if_modified(|stage| {
            let open = *stage != Stage::Closed;
            *stage = Stage::Closed;
            open
        });
        if closed_now {
            self.control.close();
            self.data.close();
            self.cut();
            if let (Some(links), Some(myself)) = (self.links.upgrade(), self.myself.upgrade()) {
                links.closed(myself);
            }
        }
    }

    fn cut(&self) {
        for socket in self.sockets.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be gone already, which is what is wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Shuts one of the two sockets down, as a reset of that connection would.
    #[cfg(test)]
    pub(super) fn shut_down_lane_for_test(&self, which: usize) {
        let sockets = self.sockets.lock().expect("unpoisoned");
        sockets[which].shutdown(Shutdown::Both).expect("open");
    }

    /// Forgets the link on this side only: its sockets are given to the caller, so the other side sees nothing.
    #[cfg(test)]
    pub(super) fn lose_quietly_for_test(&self) -> Vec<StdStream> {
        let sockets = std::mem::take(&mut *self.sockets.lock().expect("unpoisoned"));
        self.close();
        sockets
    }
}
