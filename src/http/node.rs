//! The HTTP of a `Node`: the door over `SessionRef`, and `HttpServer`, which is what a program starts.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    door::{Door, Events, Heard, Outcome, Terms},
    request_key::RequestKey,
    server::{HttpError, Server},
    settings::Settings,
};
use crate::{
    ArcReport, CallOptions, Death, Drain, DrainError, Event, EventReceiver, HandBackError, Node, Readiness, Recovery,
    RecoveryFault, Restored, SessionId, SessionRef, StaleReport,
    config::{ClusterFile, NodeConfig},
    error::Error,
    id::{ArcId, NodeId, NodeName},
    json::{Document, Get, Json, Patch, Put, PutReply},
    membership::{Outlook, View},
};

/// The HTTP of one node, on the `http` address of its entry in the cluster file.
///
/// Dropping it ends it at once, with everything in progress; `stop` is kinder.
#[derive(Debug)]
pub struct HttpServer(Server<Node>);

impl HttpServer {
    /// Listens; until `open`, `/healthz` answers and all else says 503. `None`: the entry has no `http`.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(file: &ClusterFile, entry: &NodeConfig) -> Result<Option<Self>, HttpError> {
        let Some(address) = &entry.http else { return Ok(None) };
        let settings = Settings::of(&file.cluster().limits, file.nodes().len());
        Ok(Some(Self(Server::start(address, settings).await?)))
    }

    /// Serves this node from now on. It should know the JSON kind (`Json::register`).
    pub fn open(&self, node: Node) {
        self.0.open(node);
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// `/readyz` says 503 from now on, so that no new caller is sent here; sessions are still answered.
    pub fn drain(&self) {
        self.0.drain();
    }

    /// Takes no new connection, ends idle ones and event streams, and waits ten seconds at most for requests in progress.
    /// Call it before the node is stopped, so that they can still be answered.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

fn session(node: &Node, id: SessionId) -> Result<SessionRef<Json>, Error> {
    node.session(id)
}

impl From<Terms> for CallOptions {
    fn from(terms: Terms) -> Self {
        let mut options = Self::new().deadline(terms.deadline);
        if let Some(life) = terms.life {
            options = options.lifespan(life);
        }
        if let Some(version) = terms.expected {
            options = options.expected_version(version);
        }
        match terms.request {
            None => options,
            Some(RequestKey::Opaque(key)) => options.idempotency_key(&key),
            Some(RequestKey::Numbered(request)) => options.request(request),
        }
    }
}

impl Door for Node {
    type Arc = ArcReport;
    type Events = EventReceiver;

    fn name(&self) -> NodeName {
        self.id().name
    }

    fn readiness(&self) -> Readiness {
        Self::readiness(self)
    }

    fn outlook(&self) -> Outlook {
        Node::outlook(self)
    }

    fn view(&self) -> Arc<View> {
        Self::view(self)
    }

    async fn arcs(&self) -> Vec<ArcReport> {
        Self::arcs(self).await
    }

    fn events(&self) -> EventReceiver {
        Self::events(self)
    }

    fn cordon(&self) -> bool {
        Self::cordon(self)
    }

    fn uncordon(&self) -> bool {
        Self::uncordon(self)
    }

    async fn drain(&self, how: Drain) -> Result<(), DrainError> {
        Self::drain(self, how).await
    }

    async fn hand_back(&self, within: Duration) -> Result<(), HandBackError> {
        Self::hand_back(self, within).await
    }

    fn plan_recovery(&self, named: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault> {
        Self::plan_recovery(self, named)
    }

    async fn recover(&self, named: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault> {
        Self::recover(self, named).await
    }

    fn plan_death(&self, name: NodeName) -> Result<Death, RecoveryFault> {
        Self::plan_death(self, name)
    }

    async fn clear_lost(&self) -> Result<Vec<ArcId>, RecoveryFault> {
        Self::clear_lost(self).await
    }

    async fn declare_dead(&self, name: NodeName) -> Result<Vec<NodeId>, RecoveryFault> {
        Self::declare_dead(self, name).await
    }

    async fn stale_copies(&self) -> Vec<StaleReport> {
        Self::stale_copies(self).await
    }

    async fn restore_stale(&self) -> Result<Restored, RecoveryFault> {
        Self::restore_stale(self).await
    }

    async fn get(&self, id: SessionId, terms: Terms) -> Outcome<Option<Document>> {
        session(self, id)?.ask_with(Get {}, terms.into()).await
    }

    async fn put(&self, id: SessionId, document: Document, terms: Terms) -> Outcome<PutReply> {
        // Who puts a document says outright that it may begin here, even where every copy was lost.
        session(self, id)?.call_with(Put { document }, CallOptions::from(terms).creating()).await
    }

    async fn patch(&self, id: SessionId, patch: Document, terms: Terms) -> Outcome<Document> {
        session(self, id)?.call_with(Patch { patch }, terms.into()).await
    }

    async fn delete(&self, id: SessionId, terms: Terms) -> Outcome<bool> {
        session(self, id)?.delete_with(terms.into()).await
    }
}

impl Events for EventReceiver {
    type Event = Event;

    async fn next(&mut self) -> Option<Heard<Event>> {
        // What was missed is told with the event after it, one call later: `recv` may be dropped half-way.
        match self.missed() {
            0 => self.recv().await.map(Heard::Event),
            missed => Some(Heard::Missed(missed)),
        }
    }
}
