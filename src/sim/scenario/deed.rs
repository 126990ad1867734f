//! What a scenario does to its cluster: plain data, with the words in which a timeline tells it.

use std::{fmt, time::Duration};

use crate::{id::NodeName, sim::network::LinkChange};

/// One step of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, from the beginning.
    pub at: Duration,
    /// What.
    pub deed: Deed,
}

/// From whom to whom, one way. Empty: anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Between {
    /// Who speaks.
    pub from: Vec<NodeName>,
    /// Who is spoken to.
    pub to: Vec<NodeName>,
}

impl Between {
    /// Whether it is about what one says to the other.
    #[must_use]
    pub fn covers(&self, from: NodeName, to: NodeName) -> bool {
        from != to
            && (self.from.is_empty() || self.from.contains(&from))
            && (self.to.is_empty() || self.to.contains(&to))
    }
}

/// What can be done to a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// The processes end at once, as by SIGKILL.
    Kill(Vec<NodeName>),
    /// The machines lose their power: as a kill, and what they said last never leaves them.
    PowerOff(Vec<NodeName>),
    /// New processes start under these names; those that run are killed first.
    Restart(Vec<NodeName>),
    /// The processes stop, and their clocks go on, as by SIGSTOP.
    Pause(Vec<NodeName>),
    /// They go on.
    Resume(Vec<NodeName>),
    /// Each group hears only itself; whoever is in none is in one more.
    Partition(Vec<Vec<NodeName>>),
    /// What one says does not reach the other.
    OneWay(Between),
    /// Both ways cut between two, and both see their connections closed.
    LinkDown(NodeName, NodeName),
    /// That is mended.
    LinkUp(NodeName, NodeName),
    /// Every cut, delay, loss and repetition ends.
    Heal,
    /// Messages take this much longer, and at most so many bytes pass in a second.
    Slow {
        /// Whose.
        between: Between,
        /// How much longer.
        delay: Duration,
        /// How many bytes a second; `None`: any number.
        bandwidth: Option<u64>,
    },
    /// Messages are lost with this probability.
    Drop(Between, f64),
    /// Messages arrive twice with this probability.
    Duplicate(Between, f64),
    /// Messages are overtaken with this probability: they take up to so much longer.
    Reorder {
        /// Whose.
        between: Between,
        /// How probably.
        rate: f64,
        /// How much longer, at most.
        by: Duration,
    },
    /// The clock of a node goes so many parts of a million fast, or slow.
    ClockRate(NodeName, i32),
    /// The nodes keep what they have and are given no more.
    Cordon(Vec<NodeName>),
    /// They take part again.
    Uncordon(Vec<NodeName>),
    /// The nodes hand over all they have and leave; their processes end then.
    Drain(Vec<NodeName>),
    /// The processes are told to end, as by SIGTERM: they hand over what they have, and end.
    Leave(Vec<NodeName>),
    /// The nodes get back what is at home with them, whatever `pin` says.
    HandBack(Vec<NodeName>),
    /// Processes start under names that none has, listed or not.
    Join(Vec<NodeName>),
    /// An operator has the ring go on with these nodes alone.
    Recover(Vec<NodeName>),
    /// An operator says that a node's process has ended.
    Dead(NodeName),
    /// An operator is done with what was lost.
    ClearLost,
}

