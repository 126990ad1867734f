//! The watcher: asks a living node for its view again and again, and writes down what became different.
//!
//! Every 20 ms while some arc is unprotected, otherwise seldom. It keeps the newest view that any node showed; an older one
//! says nothing. The views are the cluster's own word; what clients get is measured by the clients.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::board::Board;
use crate::{
    ask::{ClusterView, Peer, view_of},
    processes::Door,
};

/// While protection is waited for.
const POLL_CLOSELY: Duration = Duration::from_millis(20);
/// Otherwise.
const POLL: Duration = Duration::from_millis(200);
/// How long one node may take.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

/// What is different between two views, in words, with the node it is about.
pub(crate) fn differences(old: &ClusterView, new: &ClusterView) -> Vec<(String, Option<String>)> {
    let mut told = Vec::new();
    let number = new.number;
    for member in &old.members {
        let name = &member.name;
        match new.incarnation(name) {
            None => told.push((format!("view {number}: {name} is out"), Some(name.clone()))),
            Some(now) if now != member.incarnation => {
                told.push((format!("view {number}: {name} is a new process"), Some(name.clone())));
            }
            Some(_) => {}
        }
    }
    for member in new.members.iter().filter(|member| old.incarnation(&member.name).is_none()) {
        told.push((format!("view {number}: {} is in", member.name), Some(member.name.clone())));
    }
    let mut moved = std::collections::BTreeMap::new();
    for (old, new) in old.arcs.iter().zip(&new.arcs).filter(|(old, new)| old.primary != new.primary) {
        *moved.entry((&old.primary, &new.primary)).or_insert(0) += 1;
    }
    for ((from, to), arcs) in moved {
        told.push((format!("view {number}: {to} serves {arcs} arc(s) of {from}"), Some(to.clone())));
    }
    let lost = |view: &ClusterView| view.arcs.iter().filter(|arc| arc.lost_at.is_some()).count();
    if lost(new) > lost(old) {
        told.push((format!("view {number}: every copy of {} arc(s) is lost", lost(new) - lost(old)), None));
    }
    match (old.unprotected(), new.unprotected()) {
        (before, 0) if before > 0 => told.push((format!("view {number}: every arc has its backup"), None)),
        (0, now) if now > 0 => told.push((format!("view {number}: {now} arc(s) without a backup"), None)),
        _ => {}
    }
    told
}

/// A view arrived: it is kept if it is newer, and measured.
pub(crate) fn saw(board: &Board, view: ClusterView) {
    let now = board.now();
    let mut notes = board.notes();
    if notes.view.as_ref().is_some_and(|known| known.number > view.number) {
        return;
    }
    if let Some(old) = notes.view.clone().filter(|known| known.number < view.number) {
        for (what, node) in differences(&old, &view) {
            notes.happened(now, what, node.as_deref());
        }
    }
    let waited = notes.measure.waits_for_protection();
    let returning = notes.measure.waits_for_return();
    notes.measure.saw(now, &view);
    if returning && !notes.measure.waits_for_return() {
        notes.happened(now, "protected again, with who came back", None);
    }
    if waited && !notes.measure.waits_for_protection() {
        notes.happened(now, "protected again", None);
    }
    notes.view = Some(Arc::new(view));
}

/// Watches until it is aborted.
pub(crate) async fn watch(board: Board, doors: Vec<Door>) {
    let mut peers: Vec<(String, Peer)> = doors.into_iter().map(|door| (door.name, Peer::new(door.http))).collect();
    let mut silent = BTreeSet::new();
    loop {
        let away: BTreeSet<String> = board.notes().away.keys().cloned().collect();
        // The first living one that answered last time; the silent ones get their next chance when nobody is left.
        let choice = peers.iter().position(|(name, _)| !away.contains(name) && !silent.contains(name));
        if let Some(choice) = choice {
            let (name, peer) = &mut peers[choice];
            match view_of(peer, PATIENCE).await {
                Some(view) => saw(&board, view),
                None => {
                    silent.insert(name.clone());
                }
            }
        } else {
            silent.clear();
        }
        let closely = {
            let notes = board.notes();
            notes.measure.waits_for_protection()
                || notes.measure.waits_for_return()
                || notes.view.as_ref().is_none_or(|view| view.unprotected() > 0)
        };
        board.pause(if closely { POLL_CLOSELY } else { POLL }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    #[test]
    fn what_became_different_is_told_with_the_node() {
        let old = view(4, &[("a", "1"), ("b", "2"), ("c", "3")], &[("a", "b"), ("a", "b"), ("b", "c")]);
        let new = view(5, &[("b", "2"), ("c", "9"), ("d", "4")], &[("b", ""), ("b", ""), ("b", "c")]);
        let told: Vec<String> = differences(&old, &new).into_iter().map(|(what, _)| what).collect();
        assert_eq!(
            told,
            [
                "view 5: a is out",
                "view 5: c is a new process",
                "view 5: d is in",
                "view 5: b serves 2 arc(s) of a",
                "view 5: 2 arc(s) without a backup",
            ]
        );
        let healed = view(6, &[("b", "2"), ("c", "9"), ("d", "4")], &[("b", "c"), ("b", "d"), ("b", "c")]);
        assert_eq!(differences(&new, &healed), [("view 6: every arc has its backup".to_owned(), None)]);
    }

    #[test]
    fn an_older_view_says_nothing() {
        let board = Board::new(crate::clock::Clock::start());
        saw(&board, view(2, &[("a", "1")], &[("a", "")]));
        saw(&board, view(1, &[("b", "1")], &[("b", "")]));
        assert_eq!(board.notes().view.as_ref().map(|view| view.number), Some(2));
        assert_eq!(board.notes().events().count(), 0);
    }
}
