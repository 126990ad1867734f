//! `Door`: what the Redis protocol needs of the node.
//!
//! It is narrow on purpose: one kind of session, and where the arcs are. `Node` implements it over `SessionRef`; tests implement
//! it over one local map that runs the same session type.

use std::future::Future;

use super::keys::{Change, Look, Said};
use crate::{
    Readiness,
    error::Error,
    id::{ArcId, NodeName},
    session::SessionId,
};

/// What a key says, and the version that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Looked {
    /// What it says.
    pub(crate) said: Said,
    /// 0: there never was such a key. One that was deleted has the version of its end.
    pub(crate) version: u64,
}

/// What is done to one key of several.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Which.
    pub(crate) id: SessionId,
    /// What, in this order.
    pub(crate) changes: Vec<Change>,
    /// Only if it has this version; 0: only if there is no such key.
    pub(crate) expected: Option<u64>,
}

/// A page of the ids of one arc.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// The ids.
    pub(crate) ids: Vec<Vec<u8>>,
    /// Where the next page begins; `None`: this was the last.
    pub(crate) next: Option<u64>,
    /// How many there are in all.
    pub(crate) count: u64,
}

/// A node, as the Redis protocol sees it. Any node takes any key: what it does not own it sends on.
///
/// No answer is later than the deadline that the node keeps for it.
pub(crate) trait Door: Clone + Send + Sync + 'static {
    /// Its configured name.
    fn name(&self) -> NodeName;
    /// Whether it serves.
    fn readiness(&self) -> Readiness;
    /// How many arcs there are.
    fn arcs(&self) -> u16;
    /// How many backups have every acknowledged change of an arc, in the view that the node has installed.
    fn backups(&self, arc: ArcId) -> usize;
    /// How many nodes the view has, and its number.
    fn members(&self) -> (usize, u64);

    /// Asks a key.
    fn look(&self, id: SessionId, look: Look) -> impl Future<Output = Result<Looked, Error>> + Send;
    /// Changes a key. `creates`: whatever it was before does not matter, be it lost.
    fn change(&self, id: SessionId, change: Change, creates: bool) -> impl Future<Output = Result<Said, Error>> + Send;
    /// Changes a key several times in one commit.
    fn change_all(&self, id: SessionId, changes: Vec<Change>) -> impl Future<Output = Result<Vec<Said>, Error>> + Send;
    /// Changes several keys of one arc in one commit, each of them standing there once.
    fn together(&self, parts: Vec<Part>) -> impl Future<Output = Result<Vec<Vec<Said>>, Error>> + Send;
    /// A page of the ids in an arc that begin with these bytes, from a place on; of `max` 0 only their number.
    fn list(
        &self,
        arc: ArcId,
        prefix: Vec<u8>,
        from: u64,
        max: usize,
    ) -> impl Future<Output = Result<Page, Error>> + Send;
}
