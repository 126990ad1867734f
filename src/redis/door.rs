//! `Door`: what the Redis protocol needs of the node.
//!
//! It is narrow on purpose: one kind of session, and where the arcs are. `Node` implements it over `SessionRef`; tests implement
//! it over one local map that runs the same session type.

use std::future::Future;

use smallvec::SmallVec;

use super::keys::{Change, Look, Said};
use crate::{
    Readiness,
    error::Error,
    id::{ArcId, NodeName},
    moment::Moment,
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

/// What is asked of one key.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// To change.
    Change(Change),
    /// To change several times in one commit.
    Changes(Vec<Change>),
    /// A question.
    Look(Look),
}

/// One of several calls that are begun together.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Which key.
    pub(crate) id: SessionId,
    /// What.
    pub(crate) ask: Ask,
    /// Whatever it was before does not matter, be it lost.
    pub(crate) creates: bool,
}

/// What came of it: what the key says to each thing that it was asked.
pub(crate) type Came = Result<SmallVec<[Said; 1]>, Error>;

/// The calls of one connection.
pub(crate) trait Calls: Send {
    /// Begins calls to different keys, and gives the number of the first; those of the others follow. They may wait for `Door::see_to`.
    fn begin(&mut self, asked: Vec<Asked>) -> u64;
    /// What has come since it was asked the last time, at least of one call, in no order; waits for that. If the future is dropped
    /// nothing is lost.
    fn next(&mut self, came: &mut Vec<(u64, Came)>) -> impl Future<Output = ()> + Send;
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
    /// Calls that are begun together.
    type Calls: Calls;

    /// The calls of one connection, none yet.
    fn calls(&self) -> Self::Calls;
    /// Sees to the calls that were begun, of whichever connections: what several of them begin together costs less.
    fn see_to(&self) {}
    /// Its clock.
    fn now(&self) -> Moment;
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

    /// Whether enough nodes are heard that a lost one can be replaced.
    fn has_quorum(&self) -> bool;
    /// Waits a little until what is asked of a key could come to an end; where it could not, it is refused before anything of it is begun.
    fn until_it_can_end(&self, id: &SessionId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Asks a key.
    fn look(&self, id: SessionId, look: Look) -> impl Future<Output = Result<Looked, Error>> + Send;
    /// Changes a key. `creates`: whatever it was before does not matter, be it lost.
    fn change(&self, id: SessionId, change: Change, creates: bool) -> impl Future<Output = Result<Said, Error>> + Send;
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
