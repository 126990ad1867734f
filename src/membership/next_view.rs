//! The value of the next view: a pure function of the newest view and of what is known when a quorum has promised.
//!
//! It removes whom nobody hears, lets newcomers in, promotes in-sync backups of removed primaries, applies the primaries'
//! wishes that were made against this very view, and names who shall catch up next where placement wants another copy. It
//! does not decide *when* a view is wanted (`keeper`), and it never adds an in-sync backup by itself: only an arc's primary
//! knows who holds everything (design section 3; the hole is A1 of the interleavings: Kafka's "maximal ISR").
//!
//! Invariant: an arc's last in-sync copies are dropped only when every one of those processes is proved dead.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Agreement, ArcEntry, Member, Role, Shape, Target, View, Wish, WishedChange, homes, placement};
use crate::id::{ArcId, ClusterId, NodeId, NodeName, ViewNumber};

/// What is known when a value is to be chosen.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// Members that no promising voter hears.
    pub unreachable: BTreeSet<NodeId>,
    /// Nodes proved dead.
    pub dead: BTreeSet<NodeId>,
    /// Members that drained and ask to leave.
    pub leaving: BTreeSet<NodeId>,
    /// Nodes that ask to come in, or whose description changed.
    pub joins: BTreeMap<NodeId, Member>,
    /// Primaries' wishes.
    pub wishes: Vec<Wish>,
    /// Losses that an operator clears: of which arc, and in which view it was lost.
    pub cleared: BTreeMap<ArcId, ViewNumber>,
    /// Members that have installed the newest view, and so may become voters.
    pub up_to_date: BTreeSet<NodeId>,
}

impl Knowledge {
    /// Whether a member may go: it asked to, and there is nothing that it holds or is to hold.
    fn may_leave(&self, base: &View, member: &Member) -> bool {
        self.leaving.contains(&member.node) && !member.stays() && !base.needs(member.node)
    }
}

/// View 1: exactly `members`, arcs dealt in ring order. Of those named in `voters`, witnesses vote first, then hosts in ring
/// order, at most `voters_max`: the operator's word may name more than may vote.
///
/// # Panics
/// If no member is a host: the configuration check refuses such a file.
#[must_use]
pub fn founding_view(cluster: ClusterId, mut shape: Shape, mut members: Vec<Member>, voters: &[NodeName]) -> View {
    let number = ViewNumber(1);
    for member in &members {
        shape.weigh(member.node.name, member.weight);
    }
    let place = |name: NodeName| shape.ring.iter().position(|n| *n == name).unwrap_or(usize::MAX);
    members.sort_by_key(|m| (place(m.node.name), m.node));
    let hosts: Vec<NodeName> = members.iter().filter(|m| m.role == Role::Host).map(|m| m.node.name).collect();
    assert!(!hosts.is_empty(), "a cluster is founded with at least one host");
    let homes = homes::deal_homes(&shape, &hosts);
    let of = |role| members.iter().filter(move |m| m.role == role && voters.contains(&m.node.name)).map(Member::voter);
    let seats = usize::from(shape.voters_max);
    let mut voting: Vec<NodeId> = of(Role::Witness).chain(of(Role::Host)).take(seats).collect();
    voting.sort();
    let first_host = members.iter().find(|m| m.role == Role::Host).expect("asserted above").node;
    let blank = |home: NodeName| {
        let primary = members.iter().find(|m| m.node.name == home).map_or(first_host, |m| m.node);
        ArcEntry {
            home,
            primary,
            in_sync: vec![],
            catching_up: None,
            since: number,
            changed: number,
            lost_at: None,
            loss_cleared: false,
        }
    };
    let arcs = homes.into_iter().map(|home| Arc::new(blank(home))).collect();
    let mut view = View {
        cluster,
        number,
        shape: Arc::new(shape),
        members: members.into_iter().map(Arc::new).collect(),
        voters: voting,
        arcs,
        succeeds: vec![],
    };
    // Nothing has been acknowledged yet, so every backup holds all there is: the first view is born protected.
    for (entry, target) in placement::targets(&view).into_iter().enumerate() {
        let wanted = Arc::make_mut(&mut view.arcs[entry]);
        if let Some(primary) = target.primary {
            wanted.primary = primary;
        }
        wanted.in_sync = target.backups;
    }
    view
}

