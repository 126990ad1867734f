//! The simulated network: whether, when and how often a packet arrives.
//!
//! Each ordered pair of names has a random stream of its own, so that taking away a fault elsewhere leaves the rest of a run
//! as it was. It moves no packets itself.

use std::time::Duration;

use super::random::{Stream, Streams};
use crate::id::NodeName;

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// A packet takes at least this long.
    pub(crate) delay_min: Duration,
    /// And on average this much longer; differing delays reorder.
    pub(crate) delay_mean: Duration,
    /// A packet is lost with this probability.
    pub(crate) drop: f64,
    /// A packet arrives twice with this probability.
    pub(crate) duplicate: f64,
}

/// The links between all nodes.
#[derive(Debug)]
pub(crate) struct Network {
    names: Vec<NodeName>,
    /// By the places of sender, then receiver, among the names.
    links: Vec<Link>,
    /// How bad it is now.
    pub(crate) weather: Weather,
}

/// One direction between two names.
#[derive(Debug)]
struct Link {
    chance: Stream,
    cut: bool,
}

impl Network {
    /// A network without cuts.
    #[must_use]
    pub(crate) fn new(streams: Streams, names: Vec<NodeName>, weather: Weather) -> Self {
        let pairs = names.iter().flat_map(|from| names.iter().map(move |to| (from, to)));
        let link = |(from, to)| Link { chance: streams.stream(&format!("link {from}->{to}")), cut: false };
        Self { links: pairs.map(link).collect(), names, weather }
    }

    fn link(&mut self, from: NodeName, to: NodeName) -> &mut Link {
        let place = |name| self.names.iter().position(|n| *n == name).expect("only configured names run");
        let at = place(from) * self.names.len() + place(to);
        &mut self.links[at]
    }

    /// Cuts one direction.
    pub(crate) fn cut(&mut self, from: NodeName, to: NodeName) {
        self.link(from, to).cut = true;
    }

    /// Mends everything.
    pub(crate) fn heal(&mut self) {
        self.links.iter_mut().for_each(|link| link.cut = false);
    }

    /// Whether both directions are open.
    #[must_use]
    pub(crate) fn connected(&mut self, one: NodeName, other: NodeName) -> bool {
        !self.link(one, other).cut && !self.link(other, one).cut
    }

    /// After which delays a packet arrives: none if it is lost, two if it is repeated.
    pub(crate) fn arrivals(&mut self, from: NodeName, to: NodeName) -> (Option<Duration>, Option<Duration>) {
        let weather = self.weather;
        let Link { chance, cut } = self.link(from, to);
        // The same draws whatever happens, so that a packet's fate does not shift those after it.
        let (lost, twice) = (chance.chance(weather.drop), chance.chance(weather.duplicate));
        let mut delay = || weather.delay_min + chance.exponential(weather.delay_mean, weather.delay_mean * 20);
        let (first, second) = (delay(), delay());
        let arrives = !*cut && !lost;
        (arrives.then_some(first), (arrives && twice).then_some(second))
    }
}
