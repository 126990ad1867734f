//! Scenarios: what goes wrong when, and what must follow, written so that somebody who has never seen one can read it.
//!
//! A [`Scenario`] is plain data, read from a file ([`Scenario::from_text`]) or put together in Rust. It says nothing of an engine:
//! the simulator plays it (`sim::play`), and so may real processes. It is checked when it is made: every name it speaks of is a
//! node, every time lies within it, every number within its bounds.

mod amount;
mod builder;
mod deed;
mod expect;
mod fault;
mod idle;
mod reading;
mod setting;
mod value;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use crate::id::NodeName;

pub use self::{
    builder::{ScenarioBuilder, WrongScenario},
    deed::{Between, Deed, Step},
    expect::{Expectation, Holds, When},
    fault::{ScenarioError, ScenarioFault},
    idle::Idle,
    setting::{ClusterPlan, NodePlan, Swarm, Work},
};

/// The longest file, in bytes.
pub const FILE_MAX: usize = 256 << 10;
/// The most steps, and the most expectations.
pub const STEPS_MAX: usize = 1_000;
/// The most nodes.
pub const NODES_MAX: usize = 16;
/// What follows the last word of a scenario that does not say how long it lasts.
const AFTER_THE_LAST: Duration = Duration::from_secs(3);
/// The longest scenario.
pub const LASTS_MAX: Duration = Duration::from_secs(600);

/// One scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name: that of its file, without the ending.
    pub name: String,
    /// Two sentences: what cannot talk to what, and what must follow.
    pub about: String,
    /// Whether it asks for what only the simulator can do.
    pub simulated_only: bool,
    /// The nodes, and what lies between them.
    pub cluster: ClusterPlan,
    /// What callers do meanwhile.
    pub work: Work,
    /// What goes wrong, in order of time.
    pub steps: Vec<Step>,
    /// What must follow.
    pub expects: Vec<Expectation>,
    /// What goes wrong besides, by chance.
    pub swarm: Option<Swarm>,
    /// When its last word has been looked at. Then everything that is wrong is mended, and it must heal.
    pub lasts: Duration,
}

impl Scenario {
    /// Every name that may run: the nodes of the file, then those that join unlisted.
    #[must_use]
    pub fn names(&self) -> Vec<NodeName> {
        let mut names: Vec<NodeName> = self.cluster.nodes.iter().map(|node| node.name).collect();
        for step in &self.steps {
            if let Deed::Join(joining) = &step.deed {
                names.extend(joining.iter().filter(|name| !names.contains(name)).copied().collect::<BTreeSet<_>>());
            }
        }
        names
    }
}