/// The view after `base`, or `None` if nothing would differ. `proposer` is never removed.
#[must_use]
pub fn next_view(base: &View, proposer: NodeId, known: &Knowledge) -> Option<View> {
    let number = base.number.next();
    let mut view = base.clone();
    view.number = number;
    let goes = |m: &Member| known.unreachable.contains(&m.node) || known.may_leave(base, m);
    view.members.retain(|m| m.node == proposer || !goes(m));
    let came = admit(&mut view, known);
    choose_voters(&mut view, base, known);
    let wishes: BTreeMap<ArcId, &Wish> =
        known.wishes.iter().filter(|w| w.base == base.number).map(|w| (w.arc, w)).collect();
    let live: BTreeSet<NodeId> = view.members.iter().map(|m| m.node).collect();
    let staying: BTreeSet<NodeId> = view.members.iter().filter(|m| m.stays()).map(|m| m.node).collect();
    let targets = placement::targets(&view);
    for (arc, target) in (0u16..).map(ArcId).zip(&targets) {
        let old = &base.arcs[usize::from(arc.0)];
        let mut entry = ArcEntry { home: view.arcs[usize::from(arc.0)].home, ..ArcEntry::clone(old) };
        let granted = wishes.get(&arc).copied().filter(|wish| grant(&mut entry, wish, &live, number));
        // Of a loss that was cleared another may follow: the word is only for the one that was meant.
        if entry.lost_at.is_some() && known.cleared.get(&arc).copied() == entry.lost_at {
            entry.loss_cleared = true;
        }
        settle_copies(&mut entry, target, &view, &live, &known.dead);
        if live.contains(&entry.primary) {
            entry.catching_up = whom_to_catch_up(&entry, target, &staying, granted);
        } else {
            entry.catching_up = None;
        }
        if entry != **old {
            entry.changed = number;
            view.arcs[usize::from(arc.0)] = Arc::new(entry);
        } else {
            view.arcs[usize::from(arc.0)] = Arc::clone(old);
        }
    }
    let same = !came && view.members == base.members && view.voters == base.voters && view.arcs == base.arcs;
    (!same).then_some(view)
}

/// Lets newcomers in, in ring order; a name that never had a place, or has another weight now, takes its share of the arcs as
/// home.
fn admit(view: &mut View, known: &Knowledge) -> bool {
    let mut came = false;
    for (node, member) in &known.joins {
        if let Some(place) = view.members.iter().position(|m| m.node == *node) {
            if *view.members[place] != *member {
                view.members[place] = Arc::new(member.clone());
                give_share(view, member);
                came = true;
            }
            continue;
        }
        if view.named(node.name).is_some() || known.unreachable.contains(node) || known.dead.contains(node) {
            continue;
        }
        came = true;
        if !view.shape.ring.contains(&node.name) {
            Arc::make_mut(&mut view.shape).ring.push(node.name);
        }
        view.members.push(Arc::new(member.clone()));
        give_share(view, member);
    }
    let ring = Arc::clone(&view.shape);
    let place = |name: NodeName| ring.ring.iter().position(|n| *n == name).unwrap_or(usize::MAX);
    view.members.sort_by_key(|m| (place(m.node.name), m.node));
    came
}

/// Makes a host's share of the homes what its weight asks for, if it is not.
fn give_share(view: &mut View, member: &Member) {
    let name = member.node.name;
    let has_home = view.arcs.iter().any(|e| e.home == name);
    let was_dealt = view.shape.ring.len() > 1 && has_home && view.shape.weight_of(name) == member.weight;
    if member.role != Role::Host || was_dealt {
        return;
    }
    if view.shape.weight_of(name) != member.weight {
        Arc::make_mut(&mut view.shape).weigh(name, member.weight);
    }
    let homes: Vec<NodeName> = view.arcs.iter().map(|e| e.home).collect();
    for (entry, home) in view.arcs.iter_mut().zip(homes::rehome(&view.shape, &homes, name)) {
        if entry.home != home {
            Arc::make_mut(entry).home = home;
        }
    }
}

/// Removes voters that left, adds at most one member that was in the view before and has installed it, and keeps one
/// absent vote where that costs nothing (decision 0010).
fn choose_voters(view: &mut View, base: &View, known: &Knowledge) {
    view.voters.retain(|v| view.members.iter().any(|m| m.voter() == *v));
    if view.voters.len() >= usize::from(view.shape.voters_max) {
        return;
    }
    let may_vote = |m: &&Arc<Member>| {
        m.role.may_vote()
            && m.stays()
            && !view.is_voter(m.voter())
            && base.is_member(m.node)
            && known.up_to_date.contains(&m.node)
    };
    let witness = view.members.iter().filter(may_vote).find(|m| m.role == Role::Witness);
    let newcomer = witness.or_else(|| view.members.iter().find(may_vote)).map(|m| m.voter());
    view.voters.extend(newcomer);
    view.voters.extend(absent_vote(view, base, known));
    view.voters.sort();
}

