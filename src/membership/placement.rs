//! The target: where every arc *should* be, as a pure function of who is in the view. What *is* stands in the view's
//! entries, and moving from the one to the other by few, safe steps is `next_view`'s work; nothing is moved here.
//!
//! ```text
//!  four nodes, four arcs, one backup, spread 1       a dies                         a returns
//!
//!   arc 0  a ─► b      a is home of arc 0             arc 0  b ─► c   promoted       as at first: a home is
//!   arc 1  b ─► c      and backup of d                arc 1  b ─► c                  kept for the name, and
//!   arc 2  c ─► d                                     arc 2  c ─► d                  given back to it live
//!   arc 3  d ─► a                                     arc 3  d ─► b   re-linked
//! ```
//!
//! Each arc has a home, a *name*, which it keeps while that name is dead. Its preference order is the home, then the home's
//! successors on the ring of names, dead ones included; the target is the first live ones of that order. So the order of an
//! arc does not change with who lives. Invariant: where zones do not force a choice, the first backup is the next primary,
//! so that a promotion already is the target and no primary moves twice; a node that returns restores the former target.
//!
//! `spread` says among how many successors the arcs of one home are dealt. The choice is made anew at every step, among the
//! next `spread` names not yet taken, by the digits of the arc's rank among its home's arcs; so a second death is shared
//! out as well. Preference lists are Dynamo's (DeCandia et al. 2007, section 4.6); sharing a dead node's load out is
//! chained declustering (Hsiao and DeWitt 1990).
//!
//! Zones choose backups, never the primary: a dead node's zone is not known to the view, so a choice by it could not be
//! kept. Lay the ring so that neighbours stand in different zones; otherwise a failover is followed by one more hand-over.

use std::{collections::BTreeMap, iter};

use super::view::{ArcEntry, Role, Shape, Standing, View};
use crate::id::{ArcId, NodeId, NodeName};

/// Where one arc should be, given who lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// The first live host of the arc's preference order; `None` when no host lives.
    pub primary: Option<NodeId>,
    /// Who should hold copies, in the order of preference; fewer than the shape wants when fewer can hold one.
    pub backups: Vec<NodeId>,
}

/// The homes of a new cluster: claims dealt one by one to the hosts, which are given in ring order. Empty if there is no
/// host, which founding refuses before it asks.
#[must_use]
pub fn deal_homes(shape: &Shape, hosts: &[NodeName]) -> Vec<NodeName> {
    hosts.iter().copied().cycle().take(usize::from(shape.arcs)).collect()
}

/// The homes after `newcomer`, a name that never had a place, joined as a host: it takes one arc after another from
/// whoever has most (the first of those on `ring`), until nobody has two more than it has. No other arc changes its home.
///
/// Of each giver it takes the arcs of the highest numbers: those that stay keep their rank among their home's arcs, and
/// with it their backups, whatever the spread.
#[must_use]
pub fn rehome(homes: &[NodeName], ring: &[NodeName], newcomer: NodeName) -> Vec<NodeName> {
    let mut owned: BTreeMap<NodeName, usize> = BTreeMap::new();
    for home in homes {
        *owned.entry(*home).or_default() += 1;
    }
    let mut mine = owned.remove(&newcomer).unwrap_or(0);
    let place: BTreeMap<NodeName, usize> = ring.iter().copied().zip(0..).collect();
    let late_first = |name: &NodeName| std::cmp::Reverse((place.get(name).copied().unwrap_or(ring.len()), *name));
    let mut given: BTreeMap<NodeName, usize> = BTreeMap::new();
    while let Some((giver, left)) = owned.iter_mut().max_by_key(|(name, count)| (**count, late_first(name))) {
        if *left <= mine + 1 {
            break;
        }
        *left -= 1;
        mine += 1;
        *given.entry(*giver).or_default() += 1;
    }
    let mut rehomed = homes.to_vec();
    for home in rehomed.iter_mut().rev() {
        if let Some(owed) = given.get_mut(home).filter(|owed| **owed > 0) {
            *owed -= 1;
            *home = newcomer;
        }
    }
    rehomed
}

/// The target of one arc. An arc the cluster does not have belongs nowhere. For many arcs, [`targets`] is far cheaper.
#[must_use]
pub fn target(view: &View, arc: ArcId) -> Target {
    let Some(entry) = view.arc(arc) else { return Target::default() };
    let before = &view.arcs[..usize::from(arc.0)];
    let rank = before.iter().filter(|e| e.home == entry.home).count();
    Ground::of(view).target(entry, rank)
}

