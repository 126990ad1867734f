//! The simulated network: whether, when and how often a packet arrives.
//!
//! Each ordered pair of names has a random stream of its own, so that taking away a fault elsewhere leaves the rest of a run
//! as it was. It moves no packets itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::random::{Stream, Streams};
use crate::id::NodeName;

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// A packet takes at least this long.
    pub delay_min: Duration,
    /// And on average this much longer; differing delays reorder.
    pub delay_mean: Duration,
    /// A packet is lost with this probability.
    pub drop: f64,
    /// A packet arrives twice with this probability.
    pub duplicate: f64,
}

/// The links between all nodes.
#[derive(Debug)]
pub struct Network {
    streams: Streams,
    links: BTreeMap<(NodeName, NodeName), Stream>,
    /// Pairs that are cut, in this direction.
    cut: BTreeSet<(NodeName, NodeName)>,
    /// How bad it is now.
    pub weather: Weather,
}

impl Network {
    /// A network without cuts.
    #[must_use]
    pub fn new(streams: Streams, weather: Weather) -> Self {
        Self { streams, links: BTreeMap::new(), cut: BTreeSet::new(), weather }
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: NodeName, to: NodeName) {
        self.cut.insert((from, to));
    }

    /// Mends everything.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Whether both directions are open.
    #[must_use]
    pub fn connected(&self, one: NodeName, other: NodeName) -> bool {
        !self.cut.contains(&(one, other)) && !self.cut.contains(&(other, one))
    }

    /// After which delays a packet arrives: none if it is lost, two if it is repeated.
    pub fn arrivals(&mut self, from: NodeName, to: NodeName) -> Vec<Duration> {
        let streams = &self.streams;
        let link = self.links.entry((from, to)).or_insert_with(|| streams.stream(&format!("link {from}->{to}")));
        let weather = self.weather;
        // The same draws whatever happens, so that a packet's fate does not shift those after it.
        let (lost, twice) = (link.chance(weather.drop), link.chance(weather.duplicate));
        let mut delay = || weather.delay_min + link.exponential(weather.delay_mean, weather.delay_mean * 20);
        let (first, second) = (delay(), delay());
        if self.cut.contains(&(from, to)) || lost {
            Vec::new()
        } else if twice {
            vec![first, second]
        } else {
            vec![first]
        }
    }
}
