//! Getting back, on the operator's word, what is at home with a node and is served elsewhere: pinned there, or just not yet
//! on its way.
//!
//! The word goes into what the node says of itself (`Member::claims`), so that every node reckons with it: whoever serves such
//! an arc copies it here first, if it is not here, and hands it over live. The node takes the word back once it serves all that
//! is at home with it, or the time is over, or nobody waits for it any more; what has not come by then stays where it is. So
//! does a new order about the node's standing. Nothing is decided here.

use std::{
    fmt,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time};

use super::{Node, start_error::joined};
use crate::{
    id::{NodeId, NodeName},
    membership::{Role, Standing, View},
};

/// Why a node did not get back all that is at home with it. Nothing is lost; every session is served where it was, or here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandBackError {
    /// Its role is not `host`: it is nobody's home. Nothing was begun.
    NotAHost,
    /// It is cordoned: it is given nothing. Nothing more is begun.
    Cordoned,
    /// It drains, or has left the ring. Nothing more is begun.
    Draining,
    /// Too few voters are heard to decide anything. Nothing was begun.
    NoQuorum {
        /// The voters that are not heard.
        awaited: Vec<NodeName>,
    },
    /// The time was over. What has not come stays where it is.
    TimedOut {
        /// What has not come.
        missing: MissingArcs,
    },
    /// A new order about its standing took this one back, before everything had come.
    CalledOff,
    /// The node was stopped meanwhile.
    Stopped,
}

/// Arcs whose home a node is and that it does not serve, by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissingArcs {
    /// Being copied to it, or waiting to be.
    pub uncopied: usize,
    /// Copied, and not yet handed over.
    pub copied: usize,
    /// Served by nobody: the only copies are on processes that nobody reaches.
    pub unreachable: usize,
}

impl MissingArcs {
    /// What a node misses, by a view.
    fn of(view: &View, me: NodeId) -> Self {
        let mut missing = Self::default();
        for entry in view.arcs.iter().filter(|entry| entry.home == me.name && entry.primary != me) {
            *if !view.is_member(entry.primary) {
                &mut missing.unreachable
            } else if entry.in_sync.contains(&me) {
                &mut missing.copied
            } else {
                &mut missing.uncopied
            } += 1;
        }
        missing
    }

    /// How many.
    #[must_use]
    pub fn arcs(self) -> usize {
        self.uncopied + self.copied + self.unreachable
    }
}

impl fmt::Display for MissingArcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = [
            (self.uncopied, "still being copied"),
            (self.copied, "copied, but busy where they are served"),
            (self.unreachable, "on processes that nobody reaches"),
        ];
        let why: Vec<String> =
            why.into_iter().filter(|(arcs, _)| *arcs > 0).map(|(arcs, why)| format!("{arcs} {why}")).collect();
        write!(f, "{} arcs ({})", self.arcs(), why.join(", "))
    }
}

impl fmt::Display for HandBackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAHost => f.write_str("its role is not `host`, so nothing is at home with it: ask for a host"),
            Self::Cordoned => f.write_str("it is cordoned, so it is given nothing: uncordon it first"),
            Self::Draining => f.write_str(
                "it drains or has left the ring: uncordon it while it is in, else start its process again, and ask then",
            ),
            Self::NoQuorum { awaited } => {
                write!(f, "no quorum: {} not heard, so nothing can be handed over", joined(awaited))
            }
            Self::TimedOut { missing } => {
                write!(f, "{missing} did not come in time and stay where they are; ask again, with more time")
            }
            Self::CalledOff => f.write_str("a cordon, uncordon or drain called it off: ask again if it is still meant"),
            Self::Stopped => f.write_str("the node was stopped"),
        }
    }
}

impl std::error::Error for HandBackError {}

/// Who waits for what is at home with a node. Changed only while what the node says of itself is.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// An order about the node's standing begins another round: whoever waits from before it has no say any more.
    rounds: watch::Sender<u64>,
    pub(super) waiting: usize,
}

/// Says, as long as it is kept, that a node claims what is at home with it.
struct Claim<'n> {
    node: &'n Node,
    round: u64,
    rounds: watch::Receiver<u64>,
}

