//! `Door`: what the HTTP of a node needs of the node.
//!
//! It is narrow on purpose: the JSON kind, a look at the view, and nothing of how sessions are hosted or copied. `Node`
//! implements it over `SessionRef`; tests implement it over one local map that runs the same session type.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use serde::Serialize;

use super::request_key::RequestKey;
use crate::{
    Answered, Death, Drain, DrainError, HandBackError, Lifespan, Readiness, Recovery, RecoveryFault, Restored,
    StaleReport,
    error::Error,
    id::{ArcId, NodeId, NodeName},
    json::{Document, PutReply},
    membership::{Outlook, View},
    session::SessionId,
};

/// Under which terms one operation runs.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Only if the session's version is this one; 0: only if there is none.
    pub expected: Option<u64>,
    /// How long the session is to live from then on; `None`: as before.
    pub life: Option<Lifespan>,
    /// How a retry is known as one.
    pub request: Option<RequestKey>,
    /// The answer comes within this time, be it that the outcome is unknown.
    pub deadline: Duration,
}

/// How an operation of the door ends.
pub(crate) type Outcome<T> = Result<Answered<T>, Error>;

/// One thing heard of a node.
#[derive(Debug)]
pub(crate) enum Heard<E> {
    /// An event.
    Event(E),
    /// So many events were not kept for this listener, who was too slow.
    Missed(u64),
}

/// A listener to a node's events. What it has not taken yet is bounded.
pub(crate) trait Events: Send + 'static {
    /// What it hears.
    type Event: Serialize + Send;

    /// The next; `None` when the node is gone.
    fn next(&mut self) -> impl Future<Output = Option<Heard<Self::Event>>> + Send;
}

/// A node, as its HTTP sees it. Any node takes any session: what it does not own it sends on.
pub(crate) trait Door: Clone + Send + Sync + 'static {
    /// What a node tells of one arc.
    type Arc: Serialize + Send;
    /// A listener to its events.
    type Events: Events;

    /// Its configured name.
    fn name(&self) -> NodeName;
    /// Whether it serves.
    fn readiness(&self) -> Readiness;
    /// The view it has installed.
    fn view(&self) -> Arc<View>;
    /// What it sees of the ring now.
    fn outlook(&self) -> Outlook;
    /// What it holds, by arc.
    fn arcs(&self) -> impl Future<Output = Vec<Self::Arc>> + Send;
    /// Listens from now on.
    fn events(&self) -> Self::Events;
    /// Keeps what is here and takes no more; false if it has left.
    fn cordon(&self) -> bool;
    /// Takes part again; false if it has left.
    fn uncordon(&self) -> bool;
    /// Hands over all that is here and leaves the ring.
    fn drain(&self, how: Drain) -> impl Future<Output = Result<(), DrainError>> + Send;
    /// Gets back all that is at home with it.
    fn hand_back(&self, within: Duration) -> impl Future<Output = Result<(), HandBackError>> + Send;

    /// What going on with these nodes alone would come to.
    fn plan_recovery(&self, named: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault>;
    /// Goes on with them alone.
    fn recover(&self, named: &BTreeSet<NodeName>) -> impl Future<Output = Result<Recovery, RecoveryFault>> + Send;
    /// What the word that a node's process has ended would come to.
    fn plan_death(&self, name: NodeName) -> Result<Death, RecoveryFault>;
    /// Takes the word that a node's process has ended.
    fn declare_dead(&self, name: NodeName) -> impl Future<Output = Result<Vec<NodeId>, RecoveryFault>> + Send;

    /// Copies that are in sync no longer, and are kept.
    fn stale_copies(&self) -> impl Future<Output = Vec<StaleReport>> + Send;
    /// Makes anew what they have of lost arcs.
    fn restore_stale(&self) -> impl Future<Output = Result<Restored, RecoveryFault>> + Send;
    /// Is done with what is lost: ids that are not known there never existed.
    fn clear_lost(&self) -> impl Future<Output = Result<Vec<ArcId>, RecoveryFault>> + Send;

    /// The document; `None`: there is none.
    fn get(&self, id: SessionId, terms: Terms) -> impl Future<Output = Outcome<Option<Document>>> + Send;
    /// Replaces the document, or makes it.
    fn put(&self, id: SessionId, document: Document, terms: Terms) -> impl Future<Output = Outcome<PutReply>> + Send;
    /// Merges into the document, or into an empty one, and gives what became of it.
    fn patch(&self, id: SessionId, patch: Document, terms: Terms) -> impl Future<Output = Outcome<Document>> + Send;
    /// Deletes the document; whether there was one.
    fn delete(&self, id: SessionId, terms: Terms) -> impl Future<Output = Outcome<bool>> + Send;
}