impl Deed {
    /// The key that says it in a file.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::PowerOff(_) => "power_off",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Partition(_) => "partition",
            Self::OneWay(_) => "one_way",
            Self::LinkDown(..) => "link_down",
            Self::LinkUp(..) => "link_up",
            Self::Heal => "heal",
            Self::Slow { .. } => "slow",
            Self::Drop(..) => "drop",
            Self::Duplicate(..) => "duplicate",
            Self::Reorder { .. } => "reorder",
            Self::ClockRate(..) => "clock_rate",
            Self::Cordon(_) => "cordon",
            Self::Uncordon(_) => "uncordon",
            Self::Drain(_) => "drain",
            Self::Leave(_) => "leave",
            Self::HandBack(_) => "handback",
            Self::Join(_) => "join",
            Self::Recover(_) => "recover",
            Self::Dead(_) => "dead",
            Self::ClearLost => "clear_lost",
        }
    }

    /// What it does to the links between these nodes, in order: from whom, to whom, what. Nothing, if it is about processes; that a
    /// healing ends whatever was done before is not in it.
    #[must_use]
    pub fn on_links(&self, names: &[NodeName]) -> Vec<(NodeName, NodeName, LinkChange)> {
        let all = || names.iter().flat_map(|from| names.iter().map(move |to| (*from, *to)));
        let between = |between: &Between, change| {
            let covered = all().filter(|(from, to)| between.covers(*from, *to));
            covered.map(|(from, to)| (from, to, change)).collect()
        };
        match self {
            Self::Partition(groups) => {
                // Whoever is in no group is in one more.
                let side = |name: &NodeName| groups.iter().position(|group| group.contains(name));
                let parted = all().filter(|(from, to)| side(from) != side(to));
                parted.map(|(from, to)| (from, to, LinkChange::Cut)).collect()
            }
            Self::OneWay(those) => between(those, LinkChange::Cut),
            Self::LinkDown(one, other) => [(*one, *other), (*other, *one)]
                .into_iter()
                .flat_map(|(from, to)| [(from, to, LinkChange::Cut), (from, to, LinkChange::Close)])
                .collect(),
            Self::LinkUp(one, other) => vec![(*one, *other, LinkChange::Mend), (*other, *one, LinkChange::Mend)],
            Self::Slow { between: those, delay, bandwidth } => {
                between(those, LinkChange::Slow { delay: *delay, bandwidth: *bandwidth })
            }
            Self::Drop(those, rate) => between(those, LinkChange::Drop(*rate)),
            Self::Duplicate(those, rate) => between(those, LinkChange::Duplicate(*rate)),
            Self::Reorder { between: those, rate, by } => between(those, LinkChange::Reorder { rate: *rate, by: *by }),
            _ => vec![],
        }
    }

    /// Everybody it speaks of.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        match self {
            Self::Kill(names)
            | Self::PowerOff(names)
            | Self::Restart(names)
            | Self::Pause(names)
            | Self::Resume(names)
            | Self::Cordon(names)
            | Self::Uncordon(names)
            | Self::Drain(names)
            | Self::Leave(names)
            | Self::HandBack(names)
            | Self::Recover(names)
            | Self::Join(names) => names.clone(),
            Self::Partition(groups) => groups.concat(),
            Self::OneWay(between)
            | Self::Slow { between, .. }
            | Self::Drop(between, _)
            | Self::Duplicate(between, _)
            | Self::Reorder { between, .. } => between.from.iter().chain(&between.to).copied().collect(),
            Self::LinkDown(one, other) | Self::LinkUp(one, other) => vec![*one, *other],
            Self::ClockRate(name, _) | Self::Dead(name) => vec![*name],
            Self::Heal | Self::ClearLost => vec![],
        }
    }
}

fn listed(names: &[NodeName]) -> String {
    if names.is_empty() {
        return "anybody".to_owned();
    }
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}", listed(&self.from), listed(&self.to))
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key();
        match self {
            Self::Partition(groups) => {
                let groups: Vec<String> = groups.iter().map(|group| listed(group)).collect();
                write!(f, "{key} {}", groups.join(" | "))
            }
            Self::OneWay(between) => write!(f, "{key}: nothing arrives {between}"),
            Self::LinkDown(one, other) | Self::LinkUp(one, other) => write!(f, "{key} {one} - {other}"),
            Self::Slow { between, delay, bandwidth: None } => write!(f, "{key} by {delay:?} {between}"),
            Self::Slow { between, delay, bandwidth: Some(bytes) } => {
                write!(f, "{key} by {delay:?} and to {bytes} bytes a second {between}")
            }
            Self::Drop(between, rate) | Self::Duplicate(between, rate) => write!(f, "{key} {rate} {between}"),
            Self::Reorder { between, rate, by } => write!(f, "{key} {rate} by up to {by:?} {between}"),
            Self::ClockRate(name, ppm) => write!(f, "{key} of {name}: {ppm:+} in a million"),
            Self::Heal | Self::ClearLost => f.write_str(key),
            other => write!(f, "{key} {}", listed(&other.nodes())),
        }
    }
}
