//! Going on without a quorum, on an operator's word: the processes named found a *successor* of their cluster, under an id of
//! its own, in which every process that was not named counts as dead.
//!
//! What a successor is made of, and why one cannot be made; who asks whom, and when, is the keeper's (`keeper::recovering`).
//! It asks for the word of every process named, and freezes what it votes on meanwhile, so that the view it starts from is the
//! newest that any of them knows. Whether the others are truly gone only the operator knows: were they not, two clusters go on
//! (guarantee G2 rests on the word). What keeps the two apart is the id, and the number of the first view.
//!
//! Invariant: an arc is served from a copy that was in sync in that newest view, or is `Lost`; no older copy comes back.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{ArcEntry, Ballot, Member, Role, View, placement, view::PREDECESSORS_MAX};
use crate::id::{ClusterId, NodeId, NodeName, ViewNumber};

/// The first view of a successor is this far beyond the newest of its predecessor. The data path compares view numbers and
/// not cluster ids, so no view that the others may yet decide must come near: a lease or frame of theirs is then of a view too
/// old, and one of the successor's of a view they never install.
const BEYOND: u64 = 1 << 32;

/// What is said about a recovery between keepers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecoveryMessage {
    /// An operator wants `of` to go on as `successor`, with you in it. Do you?
    Pledge {
        /// The cluster that is to come.
        successor: ClusterId,
        /// The one that stands still.
        of: ClusterId,
    },
    /// Yes: until this comes to something, or a while has passed, I decide nothing with anybody else.
    Pledged {
        /// Which recovery.
        successor: ClusterId,
        /// Who I am.
        member: Box<Member>,
        /// The newest decided view I know.
        view: Arc<View>,
        /// What I accepted as the view after it: it may have been decided by those who are gone.
        accepted: Option<(Ballot, Arc<View>)>,
    },
    /// It came to nothing: your word is given back.
    Released {
        /// Which recovery.
        successor: ClusterId,
    },
    /// No.
    Declined {
        /// Which recovery.
        successor: ClusterId,
        /// Why not.
        why: Declined,
    },
}

/// Why a process takes no part in a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Declined {
    /// It hears enough voters to decide the next view.
    HasQuorum,
    /// It is in another cluster.
    OtherCluster,
    /// It has given its word for another recovery a moment ago.
    Pledged,
}

/// Why a recovery was not begun, or came to nothing. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryFault {
    /// A named node declined.
    Declined(NodeName, Declined),
    /// The node that was asked is not among those named.
    NotNamed(NodeName),
    /// These named nodes cannot be reached, or did not answer in time.
    NotReached(Vec<NodeName>),
    /// These nodes are not named and are heard all the same: they have not ended.
    LeavesOut(Vec<NodeName>),
    /// None of those named may serve sessions.
    NoHost,
    /// Another recovery is under way.
    UnderWay,
    /// A process of this name is heard: nobody's word makes it dead.
    Heard(NodeName),
    /// The view tells of no process of this name.
    NoSuchNode(NodeName),
    /// Too few voters are heard to decide anything.
    NoQuorum,
    /// It was asked for, and no view has said so in time. It may still come.
    NotDecided,
    /// The node is not in a ring yet.
    Starting,
    /// The node was stopped meanwhile.
    Stopped,
}

impl fmt::Display for RecoveryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[NodeName]| names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Declined(name, Declined::HasQuorum) => {
                write!(f, "{name} hears a quorum: the ring decides by itself, and there is nothing to recover")
            }
            Self::Declined(name, Declined::OtherCluster) => {
                write!(f, "{name} is in another cluster by now: name only nodes of this one, and start {name} anew")
            }
            Self::Declined(name, Declined::Pledged) => {
                write!(f, "{name} takes part in another recovery: wait five seconds and look again")
            }
            Self::NotNamed(name) => write!(f, "{name} was asked and is not named: name it, or ask a node that is"),
            Self::NotReached(names) => {
                write!(f, "no answer from {}: name only nodes that run and are linked, or mend the links", list(names))
            }
            Self::LeavesOut(names) => {
                write!(f, "{} is heard and not named: name it too, or stop its process first", list(names))
            }
            Self::NoHost => f.write_str("none of the nodes named may serve sessions: name a host"),
            Self::UnderWay => f.write_str("a recovery is under way on this node: wait five seconds and look again"),
            Self::Heard(name) => write!(f, "{name} is heard, so it has not ended: stop its process first"),
            Self::NoSuchNode(name) => write!(f, "the view tells of no node {name}: look at the name"),
            Self::NoQuorum => f.write_str(
                "too few voters are heard to decide anything: bring them back, or go on without them (recover --with)",
            ),
            Self::NotDecided => f.write_str("no view has said so within ten seconds, and one still may: look again"),
            Self::Starting => f.write_str("this node is not in a ring yet: ask one that is"),
            Self::Stopped => f.write_str("the node was stopped"),
        }
    }
}

impl std::error::Error for RecoveryFault {}

/// The processes of a name, as far as the view tells of them, of which an operator may say that they have ended.
///
/// # Errors
/// The view tells of none, or one of them is heard and so has not ended.
pub fn unheard_processes(
    view: &View,
    name: NodeName,
    is_heard: impl Fn(&NodeId) -> bool,
) -> Result<BTreeSet<NodeId>, RecoveryFault> {
    let processes = view.known_as(name);
    if processes.is_empty() {
        return Err(RecoveryFault::NoSuchNode(name));
    }
    if processes.iter().any(is_heard) {
        return Err(RecoveryFault::Heard(name));
    }
    Ok(processes)
}

