//! The simulated network: whether, when and how often a packet arrives.
//!
//! Each ordered pair of names has a random stream of its own, so that taking away a fault elsewhere leaves the rest of a run
//! as it was. It moves no packets itself.

use std::time::Duration;

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

/// What is worse on one link than the weather says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Trouble {
    /// Packets take so much longer.
    pub(crate) slower: Duration,
    /// At most so many bytes pass in a second.
    pub(crate) bandwidth: Option<u64>,
    /// A packet is lost with this probability.
    pub(crate) drop: f64,
    /// It arrives twice with this probability.
    pub(crate) duplicate: f64,
    /// With this probability a packet takes longer, by as much as this: others overtake it.
    pub(crate) reorder: (f64, Duration),
}

/// What can be done to what one says to the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LinkChange {
    /// Nothing of it arrives.
    Cut,
    /// It arrives again.
    Mend,
    /// Both see the connections between them closed.
    Close,
    /// It takes so much longer, and at most so many bytes pass in a second.
    Slow {
        /// Longer by this.
        delay: Duration,
        /// Bytes a second; `None`: as many as like.
        bandwidth: Option<u64>,
    },
    /// So much of it is lost.
    Drop(f64),
    /// So much of it arrives twice.
    Duplicate(f64),
    /// So much of it takes longer, by up to this, and is overtaken.
    Reorder {
        /// How much of it.
        rate: f64,
        /// Up to this.
        by: Duration,
    },
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
    trouble: Trouble,
    /// When the last of what was sent has passed, where only so much passes in a second.
    busy_until: u64,
}

/// After which delays a packet arrives: none if it is lost, two if it is repeated.
pub(crate) type Arrivals = (Option<Duration>, Option<Duration>);

impl Network {
    /// A network without cuts.
    #[must_use]
    pub(crate) fn new(streams: Streams, names: Vec<NodeName>, weather: Weather) -> Self {
        let pairs = names.iter().flat_map(|from| names.iter().map(move |to| (from, to)));
        let link = |(from, to)| Link {
            chance: streams.stream(&format!("link {from}->{to}")),
            cut: false,
            trouble: Trouble::default(),
            busy_until: 0,
        };
        Self { links: pairs.map(link).collect(), names, weather }
    }

    fn link(&mut self, from: NodeName, to: NodeName) -> &mut Link {
        let place = |name| self.names.iter().position(|n| *n == name).expect("only configured names run");
        let at = place(from) * self.names.len() + place(to);
        &mut self.links[at]
    }

    /// Cuts one direction, or mends it; says whether that changes anything.
    pub(crate) fn cut(&mut self, from: NodeName, to: NodeName, cut: bool) -> bool {
        std::mem::replace(&mut self.link(from, to).cut, cut) != cut
    }

    /// Changes one direction; says whether a cut was made or mended that was not so before. Nothing here closes connections.
    pub(crate) fn change(&mut self, from: NodeName, to: NodeName, change: LinkChange) -> bool {
        let trouble = &mut self.link(from, to).trouble;
        match change {
            LinkChange::Cut => return self.cut(from, to, true),
            LinkChange::Mend => return self.cut(from, to, false),
            LinkChange::Close => {}
            LinkChange::Slow { delay, bandwidth } => (trouble.slower, trouble.bandwidth) = (delay, bandwidth),
            LinkChange::Drop(rate) => trouble.drop = rate,
            LinkChange::Duplicate(rate) => trouble.duplicate = rate,
            LinkChange::Reorder { rate, by } => trouble.reorder = (rate, by),
        }
        false
    }

    /// Whether nothing that one says reaches the other.
    #[must_use]
    pub(crate) fn is_cut(&mut self, from: NodeName, to: NodeName) -> bool {
        self.link(from, to).cut
    }

    /// Mends every cut; from whom to whom there were any.
    pub(crate) fn mend(&mut self) -> Vec<(NodeName, NodeName)> {
        let names = &self.names;
        let pairs = names.iter().flat_map(|from| names.iter().map(move |to| (*from, *to)));
        let cut = |(link, pair): (&mut Link, _)| std::mem::take(&mut link.cut).then_some(pair);
        self.links.iter_mut().zip(pairs).filter_map(cut).collect()
    }

    /// Ends what is worse on any link than the weather.
    pub(crate) fn clear_up(&mut self) {
        self.links.iter_mut().for_each(|link| link.trouble = Trouble::default());
    }

    /// Whether both directions are open.
    #[must_use]
    pub(crate) fn connected(&mut self, one: NodeName, other: NodeName) -> bool {
        !self.link(one, other).cut && !self.link(other, one).cut
    }

    /// What becomes of a packet of so many bytes that is sent now.
    pub(crate) fn arrivals(&mut self, from: NodeName, to: NodeName, bytes: impl Fn() -> usize, now: u64) -> Arrivals {
        let weather = self.weather;
        let Link { chance, cut, trouble, busy_until } = self.link(from, to);
        // The same draws whatever happens, so that a packet's fate does not shift those after it.
        let lost = chance.chance(weather.drop.max(trouble.drop));
        let twice = chance.chance(weather.duplicate.max(trouble.duplicate));
        let mut delay = || weather.delay_min + chance.exponential(weather.delay_mean, weather.delay_mean * 20);
        let (mut first, mut second) = (delay(), delay());
        if *trouble != Trouble::default() {
            let (rate, by) = trouble.reorder;
            for each in [&mut first, &mut second] {
                *each += trouble.slower;
                if chance.chance(rate) {
                    *each += chance.duration(Duration::ZERO, by);
                }
            }
            if let Some(bandwidth) = trouble.bandwidth {
                // It leaves when all that was sent before has left.
                let takes = bytes() as u64 * 1_000_000_000 / bandwidth.max(1);
                *busy_until = (*busy_until).max(now) + takes;
                let queued = Duration::from_nanos(*busy_until - now);
                (first, second) = (first + queued, second + queued);
            }
        }
        let arrives = !*cut && !lost;
        (arrives.then_some(first), (arrives && twice).then_some(second))
    }
}
