//! More copies than one, and nodes that are no plain hosts: whole nodes, several of them lost at once.

use super::*;
use crate::membership::{ArcEntry, ArcState, Role};

/// A file whose nodes have more lines than an address: a name, and lines of its `[[node]]`.
pub(super) fn file_of(nodes: &[(&str, &str)], more: &str) -> ClusterFile {
    let mut text = format!("[cluster]\nname = \"t\"\nsecret = \"s\"\narcs = 24\n{more}\n");
    for (name, lines) in nodes {
        text.push_str(&format!("[[node]]\nname = \"{name}\"\ncluster = \"{}\"\n{lines}\n", entry(name).cluster));
    }
    ClusterFile::from_str(&text, "test").expect("a good file")
}

fn named(nodes: &[Node], name: &str) -> usize {
    nodes.iter().position(|n| n.id().name.as_str() == name).expect("it was started")
}

/// Counts once in each of many sessions, through the last node.
async fn count_all(nodes: &[Node], how_many: u32) {
    for n in 0..how_many {
        soon(counter(nodes.last().expect("some"), &format!("s{n}")).call(Add(1))).await.expect("done");
    }
}

/// Waits until this node is in a protected view of so many members.
async fn protected(node: &Node, members: usize) {
    until("a protected view", async || node.outlook().fully_protected && node.view().members.len() == members).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_backups_any_two_nodes_lost_at_once_lose_nothing() {
    let names = ["a", "b", "c", "d", "e"];
    for (one, other) in [("a", "b"), ("b", "c"), ("e", "a"), ("b", "d")] {
        let network = MemoryNetwork::new();
        let nodes = start_all(&file(&names, "backups = 2"), &network).await;
        assert!(nodes[0].view().arcs.iter().all(|e| e.in_sync.len() == 2));
        count_all(&nodes, 60).await;
        let gone = [one, other].map(|name| nodes[named(&nodes, name)].clone());
        for node in &gone {
            kill(&network, node);
        }
        let left: Vec<Node> = nodes.into_iter().filter(|n| gone.iter().all(|g| g.id() != n.id())).collect();
        protected(&left[0], 3).await;
        for n in 0..60 {
            let counter = counter(&left[usize::try_from(n % 3).expect("small")], &format!("s{n}"));
            assert_eq!(
                soon(counter.call(Add(1))).await.expect("served"),
                2,
                "s{n} after the loss of {one} and {other}"
            );
        }
        assert!(left[0].view().arcs.iter().all(|e| e.in_sync.len() == 2), "two backups again, of three nodes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_backup_two_neighbours_lost_at_once_take_only_what_both_held_and_nothing_comes_back_older() {
    let network = MemoryNetwork::new();
    let names = ["a", "b", "c", "d", "e"];
    let nodes = start_all(&file(&names, ""), &network).await;
    count_all(&nodes, 80).await;
    let before = nodes[4].view();
    let gone = [nodes[1].id(), nodes[2].id()];
    let both: Vec<bool> = (0..80)
        .map(|n| {
            let entry: &ArcEntry = before.arc(arc_of(&nodes[0], &format!("s{n}"))).expect("an arc");
            gone.contains(&entry.primary) && entry.in_sync.iter().all(|b| gone.contains(b))
        })
        .collect();
    assert!(both.contains(&true) && both.contains(&false));
    for at in [1, 2] {
        kill(&network, &nodes[at]);
    }
    let left = [nodes[0].clone(), nodes[3].clone(), nodes[4].clone()];
    until("they are out", async || left.iter().all(|n| n.view().members.len() == 3)).await;
    for n in (0..80).filter(|n| both[*n]) {
        let options = CallOptions::new().deadline(Duration::from_millis(300));
        let asked = counter(&left[0], &format!("s{n}")).ask_with(Count, options).await;
        let why = asked.expect_err("its copies may still live somewhere");
        assert!(matches!(why.kind(), ErrorKind::Recovering { .. }), "s{n}: {why}");
    }
    for dead in gone {
        prove_dead(&left, dead);
    }
    for n in 0..80 {
        let asked = soon(async {
            loop {
                match counter(&left[n % 3], &format!("s{n}")).ask(Count).await {
                    Err(why) if matches!(why.kind(), ErrorKind::Recovering { .. }) => {}
                    other => return other,
                }
            }
        })
        .await;
        match (both[n], asked) {
            (false, Ok(count)) => assert_eq!(count, 1, "s{n}"),
            (true, Err(why)) => assert!(matches!(why.kind(), ErrorKind::Lost), "s{n}: {why}"),
            (lost, other) => panic!("s{n}: both copies lost {lost}, and the answer is {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_with_a_witness_stand_the_loss_of_either() {
    for victim in ["a", "b"] {
        let network = MemoryNetwork::new();
        let file = file_of(&[("a", ""), ("b", ""), ("w", "role = \"witness\"")], "");
        let nodes = start_all(&file, &network).await;
        let witness = nodes[named(&nodes, "w")].clone();
        assert!(nodes[0].view().is_voter(witness.id()) && !nodes[0].view().needs(witness.id()));
        count_all(&nodes, 20).await;
        let (gone, left) = split(nodes.clone(), nodes[named(&nodes, victim)].id());
        kill(&network, &gone);
        for n in 0..20 {
            // Through the witness too: it holds nothing and passes calls on.
            let counter = counter(&left[n % 2], &format!("s{n}"));
            assert_eq!(soon(counter.call(Add(1))).await.expect("the other host serves"), 2);
        }
        let view = witness.view();
        assert!(view.arcs.iter().all(|e| view.state_of(e) == ArcState::Solo), "nobody else may hold a copy: {view:?}");
        let back = start_in(&file, victim, &network).await;
        protected(&back, 3).await;
        assert!(!back.view().needs(witness.id()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_alone_stop_under_majority_and_go_on_with_proof_where_that_counts() {
    for (agreement, goes_on) in [("majority", false), ("majority_or_proof", true)] {
        let network = MemoryNetwork::new();
        let nodes = start_all(&file(&["a", "b"], &format!("agreement = \"{agreement}\"")), &network).await;
        count_all(&nodes, 10).await;
        let id = id_served_by(&nodes[0], "a");
        soon(counter(&nodes[0], &id).call(Add(1))).await.expect("done");
        kill(&network, &nodes[0]);
        let patient = CallOptions::new().deadline(Duration::from_millis(1_500));
        let unproved = counter(&nodes[1], &id).ask_with(Count, patient.clone()).await;
        assert!(unproved.is_err(), "{agreement}: silence proves nothing: {unproved:?}");
        prove_dead(&nodes[1..], nodes[0].id());
        if goes_on {
            let counted = soon(counter(&nodes[1], &id).ask(Count)).await.expect("b knows that it is alone");
            assert!(counted >= 1);
        } else {
            assert!(counter(&nodes[1], &id).ask_with(Count, patient).await.is_err(), "one of two is no majority");
            assert!(!nodes[1].outlook().has_quorum());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_hold_nothing_and_take_every_call_and_a_backup_only_node_serves_only_for_want_of_a_host() {
    let network = MemoryNetwork::new();
    let roles = [("a", ""), ("b", ""), ("k", "role = \"backup_only\""), ("x", "role = \"edge\"")];
    // Of the two voters, a and b, one is left: what is shown here is who serves then.
    let nodes = start_all(&file_of(&roles, "backups = 2\nagreement = \"majority_or_proof\""), &network).await;
    let at = |name| nodes[named(&nodes, name)].clone();
    let (edge, keeper) = (at("x"), at("k"));
    let view = nodes[0].view();
    assert!(!view.needs(edge.id()) && !view.is_voter(edge.id()));
    assert!(view.arcs.iter().all(|e| e.in_sync.contains(&keeper.id()) && e.primary.name.as_str() != "k"));
    for n in 0..20 {
        soon(counter(&edge, &format!("s{n}")).call(Add(1))).await.expect("passed on");
    }
    kill(&network, &at("a"));
    prove_dead(&[at("b"), keeper.clone(), edge.clone()], at("a").id());
    until("b serves all", async || keeper.view().arcs.iter().all(|e| e.primary.name.as_str() == "b")).await;
    for n in 0..20 {
        assert_eq!(soon(counter(&edge, &format!("s{n}")).call(Add(1))).await.expect("served by b"), 2);
    }
    assert_eq!(keeper.view().member(keeper.id()).map(|m| m.role), Some(Role::BackupOnly));
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_stand_in_different_zones_and_the_loss_of_a_whole_zone_loses_nothing() {
    let network = MemoryNetwork::new();
    let zoned = [
        ("a", "zone = \"east\""),
        ("b", "zone = \"east\""),
        ("c", "zone = \"west\""),
        ("d", "zone = \"west\""),
        ("w", "role = \"witness\"\nzone = \"north\""),
    ];
    let nodes = start_all(&file_of(&zoned, ""), &network).await;
    let view = nodes[0].view();
    let zone = |id: NodeId| view.member(id).and_then(|m| m.zone.clone());
    for entry in &view.arcs {
        assert!(entry.in_sync.iter().all(|b| zone(*b) != zone(entry.primary)), "{entry:?}");
    }
    count_all(&nodes, 40).await;
    let (east, rest): (Vec<Node>, Vec<Node>) =
        nodes.iter().cloned().partition(|n| zone(n.id()).as_deref() == Some("east"));
    assert_eq!(east.len(), 2);
    for node in &east {
        kill(&network, node);
    }
    for n in 0..40 {
        assert_eq!(soon(counter(&rest[n % rest.len()], &format!("s{n}")).call(Add(1))).await.expect("in the west"), 2);
    }
    protected(&rest[0], 3).await;
}