/// The first view of the successor: exactly `members`, who vote as in a founding, and of each arc whatever in-sync copies
/// they hold in `newest`. `None` if none of them may serve.
#[must_use]
pub fn successor_view(newest: &View, successor: ClusterId, mut members: Vec<Member>) -> Option<View> {
    let number = ViewNumber(newest.number.0 + BEYOND);
    let shape = Arc::clone(&newest.shape);
    let place = |name: NodeName| shape.ring.iter().position(|n| *n == name).unwrap_or(usize::MAX);
    members.sort_by_key(|m| (place(m.node.name), m.node));
    if !members.iter().any(|m| m.role == Role::Host) {
        return None;
    }
    let of = |role| members.iter().filter(move |m| m.role == role).map(Member::voter);
    let seats = usize::from(shape.voters_max);
    let mut voters: Vec<NodeId> = of(Role::Witness).chain(of(Role::Host)).take(seats).collect();
    voters.sort();
    let succeeds = [newest.cluster].iter().chain(&newest.succeeds).copied().take(PREDECESSORS_MAX).collect();
    let mut view = View {
        cluster: successor,
        number,
        shape: Arc::clone(&shape),
        members: members.iter().cloned().map(Arc::new).collect(),
        voters,
        arcs: newest.arcs.clone(),
        succeeds,
    };
    let is_host = |node: &NodeId| members.iter().any(|m| m.node == *node && m.role == Role::Host);
    let live: BTreeSet<NodeId> = members.iter().map(|m| m.node).collect();
    let targets = placement::targets(&view);
    for (entry, target) in view.arcs.iter_mut().zip(targets) {
        let copies =
            || std::iter::once(entry.primary).chain(entry.in_sync.iter().copied()).filter(|n| live.contains(n));
        let serves = Some(entry.primary).filter(|primary| live.contains(primary));
        let first = serves.or_else(|| copies().find(is_host)).or_else(|| copies().next());
        // Who serves goes on; no lease and no copy of those who are gone is counted on any more.
        let (primary, since) = match first {
            Some(primary) if primary == entry.primary => (primary, entry.since),
            Some(heir) => (heir, number),
            None => (target.primary?, number),
        };
        let in_sync = copies().filter(|copy| *copy != primary).collect();
        let (lost_at, loss_cleared) =
            if first.is_none() { (Some(number), false) } else { (entry.lost_at, entry.loss_cleared) };
        let home = entry.home;
        *entry = Arc::new(ArcEntry {
            home,
            primary,
            in_sync,
            catching_up: None,
            since,
            changed: number,
            lost_at,
            loss_cleared,
        });
    }
    Some(view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::test_views::{founded, member, node, without};

    fn successor(view: &View, names: &[&str]) -> View {
        let members = names.iter().map(|n| member(node(n, 1))).collect();
        successor_view(view, ClusterId(9), members).expect("one of them is a host")
    }

    #[test]
    fn every_arc_with_an_in_sync_copy_among_those_named_is_served_and_every_other_is_lost() {
        let before = founded(&["a", "b", "c", "d", "e"], 40, 1);
        let after = successor(&before, &["d", "e"]);
        assert_eq!((after.check(), &after.succeeds, after.cluster), (Ok(()), &vec![before.cluster], ClusterId(9)));
        assert_eq!(after.voters, [node("d", 1), node("e", 1)]);
        let live = [node("d", 1), node("e", 1)];
        for (old, new) in before.arcs.iter().zip(&after.arcs) {
            let had = live.iter().any(|n| old.holds(*n));
            assert_eq!(new.lost_at.is_none(), had, "{old:?} became {new:?}");
            assert!(live.contains(&new.primary) && (!had || old.holds(new.primary)));
            assert!(
                new.in_sync.iter().all(|n| live.contains(n) && old.holds(*n)),
                "no copy is called in sync that was not"
            );
            assert_eq!(new.changed, after.number, "no lease of before covers it");
            assert_eq!(new.since, if new.primary == old.primary { old.since } else { after.number });
        }
        assert!(after.arcs.iter().any(|e| e.lost_at.is_some()) && after.arcs.iter().any(|e| e.lost_at.is_none()));
    }

    #[test]
    fn no_view_that_the_others_may_decide_meanwhile_comes_near_its_number() {
        let before = founded(&["a", "b", "c"], 12, 1);
        let after = successor(&before, &["c"]);
        assert!(after.number.0 > before.number.0 + u64::from(u32::MAX));
        assert!(after.arcs.iter().all(|e| e.changed == after.number));
    }

    #[test]
    fn what_was_lost_before_stays_lost_and_a_process_under_an_old_name_holds_nothing() {
        let before = without(&founded(&["a", "b", "c", "d"], 12, 1), &["a"]);
        let anew = successor_view(&before, ClusterId(9), vec![member(node("b", 7)), member(node("c", 1))]);
        let anew = anew.expect("two hosts");
        for (old, new) in before.arcs.iter().zip(&anew.arcs) {
            assert_eq!(new.lost_at.is_none(), old.holds(node("c", 1)), "only c's copies are left");
        }
        let again = successor(&anew, &["c"]);
        for (old, new) in anew.arcs.iter().zip(&again.arcs) {
            assert!(old.lost_at.is_none() || new.lost_at.is_some());
        }
        let mut edge = member(node("c", 1));
        edge.role = Role::Edge;
        assert_eq!(successor_view(&before, ClusterId(9), vec![edge]), None);
    }
}
