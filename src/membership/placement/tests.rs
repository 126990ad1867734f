use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::membership::test_views::{founded, founded_by, member, name, node, settled, with, without};

mod pins;

use pins::Life;

/// `n0`, `n1`, ...
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("n{i}")).collect()
}

/// A ring of hosts, the i-th in the zone that `zone_of` names.
fn ring_of(count: usize, arcs: u16, backups: u8, spread: u8, zone_of: impl Fn(usize) -> Option<String>) -> View {
    let hosts = numbered(count).into_iter().zip(0..).map(|(text, i)| {
        let mut host = member(node(&text, 1));
        host.zone = zone_of(i);
        host
    });
    founded_by(hosts.collect(), arcs, backups, spread)
}

fn homes(view: &View) -> Vec<NodeName> {
    view.arcs.iter().map(|e| e.home).collect()
}

/// How many arcs each of these names has.
fn counts(owners: impl IntoIterator<Item = NodeName>, names: &[NodeName]) -> Vec<usize> {
    let mut counts: BTreeMap<NodeName, usize> = names.iter().map(|n| (*n, 0)).collect();
    for owner in owners {
        *counts.get_mut(&owner).expect("only these names own arcs") += 1;
    }
    counts.into_values().collect()
}

fn unevenness(counts: &[usize]) -> usize {
    counts.iter().max().expect("someone") - counts.iter().min().expect("someone")
}

fn picture(view: &View) -> Vec<String> {
    let text = |t: &Target| {
        let backups: Vec<_> = t.backups.iter().map(|b| b.name.as_str()).collect();
        format!("{}>{}", t.primary.map_or("-".into(), |p| p.name.to_string()), backups.join(","))
    };
    targets(view).iter().map(text).collect()
}

#[test]
fn four_nodes_and_four_arcs_are_the_backup_ring_before_during_and_after_a_loss() {
    let whole = founded(&["a", "b", "c", "d"], 4, 1);
    assert_eq!(homes(&whole), ["a", "b", "c", "d"].map(name));
    assert_eq!(picture(&whole), ["a>b", "b>c", "c>d", "d>a"]);
    let lost = without(&whole, &["a"]);
    assert_eq!(picture(&lost), ["b>c", "b>c", "c>d", "d>b"]);
    assert_eq!(picture(&without(&lost, &["b"])), ["c>d", "c>d", "c>d", "d>c"]);
    assert_eq!(picture(&without(&lost, &["b", "c"])), ["d>", "d>", "d>", "d>"]);
    let back = with(&lost, member(node("a", 2)));
    assert_eq!(picture(&back), ["a>b", "b>c", "c>d", "d>a"]);
    assert_eq!(targets(&back)[0].primary, Some(node("a", 2)), "the new incarnation, not the dead one");
}

#[test]
fn a_second_death_is_shared_out_too_when_the_spread_is_two() {
    // Of a's four arcs two go to b first. When b is dead as well, those two are not both c's.
    let whole = founded_by(["a", "b", "c", "d"].map(|n| member(node(n, 1))).to_vec(), 16, 1, 2);
    let of_a = |view: &View| -> Vec<String> { picture(view).into_iter().step_by(4).collect() };
    assert_eq!(of_a(&whole), ["a>b", "a>c", "a>b", "a>c"]);
    assert_eq!(of_a(&without(&whole, &["a"])), ["b>c", "c>b", "b>d", "c>d"]);
    assert_eq!(of_a(&without(&whole, &["a", "b"])), ["c>d", "c>d", "d>c", "c>d"]);
}

#[test]
fn only_hosts_are_primaries_and_edges_and_witnesses_hold_nothing() {
    let with_role = |text: &str, role| {
        let mut m = member(node(text, 1));
        m.role = role;
        m
    };
    let members = vec![
        with_role("a", Role::Host),
        with_role("b", Role::BackupOnly),
        with_role("w", Role::Witness),
        with_role("e", Role::Edge),
        with_role("c", Role::Host),
    ];
    let whole = founded_by(members, 4, 3, 1);
    assert_eq!(picture(&whole), ["a>b,c", "c>a,b", "a>b,c", "c>a,b"]);
    assert_eq!(picture(&without(&whole, &["a"]))[0], "c>b");
    assert_eq!(picture(&without(&whole, &["a", "c"]))[0], "->b", "no host lives: no primary is named");
}

