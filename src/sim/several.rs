//! `Several`: what one call asks of more sessions than its first, all of one arc and in one commit.
//!
//! The first session is the one that remembers the answer, as on a node; the others are here. None of them stands in it twice.

use super::{
    check::{Action, OperationNumber, Reply},
    random::Stream,
};

/// Sessions that one call takes along, at most.
pub(crate) const ALONG_MAX: usize = 2;

/// Something for each session that is taken along, in their order.
pub(crate) type Along<T> = [Option<T>; ALONG_MAX];

/// What is asked of one session that is taken along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which session.
    pub(crate) session: u32,
    /// What to do.
    pub(crate) action: Action,
}

/// The sessions that are taken along.
pub(crate) type Several = Along<Part>;

/// What callers were told of them.
pub(crate) type SeveralReplies = Along<Reply>;

/// Their places in the history.
pub(crate) type SeveralOperations = Along<OperationNumber>;

/// Which sessions a call on this one takes along: one or two of the others of its arc.
pub(crate) fn draw(chance: &mut Stream, first: u32, of_its_arc: &[u32]) -> Along<u32> {
    let mut drawn = Along::default();
    let count = usize::try_from(chance.range(1, ALONG_MAX as u64 + 1)).expect("few");
    for place in 0..count {
        let session = chance.choose(of_its_arc).copied().filter(|session| *session != first);
        drawn[place] = session.filter(|session| !drawn.contains(&Some(*session)));
    }
    drawn
}
