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
//! A pin (`pin`) may keep an arc with the live host that serves it. The target is then that host and, as its backups, the
//! first others of the same order: the home that came back is the first of them, and the next primary. So with a pin, too, a
//! promotion already is the target.
//!
//! Zones choose backups, never the primary: a dead node's zone is not known to the view, so a choice by it could not be
//! kept. Lay the ring so that neighbours stand in different zones; otherwise a failover is followed by one more hand-over.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
};

use super::{
    pin::{Pin, surplus},
    view::{ArcEntry, Member, Role, Standing, View},
};
use crate::id::{ArcId, NodeId, NodeName};

/// Where one arc should be, given who lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// The first live host of the arc's preference order, or who serves it, if a pin keeps it there; `None` when no host lives.
    pub primary: Option<NodeId>,
    /// Who should hold copies, in the order of preference; fewer than the shape wants when fewer can hold one.
    pub backups: Vec<NodeId>,
}

/// The target of one arc. An arc the cluster does not have belongs nowhere. For many arcs, [`targets`] is far cheaper.
#[must_use]
pub fn target(view: &View, arc: ArcId) -> Target {
    let Some(entry) = view.arc(arc) else { return Target::default() };
    let before = &view.arcs[..usize::from(arc.0)];
    let rank = before.iter().filter(|e| e.home == entry.home).count();
    Ground::of(view).target(arc, entry, rank)
}

/// The target of every arc, by `ArcId`.
#[must_use]
pub fn targets(view: &View) -> Vec<Target> {
    let ground = Ground::of(view);
    view.entries().zip(ranks(view)).map(|((arc, entry), rank)| ground.target(arc, entry, rank)).collect()
}

/// For every arc, how many of its home's arcs come before it.
fn ranks(view: &View) -> impl Iterator<Item = usize> {
    let mut ranks: BTreeMap<NodeName, usize> = BTreeMap::new();
    view.arcs.iter().map(move |entry| {
        let next = ranks.entry(entry.home).or_default();
        let rank = *next;
        *next += 1;
        rank
    })
}

/// A live member that may hold copies and stays.
#[derive(Clone, Copy)]
struct Holder<'a> {
    node: NodeId,
    host: bool,
    /// Eligible only for what it holds already.
    cordoned: bool,
    /// What is at home with it comes to it, whoever serves it.
    claims: bool,
    zone: Option<&'a str>,
}

impl<'a> Holder<'a> {
    fn of(member: &'a Member) -> Self {
        Self {
            node: member.node,
            host: member.role == Role::Host,
            cordoned: member.standing == Standing::Cordoned,
            claims: member.may_claim(),
            zone: member.zone.as_deref(),
        }
    }

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
    /// With whom arcs stay because of a pin; it may be one that drains.
    keepers: BTreeMap<NodeId, Holder<'a>>,
    /// What they give up all the same, for they serve too much.
    given_up: BTreeSet<ArcId>,
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
                holders.insert(member.node.name, Some(Holder::of(member)));
            }
        }
        let mut ground = Self {
            seats: Vec::with_capacity(holders.len()),
            seat_of: BTreeMap::new(),
            keepers: BTreeMap::new(),
            given_up: BTreeSet::new(),
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
        let kept = view.members.iter().filter(|member| view.shape.pin.holds(member));
        ground.keepers = kept.map(|member| (member.node, Holder::of(member))).collect();
        if view.shape.pin == Pin::OnOverload {
            let out = |(entry, rank): (&Arc<ArcEntry>, usize)| {
                let is_out = ground.place(entry, rank).is_some_and(|place| place.node != entry.primary);
                is_out.then(|| ground.is_claimed(entry))
            };
            let claimed: Vec<_> = view.arcs.iter().zip(ranks(view)).map(out).collect();
            ground.given_up = surplus(view, &claimed);
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

    /// Those that may hold the arc, the preferred first.
    fn holders(&self, entry: &ArcEntry, rank: usize) -> impl Iterator<Item = Holder<'a>> {
        let eligible = |holder: &Holder<'_>| !holder.cordoned || entry.holds(holder.node);
        self.preference(entry.home, rank).filter_map(|seat| self.seats[seat]).filter(eligible)
    }

    /// Who would serve the arc if nothing were pinned.
    fn place(&self, entry: &ArcEntry, rank: usize) -> Option<Holder<'a>> {
        self.holders(entry, rank).find(|holder| holder.host)
    }

    /// Whether the arc's home lives and wants it back.
    fn is_claimed(&self, entry: &ArcEntry) -> bool {
        self.seat_of.get(&entry.home).and_then(|seat| self.seats[*seat]).is_some_and(|home| home.claims)
    }

    /// Who serves the arc and keeps it.
    fn keeper(&self, arc: ArcId, entry: &ArcEntry) -> Option<Holder<'a>> {
        let keeper = self.keepers.get(&entry.primary)?;
        (!self.given_up.contains(&arc) && !self.is_claimed(entry)).then_some(*keeper)
    }

    fn target(&self, arc: ArcId, entry: &ArcEntry, rank: usize) -> Target {
        let primary = self.keeper(arc, entry).or_else(|| self.place(entry, rank));
        let mut others = self.holders(entry, rank).filter(|holder| primary.is_none_or(|p| p.node != holder.node));
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