#[test]
fn a_witness_takes_no_share_of_the_spread_and_its_death_moves_nothing() {
    let mut witness = member(node("w", 1));
    witness.role = Role::Witness;
    let host = |text: &str| member(node(text, 1));
    let whole = founded_by(vec![host("a"), witness, host("b"), host("c")], 12, 1, 2);
    let of_a: Vec<String> = picture(&whole).into_iter().step_by(3).collect();
    assert_eq!(of_a, ["a>b", "a>c", "a>b", "a>c"]);
    assert_eq!(targets(&without(&whole, &["w"])), targets(&whole));
}

#[test]
fn an_arc_the_cluster_does_not_have_belongs_nowhere() {
    assert_eq!(target(&founded(&["a", "b"], 4, 1), ArcId(4)), Target::default());
}

#[test]
fn a_backup_in_another_zone_is_preferred_to_a_nearer_one() {
    let zones = ["x", "x", "y", "z"];
    let view = ring_of(4, 4, 2, 1, |i| Some(zones[i].into()));
    assert_eq!(picture(&view), ["n0>n2,n3", "n1>n2,n3", "n2>n3,n0", "n3>n0,n2"]);
    let one_zone_left = without(&view, &["n2", "n3"]);
    assert_eq!(picture(&one_zone_left)[..2], ["n0>n1", "n1>n0"], "a copy in the same zone is better than none");
}

