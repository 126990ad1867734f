//! Homes: which name each arc belongs to when that name is up. Dealt once, when a cluster is founded, and from then on
//! changed as little as can be: for a name that never had a place, or for one that came back with another weight.
//!
//! ```text
//!  weights a 1, b 2, c 1, eight arcs        c comes back with weight 2: its share is 3.2 of 8, so it takes one more
//!
//!   b a b c b a b c                          b a b c b a c c       (from b, who is furthest above its share: the last)
//! ```
//!
//! A name's *share* is its part of all arcs by weight; nobody has as much as one arc more or less than that. Dealing is the
//! quota method of Balinski and Young (1975): the arcs dealt so far are never further from the shares than that either, so a
//! heavy node's arcs lie between the others' and not in one block. With equal weights it deals by turns.
//!
//! A weight is each node's own word (`Member::weight`). That with which a name's arcs were dealt is kept in the shape, for a
//! dead node has no say and still has its homes. Here nothing is moved: who serves an arc is `placement`'s and the primaries'.

use std::{cmp::Reverse, collections::BTreeMap, num::NonZeroU16};

use super::Shape;
use crate::id::NodeName;

/// The weight of a node that says nothing else.
pub const WEIGHT: NonZeroU16 = NonZeroU16::MIN;

impl Shape {
    /// The weight with which this name's arcs were dealt.
    #[must_use]
    pub fn weight_of(&self, name: NodeName) -> NonZeroU16 {
        self.weights.get(&name).copied().unwrap_or(WEIGHT)
    }

    /// Notes another weight. The common one is not written down.
    pub fn weigh(&mut self, name: NodeName, weight: NonZeroU16) {
        if weight == WEIGHT {
            self.weights.remove(&name);
        } else {
            self.weights.insert(name, weight);
        }
    }
}

/// What part of all arcs a weight is worth among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Rounded down.
    pub(super) floor: usize,
    /// What was cut off by rounding, in parts of all weights together.
    pub(super) rest: u64,
}

impl Share {
    /// The share of `weight` of so many arcs, where all weights together are `all`.
    pub(super) fn of(weight: NonZeroU16, all: u64, arcs: usize) -> Self {
        let parts = arcs as u64 * u64::from(weight.get());
        let all = all.max(1);
        Self { floor: usize::try_from(parts / all).unwrap_or(arcs), rest: parts % all }
    }

    /// Rounded up.
    pub(super) fn ceil(self) -> usize {
        self.floor + usize::from(self.rest > 0)
    }
}

/// The homes of a new cluster: claims dealt one by one to the hosts, which are given in ring order, by the weights that the
/// shape has for them. Empty if there is no host, which founding refuses before it asks.
#[must_use]
pub fn deal_homes(shape: &Shape, hosts: &[NodeName]) -> Vec<NodeName> {
    let weights: Vec<u64> = hosts.iter().map(|host| u64::from(shape.weight_of(*host).get())).collect();
    let all: u64 = weights.iter().sum();
    let mut dealt = vec![0_u64; hosts.len()];
    let next = |turn: u64| {
        // Whoever has its share of the arcs so far waits; of the others it is the one whose next arc is due first.
        let waits = |i: &usize| dealt[*i] * all < turn * weights[*i];
        let sooner = |i: &usize, j: &usize| ((dealt[*i] + 1) * weights[*j]).cmp(&((dealt[*j] + 1) * weights[*i]));
        let i = (0..hosts.len()).filter(waits).min_by(sooner)?;
        dealt[i] += 1;
        Some(hosts[i])
    };
    (1..=u64::from(shape.arcs)).map_while(next).collect()
}

/// The homes after `newcomer`, a host that never had a place or whose weight in the shape has changed, was given its share: by
/// the fewest changes, so that nobody is an arc or more from its share. Where there is a choice, who is furthest above its share
/// gives, then the first on the ring. Dead names keep their shares.
///
/// Of each giver the arcs of the highest numbers go: those that stay keep their rank among their home's arcs, and with it
/// their backups, whatever the spread.
#[must_use]
pub fn rehome(shape: &Shape, homes: &[NodeName], newcomer: NodeName) -> Vec<NodeName> {
    let mut owned: BTreeMap<NodeName, usize> = BTreeMap::from([(newcomer, 0)]);
    for home in homes {
        *owned.entry(*home).or_default() += 1;
    }
    let place: BTreeMap<NodeName, usize> = shape.ring.iter().copied().zip(0..).collect();
    let all: u64 = owned.keys().map(|name| u64::from(shape.weight_of(*name).get())).sum();
    let mut claims: Vec<Claim> = owned
        .into_iter()
        .map(|(name, owned)| {
            let share = Share::of(shape.weight_of(name), all, homes.len());
            Claim { name, owned, share, due: owned.clamp(share.floor, share.ceil()) }
        })
        .collect();
    claims.sort_by_key(|claim| (place.get(&claim.name).copied().unwrap_or(place.len()), claim.name));
    settle(&mut claims, homes.len());

    let mut gives: BTreeMap<NodeName, usize> =
        claims.iter().map(|claim| (claim.name, claim.owned.saturating_sub(claim.due))).collect();
    let mut takes: Vec<(NodeName, usize)> =
        claims.iter().map(|claim| (claim.name, claim.due.saturating_sub(claim.owned))).collect();
    let mut rehomed = homes.to_vec();
    for home in rehomed.iter_mut().rev() {
        let Some(owed) = gives.get_mut(home).filter(|owed| **owed > 0) else { continue };
        // The first of those that lack most: `max_by_key` would give the last.
        let Some((taker, lacks)) = takes.iter_mut().min_by_key(|(_, lacks)| Reverse(*lacks)).filter(|(_, l)| *l > 0)
        else {
            break;
        };
        *owed -= 1;
        *lacks -= 1;
        *home = *taker;
    }
    rehomed
}

/// What one name has, and what it should have.
struct Claim {
    name: NodeName,
    owned: usize,
    share: Share,
    due: usize,
}

/// Makes what is due add up to all arcs. Everybody is within its share already, so each of these is one up or one down, and
/// costs no change of home that the others' shares do not ask for anyway.
fn settle(claims: &mut [Claim], arcs: usize) {
    let mut due: usize = claims.iter().map(|claim| claim.due).sum();
    while due > arcs {
        let above = claims.iter_mut().filter(|claim| claim.due > claim.share.floor);
        let Some(claim) = above.min_by_key(|claim| claim.share.rest) else { break };
        claim.due -= 1;
        due -= 1;
    }
    while due < arcs {
        let below = claims.iter_mut().filter(|claim| claim.due < claim.share.ceil());
        let Some(claim) = below.min_by_key(|claim| Reverse(claim.share.rest)) else { break };
        claim.due += 1;
        due += 1;
    }
}

#[cfg(test)]
mod tests;
