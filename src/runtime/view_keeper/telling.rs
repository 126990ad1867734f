//! What a node's log says of the ring: who came into it, and who left it, on purpose or not; whether there is a quorum; whether every
//! arc has its backups. It tells people; nothing depends on it.

use crate::{
    id::{NodeId, NodeName, ViewNumber},
    membership::{Standing, View},
};

/// How a node came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Came,
    /// It had handed over all it had.
    Left,
    Lost,
}

/// Whom a view has and the one before it had not, and the other way round, in ring order.
fn moved(before: &View, view: &View) -> Vec<(NodeId, Moved)> {
    let gone = before.members.iter().filter(|member| !view.is_member(member.node)).map(|member| {
        let has_left = member.standing == Standing::Draining && view.has_let_go(member.node);
        (member.node, if has_left { Moved::Left } else { Moved::Lost })
    });
    let came = view.members.iter().filter(|member| !before.is_member(member.node)).map(|m| (m.node, Moved::Came));
    gone.chain(came).collect()
}

/// How many arcs have lost every copy since.
fn lost_since(before: &View, view: &View) -> usize {
    view.arcs.iter().filter(|entry| entry.open_loss().is_some_and(|lost| lost > before.number)).count()
}

/// Says it.
pub(super) fn say_who_moved(before: &View, view: &View) {
    let ViewNumber(number) = view.number;
    for (node, moved) in moved(before, view) {
        match moved {
            Moved::Came => tracing::info!(view = number, "{node} came into the ring"),
            Moved::Left => tracing::info!(view = number, "{node} left the ring, and had handed over all it had"),
            Moved::Lost => tracing::warn!(view = number, "{node} was lost, and is out of the ring"),
        }
    }
    let lost = lost_since(before, view);
    if lost > 0 {
        tracing::error!(
            view = number,
            arcs = lost,
            "every copy of some arcs was lost, and their sessions with them: `ringheir recover` says what can be brought back"
        );
    }
}

/// Says that too few voters are heard, or enough again.
pub(super) fn say_quorum(awaited: &[NodeName]) {
    if awaited.is_empty() {
        tracing::info!("a majority of the voters is heard again");
        return;
    }
    let awaited = awaited.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    tracing::warn!(
        %awaited,
        "no quorum: too few voters are heard, so no loss is made good until enough of these processes are heard again"
    );
}

/// How well the sessions are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// Every arc has its backups, and every node of the ring is heard.
    Full,
    /// Some have not, or somebody is not heard: the ring sees to it.
    Passing,
    /// There are not nodes enough for as many backups as there should be.
    TooFewNodes,
}

impl Protection {
    /// As this node sees it.
    pub(super) fn of(fully_protected: bool, view: &View) -> Self {
        let holders = view.members.iter().filter(|member| member.role.holds_copies()).count();
        if holders <= usize::from(view.shape.backups) {
            Self::TooFewNodes
        } else if fully_protected {
            Self::Full
        } else {
            Self::Passing
        }
    }

    /// Says that it is so now.
    pub(super) fn say(self, view: &View) {
        let (ViewNumber(number), nodes) = (view.number, view.members.len());
        match self {
            Self::Full => {
                tracing::info!(view = number, nodes, "every arc has its backups, and every node of the ring is heard");
            }
            Self::Passing => {
                tracing::info!(view = number, nodes, "arcs wait for their backups, or a node of the ring is not heard");
            }
            Self::TooFewNodes => tracing::warn!(
                view = number,
                nodes,
                "too few nodes are left for as many backups as `backups` says: start more, for the loss of the next may lose sessions"
            ),
        }
    }
}

/// Says that the ring goes on as another cluster.
pub(super) fn say_recovered(view: &View) {
    let lost = view.arcs.iter().filter(|e| e.lost_at == Some(view.number)).count();
    let members = view.members.iter().map(|m| m.node.name.as_str()).collect::<Vec<_>>().join(", ");
    tracing::warn!(cluster = %view.cluster, members, lost, "recovered on an operator's word: the ring goes on as another cluster");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::membership::test_views::{founded, member, node, settled, without};

    #[test]
    fn too_few_nodes_are_told_from_what_passes() {
        let ring = founded(&["a", "b", "c"], 12, 1);
        let left = without(&ring, &["b"]);
        let last = without(&ring, &["b", "c"]);
        let of = |view| [true, false].map(|full| Protection::of(full, view));
        assert_eq!(of(&left), [Protection::Full, Protection::Passing]);
        assert_eq!(of(&last), [Protection::TooFewNodes; 2]);
        assert_eq!(of(&founded(&["a"], 12, 0)), [Protection::Full, Protection::Passing]);
    }

    #[test]
    fn who_left_on_purpose_is_told_from_who_was_lost_and_a_new_process_from_the_one_before_it() {
        let ring = founded(&["a", "b", "c"], 12, 1);
        assert_eq!(moved(&ring, &ring), []);
        assert_eq!(moved(&ring, &settled(&without(&ring, &["b"]))), [(node("b", 1), Moved::Lost)]);
        let mut draining = ring.clone();
        Arc::make_mut(&mut draining.members[1]).standing = Standing::Draining;
        assert_eq!(moved(&draining, &settled(&without(&draining, &["b"]))), [(node("b", 1), Moved::Left)]);
        // It was killed before it had handed over everything: arcs still name it.
        assert_eq!(moved(&draining, &without(&draining, &["b"])), [(node("b", 1), Moved::Lost)]);
        let mut again = without(&ring, &["b"]);
        again.members.insert(1, Arc::new(member(node("b", 2))));
        assert_eq!(lost_since(&ring, &again), 0);
        Arc::make_mut(&mut again.arcs[3]).lost_at = Some(ViewNumber(2));
        assert_eq!(lost_since(&ring, &again), 1);
        assert_eq!(moved(&ring, &again), [(node("b", 1), Moved::Lost), (node("b", 2), Moved::Came)]);
    }
}