#[test]
fn a_large_ring_is_computed_in_one_pass_and_agrees_with_the_slow_form() {
    let view = ring_of(100, 1024, 2, 3, |i| Some(format!("z{}", i % 3)));
    let all = targets(&view);
    for (arc, _) in view.entries().step_by(37) {
        assert_eq!(all[usize::from(arc.0)], target(&view, arc));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn founding_deals_within_one(count in 1usize..40, arcs in 1u16..300) {
        let view = ring_of(count, arcs, 1, 1, |_| None);
        let primaries = targets(&view).into_iter().map(|t| t.primary.expect("all live").name);
        prop_assert!(unevenness(&counts(primaries, &view.shape.ring)) <= 1);
    }

    #[test]
    fn each_join_stays_within_one_and_moves_only_what_the_newcomer_takes(
        count in 1usize..12, joins in 1usize..12, arcs in 1u16..300, spread in 1u8..4,
    ) {
        let mut view = ring_of(count, arcs, 1, spread, |_| None);
        for text in &numbered(count + joins)[count..] {
            let before = homes(&view);
            let ranks_before = ranks(&before);
            view = with(&view, member(node(text, 1)));
            let after = homes(&view);
            prop_assert!(unevenness(&counts(after.iter().copied(), &view.shape.ring)) <= 1);
            let taken = after.iter().filter(|h| **h == name(text)).count();
            let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
            prop_assert_eq!(moved, taken);
            prop_assert_eq!(taken, usize::from(arcs) / view.shape.ring.len());
            for ((rank_before, rank_after), home) in ranks_before.iter().zip(ranks(&after)).zip(&after) {
                prop_assert!(*home == name(text) || *rank_before == rank_after, "who stays keeps its rank");
            }
        }
    }

    #[test]
    fn copies_are_distinct_live_and_as_many_as_can_be(
        count in 1usize..12, backups in 0u8..4, spread in 1u8..5, zones in 1usize..5, dead in any::<u16>(),
    ) {
        let whole = ring_of(count, 64, backups, spread, |i| (zones < 4).then(|| format!("z{}", i * 7 % zones)));
        let view = kill(&whole, dead);
        for (arc, target) in targets(&view).into_iter().enumerate() {
            let holders: BTreeSet<NodeId> = target.backups.iter().copied().chain(target.primary).collect();
            prop_assert_eq!(holders.len(), (1 + usize::from(backups)).min(view.members.len()));
            prop_assert_eq!(target.backups.len() + 1, holders.len());
            prop_assert!(holders.iter().all(|h| view.is_member(*h)));
            let zone = |n: &NodeId| view.member(*n).expect("live").zone.clone();
            let used: BTreeSet<_> = holders.iter().map(zone).collect();
            let all: BTreeSet<_> = view.members.iter().map(|m| m.zone.clone()).collect();
            prop_assert_eq!(used.len(), holders.len().min(all.len()), "arc {} leaves a zone unused", arc);
        }
    }

    #[test]
    fn the_first_backup_is_the_next_primary(
        count in 2usize..12, backups in 1u8..4, spread in 1u8..5, apart in any::<bool>(), dead in any::<u16>(),
    ) {
        // In one zone, and with every node in a zone of its own, zones force no choice.
        let whole = ring_of(count, 64, backups, spread, |i| apart.then(|| format!("z{i}")));
        let view = kill(&whole, dead);
        let before = targets(&view);
        for victim in &view.members {
            let after = targets(&without(&view, &[victim.node.name.as_str()]));
            for (old, new) in before.iter().zip(after) {
                if old.primary == Some(victim.node) {
                    prop_assert_eq!(new.primary, old.backups.first().copied());
                } else {
                    prop_assert_eq!(new.primary, old.primary, "a death moves no primary that lives");
                    let kept: Vec<_> = old.backups.iter().filter(|b| **b != victim.node).collect();
                    prop_assert!(kept.iter().all(|b| new.backups.contains(b)), "nor a backup");
                }
            }
        }
    }

    #[test]
    fn a_return_restores_exactly_the_former_target(
        count in 1usize..12, backups in 0u8..4, spread in 1u8..5, zones in 1usize..4, dead in any::<u16>(),
    ) {
        let whole = ring_of(count, 64, backups, spread, |i| Some(format!("z{}", i % zones)));
        let mut view = kill(&whole, dead);
        // What was promoted meanwhile must not count.
        view = settled(&view);
        for absent in whole.members.iter().rev() {
            if !view.is_member(absent.node) {
                view = with(&view, (**absent).clone());
            }
        }
        prop_assert_eq!(targets(&view), targets(&whole));
    }

    #[test]
    fn a_dead_nodes_arcs_are_spread_evenly_over_its_successors(
        count in 2usize..12, arcs in 1u16..300, spread in 1u8..6, victim in any::<prop::sample::Index>(),
    ) {
        let whole = ring_of(count, arcs, 1, spread, |_| None);
        let victim = victim.get(&whole.members).node.name;
        let view = without(&whole, &[victim.as_str()]);
        let orphans: Vec<NodeName> = homes(&whole).into_iter().zip(targets(&view))
            .filter(|(home, _)| *home == victim)
            .map(|(_, t)| t.primary.expect("others live").name)
            .collect();
        let sharers = usize::from(spread).min(count - 1);
        let next: Vec<NodeName> = view.after(victim).iter().take(sharers).map(|m| m.node.name).collect();
        prop_assert!(unevenness(&counts(orphans, &next)) <= 1);
    }

    #[test]
    fn the_one_pass_form_agrees_with_the_slow_one(life in any::<Life>(), zones in 1usize..4) {
        let mut view = life.view();
        for (i, member) in view.members.iter_mut().enumerate() {
            Arc::make_mut(member).zone = Some(format!("z{}", i % zones));
        }
        let slow: Vec<Target> = view.entries().map(|(arc, _)| target(&view, arc)).collect();
        prop_assert_eq!(targets(&view), slow);
    }
}

/// Each arc's rank among its home's arcs.
fn ranks(homes: &[NodeName]) -> Vec<usize> {
    homes.iter().enumerate().map(|(i, home)| homes[..i].iter().filter(|h| *h == home).count()).collect()
}

/// The view without the members whose bits are set, but never without all of them.
fn kill(view: &View, bits: u16) -> View {
    let dead: Vec<&str> = view.members[1..]
        .iter()
        .enumerate()
        .filter(|(i, _)| bits >> i & 1 == 1)
        .map(|(_, m)| m.node.name.as_str())
        .collect();
    without(view, &dead)
}
