//! What goes wrong in a simulated run. Plain data: when is drawn in `run`, how is carried out in `world`.

use std::time::Duration;

use crate::{
    id::{ArcId, NodeName},
    membership::Standing,
};

/// Whom a fault hits: by name, or by the part it has when the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Whoever runs under this name.
    Named(NodeName),
    /// The primary of this arc in the newest view.
    Primary(ArcId),
    /// Its first in-sync backup.
    Backup(ArcId),
    /// The node that catches up with it.
    Learner(ArcId),
}

/// Whom a cut parts from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// These from all others, both ways.
    Group(Vec<NodeName>),
    /// The primary of an arc with its first in-sync backup, from all others.
    Island(ArcId),
    /// The primary of an arc from the voters that hold no copy of it: what it says to them, and if `deaf` what they say.
    FromVoters {
        /// Which arc's primary.
        arc: ArcId,
        /// Whether it does not hear them either.
        deaf: bool,
    },
    /// What the primary of an arc says to its first in-sync backup.
    FromBackup(ArcId),
    /// One direction.
    OneWay(NodeName, NodeName),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine loses its power: as a kill, and what it sent last never leaves it.
    Vanish(Whom, Duration),
    /// The process ends at once; another starts under its name after this.
    Kill(Whom, Duration),
    /// A process starts under a name that none has, blank.
    Start(NodeName),
    /// The process stops for this long; its clock goes on.
    Pause(Whom, Duration),
    /// It goes on.
    Resume(NodeName),
    /// The process is told to be cordoned or to drain for this long, and then to take part again; one that has left by then
    /// ends, and another starts under its name.
    Stand(Whom, Standing, Duration),
    /// It takes part again, and claims nothing.
    StandUp(NodeName),
    /// The process is told to get back what is at home with it, for this long at most.
    Claim(Whom, Duration),
    /// It claims nothing any more.
    Unclaim(NodeName),
    /// Messages are lost. `told`: both ends see their connection close, so that they ask at once instead of waiting.
    Cut {
        /// Between whom.
        cut: Cut,
        /// Whether connections close with it.
        told: bool,
    },
    /// An operator looks, and where the ring stands still for good has the living go on as a successor of their cluster.
    Recover,
    /// An operator is done with what was lost so far.
    ClearLost,
    /// Every cut is mended.
    Mend,
    /// Everything that is wrong ends; dead nodes are started, paused ones resumed.
    Heal,
}
