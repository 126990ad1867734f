//! One arc on one node: whatever part the installed view gives it, and how parts follow each other.
//!
//! The view alone says which part; this is the only place where a part is taken or given up. Only an in-sync backup is ever
//! promoted, and only a learner that holds everything becomes a backup: anything else is a fault of the view and stops the
//! node, because to go on would be to invent a history.

use super::{Backup, Effect, Learner, Primary, rules::Rule, settings::Around, store::Store};
use crate::{
    id::{CommitNumber, ViewNumber},
    membership::{Part, Target, Turn},
    moment::Moment,
};

/// What a node holds of one arc. Each in an allocation of its own: a host's table of arcs is read with every command and message, and
/// stays small.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Replica {
    /// It serves it.
    Primary(Box<Primary>),
    /// It holds every acknowledged commit.
    Backup(Box<Backup>),
    /// It is receiving everything.
    Learner(Box<Learner>),
}

/// What a change of part needs beside the change itself.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What placement wants of the arc.
    pub goal: &'a Target,
    /// When this node's own grants to the deposed primary have run out.
    pub leases_over: Moment,
    /// Whether views between the last one and this were never seen.
    pub jumped: bool,
    /// Settings, the new view, now.
    pub around: Around<'a>,
}

impl Replica {
    /// Takes a change of the arc's entry; `None` comes back when the node has no part any more.
    ///
    /// # Panics
    /// If the view promotes a node that is not in sync, or calls one in sync that does not hold everything.
    #[must_use]
    pub fn turn(held: Option<Self>, turn: &Turn, change: &Change<'_>, out: &mut Vec<Effect>) -> Option<Self> {
        let entry = &turn.entry;
        let &Change { goal, ref around, .. } = change;
        let held = match held {
            Some(Self::Primary(mut primary)) if turn.after == Part::Primary(primary.since()) => {
                primary.reconfigure(entry, goal.clone(), change.jumped, around, out);
                return Some(Self::Primary(primary));
            }
            // A deposed primary keeps nothing: what it had above the committed number may contradict the next history. One
            // that handed over knows what was committed.
            Some(Self::Primary(primary)) => {
                primary.step_aside(around.settings, around.now, out).map(|backup| Self::Backup(Box::new(backup)))
            }
            other => other,
        };
        // Where every copy was lost the history begins anew, whatever is left of the one before.
        let held = held.filter(|held| entry.lost_at != Some(entry.since) || held.follows(entry.since));
        // A node that jumped views may have been called in sync, and even promoted, in between; it holds what that needs.
        let held = match held {
            Some(Self::Learner(learner)) if turn.after != Part::CatchingUp && turn.after != Part::Away => {
                Some(Self::Backup(learner.into_backup().map_or_else(
                    |partial| {
                        let whole = around.settings.rules.hold(Rule::CatchUpWhole);
                        assert!(!whole, "a learner that lacks something was called in sync: {turn:?}");
                        partial
                    },
                    Box::new,
                )))
            }
            other => other,
        };
        match turn.after {
            Part::Primary(_) => {
                let (store, base, tail) = match held {
                    Some(Self::Backup(backup)) => backup.into_parts(),
                    _ => {
                        let begins_anew = entry.lost_at == Some(entry.since);
                        assert!(begins_anew || may_begin_empty(turn), "only an in-sync backup is promoted: {turn:?}");
                        (Store::default(), CommitNumber::default(), [].into())
                    }
                };
                let deposed = turn.deposed.filter(|d| *d != around.surroundings.me);
                let primary = Primary::promote(
                    turn.arc,
                    entry,
                    goal.clone(),
                    store,
                    base,
                    tail.into(),
                    deposed,
                    change.leases_over,
                    around,
                    out,
                );
                Some(Self::Primary(Box::new(primary)))
            }
            Part::Backup => Some(Self::Backup(match held {
                Some(Self::Backup(backup)) => backup,
                _ => {
                    assert!(may_begin_empty(turn), "a node that holds nothing was called in sync: {turn:?}");
                    Box::default()
                }
            })),
            Part::CatchingUp => Some(Self::Learner(match held {
                Some(Self::Learner(learner)) => learner,
                _ => Box::default(),
            })),
            Part::Away => None,
        }
    }

    /// Whether what it holds is of the history of the primary installed in `since`.
    fn follows(&self, since: ViewNumber) -> bool {
        match self {
            Self::Primary(primary) => primary.since() == since,
            Self::Backup(backup) => backup.follows(since),
            Self::Learner(learner) => learner.follows(since),
        }
    }

