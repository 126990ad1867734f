//! Where the transport's bytes come in: decodes them and hands them to the actor they are for, on the reader's own task.
//!
//! One hop from the socket to the worker, and mostly none: the reader runs what it brought, after all of one read was decoded
//! ([`visit`](super::visit)). It never blocks and decides nothing; what cannot be decoded is dropped with a line in
//! the log, and whoever sent it sends it again or gives up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;

use super::{
    forwarded::{Forwarded, Way},
    inbox::Call,
    monitor::Orders,
    router::BUSY_FOR,
    shared::Shared,
    view_keeper::KeeperInput,
    worker::{ReplyTo, WorkerInput},
};
use crate::{
    error::Bound,
    event::EventKind,
    id::{ArcId, NodeId},
    runtime::message::{CallOutcome, ControlMessage, DataMessage, ForwardedCall},
    transport::{Inbound, Lane, LockName, Peer, Refusal, life_lock},
};

/// A lost peer's life lock is tried this often, and this many times, before only heartbeats speak for it.
const PROOF_EVERY: Duration = Duration::from_millis(3);
const PROOF_TRIES: u32 = 20_000;

/// At most so many addresses are remembered as refused; a cluster has fewer nodes.
const REFUSED_MAX: usize = 256;

/// The receiving side of a node.
pub(crate) struct Gateway {
    shared: Weak<Shared>,
    orders: Orders,
    locks: Mutex<BTreeMap<NodeId, LockName>>,
}

impl Gateway {
    pub(crate) fn new(shared: &Arc<Shared>, orders: Orders) -> Arc<Self> {
        Arc::new(Self { shared: Arc::downgrade(shared), orders, locks: Mutex::default() })
    }

    fn handle_data(shared: &Arc<Shared>, from: NodeId, message: &[u8]) {
        match DataMessage::decode(message, shared.settings.message_max) {
            Ok(Some(DataMessage::Frame(frame))) => {
                shared.leave_for(ArcId(frame.stream), WorkerInput::Frame(from, frame));
            }
            Ok(Some(DataMessage::Ack(stream, ack))) => {
                shared.leave_for(ArcId(stream), WorkerInput::Ack(from, stream, ack));
            }
            Ok(Some(DataMessage::Calls(calls))) => Self::handle_calls(shared, from, calls),
            Ok(Some(DataMessage::Replies(replies))) => {
                shared.calls.handle_replies(replies.into_iter().map(|reply| (from, reply)));
            }
            Ok(None) => {}
            Err(fault) => tracing::warn!(%from, %fault, "a data message could not be read"),
        }
    }

    fn handle_calls(shared: &Arc<Shared>, from: NodeId, calls: Vec<ForwardedCall>) {
        let way = Way::new(shared, from);
        let way_back = |call| ReplyTo::There(Forwarded::new(Arc::clone(&way), call));
        let arcs = shared.view.load().as_ref().map(|view| view.shape.arcs);
        let Some(arcs) = arcs else {
            calls.into_iter().for_each(|forwarded| way_back(forwarded.call).give(CallOutcome::Starting));
            return;
        };
        let with_arc =
            |ForwardedCall { call, request }| Call { arc: request.key.arc(arcs), request, reply_to: way_back(call) };
        let mut calls: Vec<Call> = calls.into_iter().map(with_arc).collect();
        let bound = Bound::Calls { limit: shared.settings.calls_max };
        for refused in shared.call_workers(&mut calls) {
            refused.reply_to.give(CallOutcome::Busy(bound, BUSY_FOR));
        }
    }

    fn handle_control(shared: &Arc<Shared>, from: NodeId, message: &[u8]) {
        match ControlMessage::decode(message, shared.settings.message_max) {
            Ok(Some(ControlMessage::Keeper(message))) => shared.tell_keeper(KeeperInput::Message(from, message)),
            Ok(None) => {}
            Err(fault) => tracing::warn!(%from, %fault, "a control message could not be read"),
        }
    }

    fn lock_of(&self, node: NodeId) -> Option<LockName> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }
}

impl Inbound for Gateway {
    fn peer_up(&self, peer: &Peer) {
        let Some(shared) = self.shared.upgrade() else { return };
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).insert(peer.node, peer.lock.clone());
        shared.tell_workers(|| WorkerInput::Connected(peer.node));
        shared.refused().remove(&peer.address);
        shared.tell(EventKind::PeerUp { node: peer.node });
    }

    fn peer_down(&self, node: NodeId) {
        let Some(shared) = self.shared.upgrade() else { return };
        if shared.is_stopped() {
            return;
        }
        self.orders.hint(node);
        shared.calls.handle_lost(node);
        shared.tell(EventKind::PeerDown { node });
        if let Some(lock) = self.lock_of(node) {
            seek_proof(self.shared.clone(), node, lock);
        }
    }

    fn message(&self, from: NodeId, lane: Lane, message: Bytes) {
        let Some(shared) = self.shared.upgrade() else { return };
        match lane {
            Lane::Data => Self::handle_data(&shared, from, &message),
            Lane::Control => Self::handle_control(&shared, from, &message),
        }
    }

    fn read_through(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.visit_workers();
        }
    }

    fn refused(&self, address: &str, refusal: &Refusal) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut refused = shared.refused();
        // Tried again every second: said once, and again when the reason is another or there was a link between.
        if !refusal.needs_mending() || refused.get(address) == Some(refusal) || refused.len() >= REFUSED_MAX {
            tracing::trace!(%address, %refusal, "not linked");
            return;
        }
        refused.insert(address.to_owned(), refusal.clone());
        tracing::warn!(%address, %refusal, "not linked");
    }
}

/// Tries the lost process's life lock until it is free, which is proof, or the process is back, or the node stops.
fn seek_proof(shared: Weak<Shared>, node: NodeId, lock: LockName) {
    tokio::spawn(async move {
        for attempt in 0..PROOF_TRIES {
            let Some(node_shared) = shared.upgrade() else { return };
            if node_shared.is_stopped() {
                return;
            }
            match life_lock::proved_dead(&lock) {
                life_lock::Proof::Dead => {
                    node_shared.prove_dead(node);
                    return;
                }
                life_lock::Proof::CannotTell => return,
                life_lock::Proof::Alive => {}
            }
            let back = node_shared.transport.get().is_some_and(|t| t.peers().iter().any(|p| p.node == node));
            if back {
                return;
            }
            drop(node_shared);
            // Dense at first, for a kill frees the lock within a millisecond or two.
            tokio::time::sleep(if attempt < 50 { PROOF_EVERY } else { PROOF_EVERY * 30 }).await;
        }
    });
}