/// The voter to keep although it is no member any more: one that may come back, where without it the voters would be even.
/// Of three and of two voters it takes two to decide, so the third vote asks nothing of those that are left, and a process
/// that was only silent for a while makes up for the next loss as soon as it is heard. Whoever was heard later goes first.
fn absent_vote(view: &View, base: &View, known: &Knowledge) -> Option<NodeId> {
    let helps = view.shape.agreement == Agreement::Majority
        && view.voters.len() >= 2
        && view.voters.len().is_multiple_of(2)
        && view.voters.len() < usize::from(view.shape.voters_max);
    if !helps {
        return None;
    }
    let gone = |v: &NodeId| {
        let process = base.carrier(*v);
        (known.dead.contains(&process) && !base.outlives_its_process(*v)) || known.leaving.contains(&process)
    };
    let absent = |v: &&NodeId| !view.members.iter().any(|m| m.voter() == **v) && !gone(v);
    let candidates = || base.voters.iter().filter(absent);
    candidates().find(|v| base.is_member(base.carrier(**v))).or_else(|| candidates().next()).copied()
}

/// Applies a primary's wish if it was made against this very entry; says whether it did.
fn grant(entry: &mut ArcEntry, wish: &Wish, live: &BTreeSet<NodeId>, number: ViewNumber) -> bool {
    let stands = wish.from == entry.primary
        && live.contains(&wish.from)
        && wish.since == entry.since
        && wish.expected == entry.in_sync
        && wish.change.fits(entry);
    if !stands {
        return false;
    }
    match wish.change {
        WishedChange::Add(node) if live.contains(&node) => entry.in_sync.push(node),
        WishedChange::Drop { node, .. } => entry.in_sync.retain(|b| *b != node),
        WishedChange::Move(node) if live.contains(&node) => {
            // The old primary quiesced before it wished so: it holds all there is, and stays until a wish drops it.
            entry.in_sync.retain(|b| *b != node);
            entry.in_sync.push(wish.from);
            entry.primary = node;
            entry.since = number;
        }
        WishedChange::Add(_) | WishedChange::Move(_) => return false,
    }
    true
}

/// Drops removed backups, promotes for a removed primary, and records an arc whose every copy is proved gone.
fn settle_copies(entry: &mut ArcEntry, target: &Target, view: &View, live: &BTreeSet<NodeId>, dead: &BTreeSet<NodeId>) {
    if live.contains(&entry.primary) {
        entry.in_sync.retain(|b| live.contains(b));
        return;
    }
    let is_host = |n: &NodeId| view.member(*n).is_some_and(|m| m.role == Role::Host);
    let ranked = || {
        let preferred = target.primary.iter().chain(&target.backups).chain(&entry.in_sync).copied();
        preferred.filter(|b| entry.in_sync.contains(b) && live.contains(b))
    };
    if let Some(promoted) = ranked().find(is_host).or_else(|| ranked().next()) {
        entry.primary = promoted;
        entry.in_sync.retain(|b| *b != promoted && live.contains(b));
        entry.since = view.number;
    } else if dead.contains(&entry.primary)
        && entry.in_sync.iter().all(|b| dead.contains(b))
        && let Some(heir) = target.primary
    {
        entry.primary = heir;
        entry.in_sync.clear();
        entry.since = view.number;
        entry.lost_at = Some(view.number);
        entry.loss_cleared = false;
    }
    // Otherwise the copies are on processes that may live: the entry stays as it is, and the arc is Recovering.
}

/// Who shall catch up: one that placement wants and that does not hold the arc; whoever is at it goes on if still wanted.
fn whom_to_catch_up(
    entry: &ArcEntry,
    target: &Target,
    staying: &BTreeSet<NodeId>,
    wish: Option<&Wish>,
) -> Option<NodeId> {
    if let Some(Wish { change: WishedChange::Drop { instead: Some(other), .. }, .. }) = wish
        && staying.contains(other)
        && !entry.holds(*other)
    {
        return Some(*other);
    }
    let wanted = || target.primary.iter().chain(&target.backups).copied().filter(|n| !entry.holds(*n));
    // An alternative that a primary chose goes on too, as long as the arc has fewer copies than wanted.
    let still = entry.catching_up.filter(|c| {
        staying.contains(c)
            && !entry.holds(*c)
            && (wanted().any(|n| n == *c) || entry.in_sync.len() < target.backups.len())
    });
    still.or_else(|| wanted().next())
}

#[cfg(test)]
mod tests;