impl<'n> Claim<'n> {
    /// Nothing is claimed by a node that is not to be given anything.
    fn of(node: &'n Node) -> Option<Self> {
        let mut claim = None;
        node.describe(|member| {
            if member.standing != Standing::Open {
                return;
            }
            let mut claims = node.claims();
            claims.waiting += 1;
            member.claims = true;
            claim = Some((*claims.rounds.borrow(), claims.rounds.subscribe()));
        });
        claim.map(|(round, rounds)| Self { node, round, rounds })
    }

    /// Waits until it is taken back by a new order.
    async fn called_off(&self) {
        let _ = self.rounds.clone().wait_for(|round| *round != self.round).await;
    }
}

impl Drop for Claim<'_> {
    /// Also when whoever asked went away: nobody would take it back otherwise.
    fn drop(&mut self) {
        self.node.describe(|member| {
            let mut claims = self.node.claims();
            if *claims.rounds.borrow() == self.round {
                claims.waiting -= 1;
                member.claims = claims.waiting > 0;
            }
        });
    }
}

impl Node {
    /// How long a hand-back takes at most, unless told otherwise.
    pub const HAND_BACK_WITHIN: Duration = Duration::from_secs(30);

    /// Gets back every arc whose home this node is, whatever `pin` says, and returns when it serves them. Where they are served
    /// now, sessions pause for some milliseconds, calls wait that long. Dropping the future takes the order back.
    ///
    /// # Errors
    /// Why nothing was begun, or what has not come `within` this time.
    pub async fn hand_back(&self, within: Duration) -> Result<(), HandBackError> {
        self.refuse_to_claim()?;
        let me = self.id();
        if MissingArcs::of(&self.view(), me).arcs() == 0 {
            return Ok(());
        }
        let mut views = self.views();
        let Some(claim) = Claim::of(self) else { return Err(self.called_off()) };
        let home = views.wait_for(|view| view.as_ref().is_some_and(|view| MissingArcs::of(view, me).arcs() == 0));
        tokio::select! {
            home = time::timeout(within, home) => match home {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(_)) => Err(HandBackError::Stopped),
                Err(_) => Err(HandBackError::TimedOut { missing: MissingArcs::of(&self.view(), me) }),
            },
            () = claim.called_off() => Err(self.called_off()),
            () = self.stopped() => Err(HandBackError::Stopped),
        }
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.0.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says another standing of itself. What it claimed it claims no more.
    pub(super) fn stand(&self, standing: Standing) {
        self.describe(|member| {
            let mut claims = self.claims();
            claims.waiting = 0;
            claims.rounds.send_modify(|round| *round += 1);
            (member.standing, member.claims) = (standing, false);
        });
    }

    /// What its standing has against it: as it says itself, which a view may not have yet.
    fn refuse_by_standing(&self) -> Result<(), HandBackError> {
        match self.0.member.lock().unwrap_or_else(PoisonError::into_inner).standing {
            Standing::Open => Ok(()),
            Standing::Cordoned => Err(HandBackError::Cordoned),
            Standing::Draining => Err(HandBackError::Draining),
        }
    }

    /// Why an order does not hold any more.
    fn called_off(&self) -> HandBackError {
        self.refuse_by_standing().err().unwrap_or(HandBackError::CalledOff)
    }

    fn refuse_to_claim(&self) -> Result<(), HandBackError> {
        if self.config().role != Role::Host {
            return Err(HandBackError::NotAHost);
        }
        self.refuse_by_standing()?;
        let outlook = self.outlook();
        if !outlook.has_quorum() {
            return Err(HandBackError::NoQuorum { awaited: outlook.awaited });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_is_told_with_what_it_waits_for() {
        let missing = MissingArcs { uncopied: 2, copied: 0, unreachable: 1 };
        let told = HandBackError::TimedOut { missing }.to_string();
        assert!(
            told.starts_with("3 arcs (2 still being copied, 1 on processes that nobody reaches) did not"),
            "{told}"
        );
    }
}
