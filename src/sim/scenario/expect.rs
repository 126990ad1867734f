//! What a scenario expects: plain data, with the words in which it is told.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{id::NodeName, sim::check::Violation};

/// When an expectation is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this time, from the beginning.
    At(Duration),
    /// When the scenario is over, before what is still wrong is mended.
    Finally,
}

impl When {
    /// At which time; `None`: in the end.
    #[must_use]
    pub const fn time(self) -> Option<Duration> {
        match self {
            Self::At(at) => Some(at),
            Self::Finally => None,
        }
    }
}

/// Something that must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// When.
    pub when: When,
    /// What.
    pub holds: Holds,
    /// Where in the file it stands: its line.
    pub line: usize,
}

impl Expectation {
    /// The violation where something else is instead, as was seen at this time of the run.
    #[must_use]
    pub fn unmet(&self, instead: &str, seen_at: Duration) -> Violation {
        let when = match self.when {
            When::At(at) => format!("at {at:?}"),
            When::Finally => "in the end".to_owned(),
        };
        Violation::new("expect", format_args!("line {}, {when}: expected: {}; but {instead}", self.line, self.holds))
            .at(seen_at)
    }
}

/// What can be expected.
#[derive(Clone, Debug, PartialEq)]
pub enum Holds {
    /// Exactly these nodes are in the newest view.
    Members(Vec<NodeName>),
    /// Exactly these vote on the next view.
    Voters(Vec<NodeName>),
    /// The arcs at home with the first are served by the second.
    Primary(BTreeMap<NodeName, NodeName>),
    /// The arcs at home with the first have exactly these in-sync backups.
    Backups(BTreeMap<NodeName, Vec<NodeName>>),
    /// From a primary to its in-sync backup: exactly these links are there.
    Links(Vec<(NodeName, NodeName)>),
    /// Every arc has all the backups it should, or not.
    FullyProtected(bool),
    /// The arcs at home with these wait for a copy that nobody reaches; no others do.
    Recovering(Vec<NodeName>),
    /// So many arcs have lost every copy.
    LostArcs(usize),
    /// So many acknowledged commands are gone.
    Lost(u64),
    /// So many commands were applied more than once.
    Duplicated(u64),
    /// So many answers were older than one given before.
    StaleReads(u64),
    /// So many calls were answered with a failure, or with nothing.
    Failed(u64),
    /// After each loss of a node, every arc that it served was served elsewhere within this.
    PromotedWithin(Duration),
    /// After each loss of a node, all was fully protected again within this.
    ProtectedWithin(Duration),
    /// No caller waited longer than this for an answer.
    AvailableWithin(Duration),
    /// No session with a set end was there longer than this after it.
    EndedWithin(Duration),
    /// This branch was reached.
    Reached(String),
}

impl Holds {
    /// Everybody it speaks of.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        match self {
            Self::Members(names) | Self::Voters(names) | Self::Recovering(names) => names.clone(),
            Self::Primary(by) => by.iter().flat_map(|(home, by)| [*home, *by]).collect(),
            Self::Backups(by) => by.iter().flat_map(|(home, by)| by.iter().chain([home])).copied().collect(),
            Self::Links(links) => links.iter().flat_map(|(from, to)| [*from, *to]).collect(),
            _ => vec![],
        }
    }

    /// Whether it is about the whole run, and so can only be looked at in the end.
    #[must_use]
    pub const fn is_of_the_whole(&self) -> bool {
        matches!(
            self,
            Self::Lost(_)
                | Self::Duplicated(_)
                | Self::StaleReads(_)
                | Self::Failed(_)
                | Self::PromotedWithin(_)
                | Self::ProtectedWithin(_)
                | Self::AvailableWithin(_)
                | Self::EndedWithin(_)
                | Self::Reached(_)
        )
    }
}

fn names(of: &[NodeName]) -> String {
    if of.is_empty() { "nobody".to_owned() } else { of.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ") }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members(members) => write!(f, "the members are {}", names(members)),
            Self::Voters(voters) => write!(f, "the voters are {}", names(voters)),
            Self::Primary(by) => {
                let each: Vec<String> =
                    by.iter().map(|(home, by)| format!("{home}'s arcs are served by {by}")).collect();
                f.write_str(&each.join(", "))
            }
            Self::Backups(by) => {
                let each: Vec<String> =
                    by.iter().map(|(home, by)| format!("{home}'s arcs are guarded by {}", names(by))).collect();
                f.write_str(&each.join(", "))
            }
            Self::Links(links) => {
                let each: Vec<String> = links.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
                write!(f, "the links are {}", each.join(", "))
            }
            Self::FullyProtected(true) => f.write_str("all is fully protected"),
            Self::FullyProtected(false) => f.write_str("not all is protected"),
            Self::Recovering(homes) => write!(f, "the arcs of {} wait for a copy out of reach", names(homes)),
            Self::LostArcs(count) => write!(f, "{count} arcs are lost"),
            Self::Lost(count) => write!(f, "{count} acknowledged commands are lost"),
            Self::Duplicated(count) => write!(f, "{count} commands were applied more than once"),
            Self::StaleReads(count) => write!(f, "{count} answers were stale"),
            Self::Failed(count) => write!(f, "{count} calls failed"),
            Self::PromotedWithin(time) => write!(f, "what a lost node served is served again within {time:?}"),
            Self::ProtectedWithin(time) => write!(f, "all is protected again within {time:?}"),
            Self::AvailableWithin(time) => write!(f, "every caller is answered within {time:?}"),
            Self::EndedWithin(time) => write!(f, "what has a set end is gone within {time:?} of it"),
            Self::Reached(mark) => write!(f, "reached: {mark}"),
        }
    }
}
