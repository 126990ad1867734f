//! Recoveries: at most one comes of several, and it begins from the newest view that anybody in it can tell of.

use super::*;
use crate::{
    id::NodeName,
    membership::{Ballot, RecoveryMessage},
};

const SUCCESSORS: [ClusterId; 2] = [ClusterId(71), ClusterId(72)];

fn names(of: &[&str]) -> BTreeSet<NodeName> {
    of.iter().map(|n| name(n)).collect()
}

/// Five of which a, b and c have died.
fn without_a_majority() -> Cluster {
    let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
    ["a", "b", "c"].iter().for_each(|gone| cluster.kill(node(gone, 1)));
    cluster.run(1_500);
    assert_eq!(cluster.common().number, ViewNumber(1));
    cluster
}

impl Cluster {
    fn recover(&mut self, asked: &str, named: &[&str], successor: ClusterId) {
        let (now, asked) = (self.now, node(asked, 1));
        let connected: Vec<NodeId> = self.keepers.keys().copied().collect();
        let mut effects = Vec::new();
        self.keepers.get_mut(&asked).expect("it runs").recover(&names(named), successor, connected, now, &mut effects);
        self.follow(asked, effects);
    }
}

#[test]
fn of_two_recoveries_begun_at_once_at_most_one_comes_to_something() {
    let mut ended = BTreeSet::new();
    for seed in 1..60 {
        let mut cluster = without_a_majority();
        (cluster.seed, cluster.delay) = (seed, (0, 40));
        cluster.recover("d", &["d", "e"], SUCCESSORS[0]);
        cluster.run(5 * (seed % 12));
        cluster.recover("e", &["d", "e"], SUCCESSORS[1]);
        cluster.run(20_000);
        let successors: BTreeSet<ClusterId> = cluster.installed.iter().map(|(.., view)| view.cluster).collect();
        assert!(successors.len() <= 1, "seed {seed}: {successors:?}");
        assert_eq!(cluster.recoveries.len(), 2, "each was told how it ended");
        assert_eq!(cluster.recoveries.iter().filter(|ended| ended.is_ok()).count(), successors.len());
        ended.insert(successors.len());
        // And where both fell through, the next is not in their way.
        if successors.is_empty() {
            cluster.recover("e", &["d", "e"], SUCCESSORS[1]);
            cluster.run(2_000);
        }
        assert!(SUCCESSORS.contains(&cluster.common().cluster), "seed {seed}");
    }
    assert_eq!(ended.last(), Some(&1));
}

#[test]
fn a_recovery_that_is_not_answered_changes_nothing_and_can_be_asked_for_again() {
    let mut cluster = without_a_majority();
    cluster.lost = 100;
    cluster.recover("d", &["d", "e"], SUCCESSORS[0]);
    cluster.run(5_000);
    assert_eq!(cluster.recoveries, [Err(RecoveryFault::NotReached(vec![name("e")]))]);
    assert_eq!((cluster.common().cluster, cluster.common().number), (ClusterId(7), ViewNumber(1)));
    cluster.lost = 0;
    cluster.recover("d", &["d", "e"], SUCCESSORS[1]);
    cluster.run(3_000);
    assert_eq!((cluster.common().cluster, cluster.common().members.len()), (SUCCESSORS[1], 2));
}

#[test]
fn one_that_was_left_out_and_lives_is_told_so_and_follows_nobody() {
    let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
    ["a", "b"].iter().for_each(|gone| cluster.kill(node(gone, 1)));
    // e hears nobody, and so c and d are two of five.
    let away = cluster.keepers.remove(&node("e", 1)).expect("it ran");
    cluster.run(1_500);
    cluster.recover("c", &["c", "d"], SUCCESSORS[0]);
    cluster.run(1_000);
    assert_eq!(cluster.common().cluster, SUCCESSORS[0]);
    cluster.keepers.insert(node("e", 1), away);
    cluster.run(3_000);
    assert_eq!(cluster.left_behind, [(node("e", 1), SUCCESSORS[0])], "said once");
    assert_eq!(cluster.keepers[&node("e", 1)].view().cluster, ClusterId(7));
}

#[test]
fn what_somebody_accepted_and_the_others_may_have_decided_is_where_it_begins() {
    let mut cluster = without_a_majority();
    let (d, e) = (node("d", 1), node("e", 1));
    let base = cluster.common();
    let mut later = View::clone(&base);
    later.number = ViewNumber(2);
    let kept = |(_, entry): &(ArcId, &Arc<ArcEntry>)| entry.primary == node("c", 1) && entry.in_sync == [d];
    let (arc, _) = base.entries().find(kept).expect("d is next to c");
    let entry = Arc::make_mut(&mut later.arcs[usize::from(arc.0)]);
    (entry.in_sync, entry.changed) = (vec![node("a", 1)], ViewNumber(2));
    cluster.recover("d", &["d", "e"], SUCCESSORS[0]);
    cluster.wire.clear();
    let ballot = Ballot { round: 1, voter: node("c", 1) };
    let pledged = RecoveryMessage::Pledged {
        successor: SUCCESSORS[0],
        member: Box::new(member(e)),
        view: base,
        accepted: Some((ballot, Arc::new(later))),
    };
    let (now, mut effects) = (cluster.now, Vec::new());
    let asked = cluster.keepers.get_mut(&d).expect("it runs");
    asked.handle(e, KeeperMessage::Recovery(pledged), now, Duration::ZERO, &mut effects);
    let begun = asked.view();
    let entry = begun.arc(arc).expect("the same arcs");
    assert_eq!(entry.lost_at, Some(begun.number), "d was dropped, perhaps: what it has may be old");
}