    /// The sessions it works on: a primary's as of the newest commit, a backup's up to what is folded. None while they are still being
    /// received.
    #[must_use]
    pub(super) fn store(&self) -> Option<&Store> {
        match self {
            Self::Primary(primary) => Some(primary.store()),
            Self::Backup(backup) => Some(backup.store()),
            Self::Learner(_) => None,
        }
    }

    /// The primary, if that is the part.
    #[must_use]
    pub fn as_primary(&self) -> Option<&Primary> {
        match self {
            Self::Primary(primary) => Some(primary),
            _ => None,
        }
    }

    /// The backup, if that is the part.
    #[must_use]
    pub fn as_backup(&self) -> Option<&Backup> {
        match self {
            Self::Backup(backup) => Some(backup),
            _ => None,
        }
    }
}

/// Whether holding nothing is holding everything: at the founding, or where this is the first view that the process ever
/// installed. In sync without an earlier view it is only since the founding, and what it has not
/// acknowledged nobody was told.
fn may_begin_empty(turn: &Turn) -> bool {
    let entry = &turn.entry;
    entry.since == ViewNumber(1) || turn.deposed.is_none()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        id::ArcId,
        membership::{
            View,
            test_views::{founded, node},
            transition,
        },
        replication::{ReplicationSettings, Surroundings, message::Chunk},
    };

    /// Found by a campaign, once in 50,000 seeds: a founder died before one that it had named heard of view 1.
    #[test]
    fn a_founder_that_hears_of_no_view_before_it_is_promoted_begins_with_nothing() {
        let [a, b] = ["a", "b"].map(|name| node(name, 1));
        let mut second = View::clone(&founded(&["a", "b", "c"], 3, 1));
        second.number = ViewNumber(2);
        second.members.retain(|m| m.node != a);
        let entry = Arc::make_mut(&mut second.arcs[0]);
        assert_eq!((entry.primary, &entry.in_sync[..]), (a, &[b][..]));
        (entry.primary, entry.since, entry.changed) = (b, ViewNumber(2), ViewNumber(2));
        entry.in_sync.clear();
        let settings = ReplicationSettings::default();
        let surroundings = Surroundings::new(b, Arc::new(second.clone()));
        let around = Around { settings: &settings, surroundings: &surroundings, now: Moment::START };
        let goal = Target::default();
        let change = Change { goal: &goal, leases_over: Moment::START, jumped: true, around };
        let turns = transition(None, &second, b);
        let turn = turns.iter().find(|turn| turn.arc == ArcId(0)).expect("it concerns b");
        let replica = Replica::turn(None, turn, &change, &mut Vec::new()).expect("a part");
        assert!(replica.as_primary().is_some_and(|p| p.store().is_empty() && p.since() == ViewNumber(2)));
    }

    /// Found on real processes: the first backup of an arc that had been lost forgot all that it had just received.
    #[test]
    fn what_was_received_since_an_arc_was_lost_is_kept_when_the_receiver_is_called_in_sync() {
        let [a, b] = ["a", "b"].map(|name| node(name, 1));
        let mut view = View::clone(&founded(&["a", "b", "c"], 3, 1));
        view.number = ViewNumber(5);
        let entry = Arc::make_mut(&mut view.arcs[0]);
        (entry.primary, entry.since, entry.changed) = (a, ViewNumber(3), ViewNumber(5));
        (entry.lost_at, entry.in_sync) = (Some(ViewNumber(3)), vec![b]);
        let entry = Arc::clone(&view.arcs[0]);
        let settings = ReplicationSettings::default();
        let surroundings = Surroundings::new(b, Arc::new(view));
        let around = Around { settings: &settings, surroundings: &surroundings, now: Moment::START };
        let goal = Target::default();
        let change = Change { goal: &goal, leases_over: Moment::START, jumped: false, around };
        let end = Some(CommitNumber(7));
        for (since, kept) in [(3, CommitNumber(7)), (2, CommitNumber(0))] {
            let mut learner = Learner::default();
            let chunk = Chunk { pass: 1, first: true, records: vec![], cursor: None, end };
            learner.handle_chunk(ViewNumber(since), chunk, settings.rules, Moment::START);
            let (before, after) = (Part::CatchingUp, if since == 3 { Part::Backup } else { Part::CatchingUp });
            let turn = Turn { arc: ArcId(0), entry: Arc::clone(&entry), before, after, deposed: None };
            let replica = Replica::turn(Some(Replica::Learner(Box::new(learner))), &turn, &change, &mut Vec::new());
            let last = match replica.expect("a part") {
                Replica::Backup(backup) => backup.last(),
                Replica::Learner(learner) => learner.whole().map_or(CommitNumber(0), Backup::last),
                Replica::Primary(_) => panic!("b serves nothing"),
            };
            assert_eq!(last, kept, "of the history that began in view {since}");
        }
    }
}
