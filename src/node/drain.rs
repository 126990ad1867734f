//! Taking a node out of the ring, or its share, without one failed call: cordon, and drain.
//!
//! A drain hands over every arc that the node serves, one copy more being made first where one would be missing, then waits
//! until no arc names the node any more, and leaves the ring. It refuses to begin where something would be lost, and it says
//! what is left when it does not come to its end. What is where is placement's and the primaries' to decide; here only what
//! the node says of itself changes.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time;

use super::{Node, Readiness, start_error::joined};
use crate::{
    id::{NodeId, NodeName},
    membership::{Member, Pin, Role, Standing, View},
};

/// How a node is to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    within: Duration,
    unprotected: bool,
}

impl Default for Drain {
    /// Within 30 seconds, and only if every session keeps as many backups as the file wants.
    fn default() -> Self {
        Self { within: Self::DEFAULT_WITHIN, unprotected: false }
    }
}

impl Drain {
    /// How long a drain takes at most, unless told otherwise.
    pub const DEFAULT_WITHIN: Duration = Duration::from_secs(30);

    /// As the default does it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives up after this; the node then goes on handing over, and can be asked again.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Also where too few nodes stay for every session to have its backups. Nothing is lost by it; the next loss may be.
    #[must_use]
    pub fn even_unprotected(mut self) -> Self {
        self.unprotected = true;
        self
    }
}

/// Why a node did not drain. Nothing is lost; the node serves on what it still has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainError {
    /// No other node may serve sessions: what is here would be lost. Nothing was begun.
    NobodyElse,
    /// Too few nodes stay for every session to have its backups. Nothing was begun.
    Unprotected {
        /// Nodes that stay and may hold copies.
        stay: usize,
        /// How many it takes.
        wanted: usize,
    },
    /// The file's `pin` is `never_move`, and the node serves arcs. Nothing was begun.
    Pinned {
        /// How many it serves.
        arcs: usize,
    },
    /// Too few voters are heard to decide anything. Nothing was begun.
    NoQuorum {
        /// The voters that are not heard.
        awaited: Vec<NodeName>,
    },
    /// The time was over. The node goes on handing over: ask again, or stop it and let its backups take over.
    TimedOut {
        /// Arcs that it still serves, guards or was to get.
        arcs: usize,
    },
    /// The node was stopped meanwhile.
    Stopped,
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyElse => f.write_str(
                "no other node may serve sessions, so all that is here would be lost: start one, or stop this node if that is meant",
            ),
            Self::Unprotected { stay, wanted } => write!(
                f,
                "{stay} node(s) that may hold copies would stay, and it takes {wanted} for every session to have its backups: start one, or drain even so"
            ),
            Self::Pinned { arcs } => write!(
                f,
                "it serves {arcs} arcs, and with pin = \"never_move\" a drain moves none: `handback` of the nodes that are \
                 their homes takes away what is not at home here; for the rest, cordon it, let its sessions end, and stop it: \
                 the backups take over whatever is left"
            ),
            Self::NoQuorum { awaited } => {
                write!(f, "no quorum: {} not heard, so nothing can be handed over", joined(awaited))
            }
            Self::TimedOut { arcs } => write!(f, "{arcs} arcs were not handed over in time; it goes on, so ask again"),
            Self::Stopped => f.write_str("the node was stopped"),
        }
    }
}

impl std::error::Error for DrainError {}

/// Whether another node would serve what this one gives away.
fn has_another_host(view: &View, me: NodeId) -> bool {
    let takes = |m: &&Arc<Member>| m.node != me && m.role == Role::Host && m.standing == Standing::Open;
    view.members.iter().any(|m| takes(&m))
}

impl Node {
    /// Keeps what is here, and takes no more: no arc comes home, no new copy is made here. Holds until [`Node::uncordon`] or
    /// the end of this process. False, and nothing is done, if the node was drained and has left.
    pub fn cordon(&self) -> bool {
        let may = !self.has_left();
        if may {
            self.stand(Standing::Cordoned);
        }
        may
    }

    /// Takes part again as the cluster file says, also in the middle of a drain. False, and nothing is done, if the node was
    /// drained and has left: whoever drained it is about to stop it. Start its process again.
    pub fn uncordon(&self) -> bool {
        if self.has_left() {
            return false;
        }
        self.stand(Standing::Open);
        self.0.shared.readiness.send_if_modified(|readiness| {
            let drains = *readiness == Readiness::Draining;
            if drains {
                *readiness = Readiness::Serving;
            }
            drains
        });
        true
    }

    /// Whether a drain has come to its end.
    fn has_left(&self) -> bool {
        self.readiness() == Readiness::Draining && self.view().has_let_go(self.id())
    }

    /// What it says of itself: whether it may be given more.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.view().member(self.id()).map_or(Standing::Draining, |member| member.standing)
    }

    /// Hands over all that is here and leaves the ring. Meanwhile it serves what it still has and passes on the rest; once
    /// this has returned, stop it. Where it serves, sessions pause for some milliseconds, calls wait that long.
    ///
    /// # Errors
    /// Why nothing was begun, or how much is left.
    pub async fn drain(&self, how: Drain) -> Result<(), DrainError> {
        self.refuse_to_drain(how)?;
        self.stand(Standing::Draining);
        self.0.shared.readiness.send_if_modified(|readiness| {
            let serves = *readiness == Readiness::Serving;
            if serves {
                *readiness = Readiness::Draining;
            }
            serves
        });
        let mut views = self.views();
        let me = self.id();
        // Where all drain at once nobody is left to take anything.
        let ended = |view: &View| view.has_let_go(me) || (view.needs(me) && !has_another_host(view, me));
        let gone = views.wait_for(|view| view.as_ref().is_some_and(|v| ended(v)));
        tokio::select! {
            left = time::timeout(how.within, gone) => match left {
                Ok(Ok(view)) if view.as_ref().is_some_and(|v| !v.has_let_go(me)) => Err(DrainError::NobodyElse),
                Ok(_) => Ok(()),
                Err(_) => Err(DrainError::TimedOut { arcs: self.arcs_left() }),
            },
            () = self.stopped() => Err(DrainError::Stopped),
        }
    }

    fn refuse_to_drain(&self, how: Drain) -> Result<(), DrainError> {
        let outlook = self.outlook();
        if !outlook.has_quorum() {
            return Err(DrainError::NoQuorum { awaited: outlook.awaited });
        }
        let view = self.view();
        let me = self.id();
        let serves_others =
            |m: &&Arc<Member>| m.node != me && m.standing == Standing::Open && !outlook.unheard.contains(&m.node.name);
        let others = || view.members.iter().filter(serves_others);
        if view.needs(me) && !others().any(|m| m.role == Role::Host) {
            return Err(DrainError::NobodyElse);
        }
        let arcs = view.arcs.iter().filter(|entry| entry.primary == me).count();
        if view.shape.pin == Pin::NeverMove && arcs > 0 {
            return Err(DrainError::Pinned { arcs });
        }
        let stay = others().filter(|m| m.role.holds_copies()).count();
        let wanted = usize::from(view.shape.backups) + 1;
        let guards = view.member(me).is_some_and(|m| m.role.holds_copies());
        // Where there are too few already, this node's leaving still takes a copy away.
        if guards && stay < wanted && !how.unprotected {
            return Err(DrainError::Unprotected { stay, wanted });
        }
        Ok(())
    }

    fn arcs_left(&self) -> usize {
        let me = self.id();
        self.view().arcs.iter().filter(|entry| entry.needs(me)).count()
    }
}