/// The target of every arc, by `ArcId`.
#[must_use]
pub fn targets(view: &View) -> Vec<Target> {
    let ground = Ground::of(view);
    let mut ranks: BTreeMap<NodeName, usize> = BTreeMap::new();
    let mut rank_of = |home: NodeName| {
        let next = ranks.entry(home).or_default();
        let rank = *next;
        *next += 1;
        rank
    };
    view.arcs.iter().map(|entry| ground.target(entry, rank_of(entry.home))).collect()
}

/// A live member that may hold copies and stays.
#[derive(Clone, Copy)]
struct Holder<'a> {
    node: NodeId,
    host: bool,
    /// Eligible only for what it holds already.
    cordoned: bool,
    zone: Option<&'a str>,
}

impl Holder<'_> {
    /// A node in no zone is not known to stand apart from any other.
    fn shares_zone(&self, other: &Self) -> bool {
        self.zone.is_none() || other.zone.is_none() || self.zone == other.zone
    }
}

/// What all arcs of one view have in common, worked out once.
struct Ground<'a> {
    /// Every name that arcs may be given to, in ring order, with its live process. A dead name is among them if it is some
    /// arc's home: a death must not move the others' places in the windows of `spread`.
    seats: Vec<Option<Holder<'a>>>,
    /// Where in `seats` a name is.
    seat_of: BTreeMap<NodeName, usize>,
    spread: usize,
    backups: usize,
    zoned: bool,
}

impl<'a> Ground<'a> {
    fn of(view: &'a View) -> Self {
        let mut holders: BTreeMap<NodeName, Option<Holder<'a>>> = view.arcs.iter().map(|e| (e.home, None)).collect();
        for member in &view.members {
            // One that drains is as good as gone: its arcs go where they would go after its death, but live.
            if member.role.holds_copies() && member.stays() {
                let holder = Holder {
                    node: member.node,
                    host: member.role == Role::Host,
                    cordoned: member.standing == Standing::Cordoned,
                    zone: member.zone.as_deref(),
                };
                holders.insert(member.node.name, Some(holder));
            }
        }
        let mut ground = Self {
            seats: Vec::with_capacity(holders.len()),
            seat_of: BTreeMap::new(),
            spread: usize::from(view.shape.spread).max(1),
            backups: usize::from(view.shape.backups),
            zoned: view.members.iter().any(|m| m.zone.is_some()),
        };
        for name in &view.shape.ring {
            if let Some(holder) = holders.remove(name) {
                ground.sit(*name, holder);
            }
        }
        // Names without a place on the ring come last, as in `View::position`.
        for (name, holder) in holders {
            ground.sit(name, holder);
        }
        ground
    }

    fn sit(&mut self, name: NodeName, holder: Option<Holder<'a>>) {
        self.seat_of.insert(name, self.seats.len());
        self.seats.push(holder);
    }

    /// Seats in the order in which they are preferred for the arc of this rank among its home's arcs.
    fn preference(&self, home: NodeName, mut rank: usize) -> impl Iterator<Item = usize> {
        let home = self.seat_of.get(&home).copied().expect("every home was given a seat");
        let mut successors = (home + 1..self.seats.len()).chain(0..home);
        let mut window: Vec<usize> = successors.by_ref().take(self.spread).collect();
        let dealt = iter::from_fn(move || {
            let choices = window.len();
            if choices == 0 {
                return None;
            }
            let seat = window.remove(rank % choices);
            rank /= choices;
            window.extend(successors.next());
            Some(seat)
        });
        iter::once(home).chain(dealt)
    }

    fn target(&self, entry: &ArcEntry, rank: usize) -> Target {
        let eligible = |holder: &Holder<'_>| !holder.cordoned || entry.holds(holder.node);
        let live = || self.preference(entry.home, rank).filter_map(|seat| self.seats[seat]).filter(eligible);
        let primary = live().find(|holder| holder.host);
        let mut others = live().filter(|holder| primary.is_none_or(|p| p.node != holder.node));
        if !self.zoned {
            let backups = others.take(self.backups).map(|holder| holder.node).collect();
            return Target { primary: primary.map(|p| p.node), backups };
        }
        let mut chosen: Vec<Holder<'_>> = primary.into_iter().collect();
        let mut left: Vec<Holder<'_>> = others.by_ref().collect();
        let mut backups = Vec::with_capacity(self.backups);
        while backups.len() < self.backups && !left.is_empty() {
            // The least company in its zone; among equals the first, which is the one preferred.
            let company = |holder: &Holder<'_>| chosen.iter().filter(|c| c.shares_zone(holder)).count();
            let Some((best, _)) = left.iter().enumerate().min_by_key(|(_, holder)| company(holder)) else { break };
            let holder = left.remove(best);
            backups.push(holder.node);
            chosen.push(holder);
        }
        Target { primary: primary.map(|p| p.node), backups }
    }
}

#[cfg(test)]
mod tests;
