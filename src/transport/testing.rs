//! For tests of the transports: an [`Inbound`] that writes down what it is told.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Inbound, Lane, Peer, Refusal};
use crate::id::{Incarnation, NodeId, NodeName};

/// One thing that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Up(NodeId),
    Down(NodeId),
    Message(NodeId, Lane, Bytes),
    Refused(String, Refusal),
}

type OnMessage = Box<dyn Fn(NodeId, Lane, &Bytes) + Send + Sync>;

/// Keeps all events; of messages beyond the first thousand only their number and size.
#[derive(Default)]
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
    changed: Notify,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) refuse: Mutex<Option<Refusal>>,
    on_message: Mutex<Option<OnMessage>>,
}

impl Recorder {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn on_message(&self, call: impl Fn(NodeId, Lane, &Bytes) + Send + Sync + 'static) {
        *self.on_message.lock().expect("unpoisoned") = Some(Box::new(call));
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().expect("unpoisoned").clone()
    }

    pub(super) fn ups(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Up(_))).count()
    }

    pub(super) fn messages(&self) -> usize {
        self.messages.load(Ordering::Acquire)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Until `done` holds of the events; fails the test after thirty seconds.
    pub(super) async fn wait(&self, done: impl Fn(&[Event]) -> bool) {
        self.wait_for(|recorder| done(&recorder.events.lock().expect("unpoisoned"))).await;
    }

    pub(super) async fn wait_for(&self, done: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if done(self) {
                    return;
                }
                changed.await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "waited in vain; so far: {:?}",
            self.events().iter().take(20).collect::<Vec<_>>()
        );
    }

    fn note(&self, event: Event) {
        self.events.lock().expect("unpoisoned").push(event);
        self.changed.notify_waiters();
    }
}

impl Inbound for Recorder {
    fn admit(&self, _: NodeId) -> Result<(), Refusal> {
        self.refuse.lock().expect("unpoisoned").clone().map_or(Ok(()), Err)
    }

    fn peer_up(&self, peer: &Peer) {
        self.note(Event::Up(peer.node));
    }

    fn peer_down(&self, node: NodeId) {
        self.note(Event::Down(node));
    }

    fn message(&self, from: NodeId, lane: Lane, message: Bytes) {
        if let Some(call) = &*self.on_message.lock().expect("unpoisoned") {
            call(from, lane, &message);
        }
        self.bytes.fetch_add(message.len(), Ordering::AcqRel);
        if self.messages.fetch_add(1, Ordering::AcqRel) < 1000 {
            self.note(Event::Message(from, lane, message));
        } else {
            self.changed.notify_waiters();
        }
    }

    fn refused(&self, address: &str, refusal: &Refusal) {
        self.note(Event::Refused(address.to_owned(), refusal.clone()));
    }
}

/// A new process of that name.
pub(super) fn node(name: &str) -> NodeId {
    let incarnation = Incarnation(uuid::Uuid::new_v4().as_u128());
    NodeId { name: NodeName::new(name).expect("plain"), incarnation }
}
