//! What goes wrong in a simulated run. Plain data: when is drawn in `run`, how is carried out in `world`.

use std::{fmt, time::Duration};

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

fn listed(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "{name}"),
            Self::Primary(arc) => write!(f, "the primary of arc {arc}"),
            Self::Backup(arc) => write!(f, "the backup of arc {arc}"),
            Self::Learner(arc) => write!(f, "whoever catches up with arc {arc}"),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(names) => write!(f, "{} from all others", listed(names)),
            Self::Island(arc) => write!(f, "the primary of arc {arc} and its backup from all others"),
            Self::FromVoters { arc, deaf: false } => {
                write!(f, "the primary of arc {arc} from voters, who do not hear it")
            }
            Self::FromVoters { arc, deaf: true } => write!(f, "the primary of arc {arc} and voters from each other"),
            Self::FromBackup(arc) => write!(f, "the primary of arc {arc} from its backup, which does not hear it"),
            Self::OneWay(from, to) => write!(f, "{from} from {to}, which does not hear it"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vanish(whom, down) => write!(f, "power_off {whom}, another after {down:.0?}"),
            Self::Kill(whom, down) => write!(f, "kill {whom}, another after {down:.0?}"),
            Self::Start(name) => write!(f, "start {name}"),
            Self::Pause(whom, lasts) => write!(f, "pause {whom} for {lasts:.0?}"),
            Self::Resume(name) => write!(f, "resume {name}"),
            Self::Stand(whom, Standing::Cordoned, lasts) => write!(f, "cordon {whom} for {lasts:.0?}"),
            Self::Stand(whom, _, lasts) => write!(f, "drain {whom} for {lasts:.0?}"),
            Self::StandUp(name) => write!(f, "uncordon {name}"),
            Self::Claim(whom, lasts) => write!(f, "handback {whom}, for {lasts:.0?} at most"),
            Self::Unclaim(name) => write!(f, "{name} claims nothing more"),
            Self::Cut { cut, told: false } => write!(f, "cut {cut}"),
            Self::Cut { cut, told: true } => write!(f, "cut {cut}; connections close"),
            Self::Recover => f.write_str("an operator looks, and has the living go on where the ring stands still"),
            Self::ClearLost => f.write_str("clear_lost"),
            Self::Mend => f.write_str("heal"),
            Self::Heal => f.write_str("what is still wrong is mended"),
        }
    }
}
