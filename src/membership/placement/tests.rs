use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::membership::test_views::{founded, founded_by, member, name, node, settled, with, without};

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

/// The ring of four where a died, its arcs were promoted, and it came back.
fn returned(pin: Pin) -> View {
    let mut whole = founded_by(["a", "b", "c", "d"].map(|n| member(node(n, 1))).to_vec(), 8, 1, 1);
    Arc::make_mut(&mut whole.shape).pin = pin;
    with(&settled(&without(&whole, &["a"])), member(node("a", 2)))
}

#[test]
fn a_node_that_returns_becomes_the_backup_of_its_pinned_arcs_and_their_primary_only_when_it_claims_them() {
    let arcs_of_a = |view: &View| -> Vec<String> { picture(view).into_iter().step_by(4).collect() };
    assert_eq!(arcs_of_a(&returned(Pin::None)), ["a>b", "a>b"]);
    assert_eq!(arcs_of_a(&returned(Pin::OnOverload)), ["a>b", "a>b"], "b serves four of eight, and its share is two");
    for pin in [Pin::OnDrain, Pin::NeverMove] {
        let mut view = returned(pin);
        assert_eq!(arcs_of_a(&view), ["b>a", "b>a"], "{pin}");
        assert_eq!(arcs_of_a(&without(&view, &["b"])), ["a>c", "a>c"], "{pin}: the next loss brings them home");
        Arc::make_mut(&mut view.members[0]).claims = true;
        assert_eq!(arcs_of_a(&view), ["a>b", "a>b"], "{pin}");
        Arc::make_mut(&mut view.members[0]).standing = Standing::Cordoned;
        assert_eq!(arcs_of_a(&view), ["b>c", "b>c"], "{pin}: a cordoned node is given nothing");
    }
}

#[test]
fn a_pinned_primary_that_drains_gives_everything_away_unless_it_never_moves() {
    let drains = |pin| {
        let mut view = returned(pin);
        Arc::make_mut(&mut view.members[1]).standing = Standing::Draining;
        picture(&view)
    };
    assert_eq!(drains(Pin::OnDrain), ["a>c", "c>d", "c>d", "d>a", "a>c", "c>d", "c>d", "d>a"]);
    assert_eq!(drains(Pin::NeverMove), ["b>a", "b>c", "c>d", "d>a", "b>a", "b>c", "c>d", "d>a"]);
}

#[test]
fn what_is_given_up_for_overload_is_the_surplus_and_no_more() {
    // b serves six of eight: its own two, a's two, and two of c's.
    let mut view = returned(Pin::OnOverload);
    for arc in [2, 6] {
        Arc::make_mut(&mut view.arcs[arc]).primary = node("b", 1);
    }
    let heavy = |view: &mut View, weight: u16| {
        Arc::make_mut(&mut view.members[1]).weight = weight.try_into().expect("not nothing");
        picture(view)
    };
    assert_eq!(heavy(&mut view, 1), ["a>b", "b>c", "c>d", "d>a", "a>b", "b>c", "c>d", "d>a"], "its share is two");
    assert_eq!(heavy(&mut view, 3), ["b>a", "b>c", "b>c", "d>a", "a>b", "b>c", "c>d", "d>a"], "four: the last two go");
    assert_eq!(heavy(&mut view, 9), ["b>a", "b>c", "b>c", "d>a", "b>a", "b>c", "b>c", "d>a"], "six: all stay");
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
    fn with_a_pin_too_a_promotion_already_is_the_target_and_nobody_else_moves_for_a_death(
        life in any::<Life>(), backups in 1u8..4,
    ) {
        let mut view = life.view();
        Arc::make_mut(&mut view.shape).backups = backups;
        // A node that drains, or serves too much, is moving things already.
        while view != settled(&view) {
            view = settled(&view);
        }
        // The name of a dead node that is nobody's home is forgotten, and the windows of a spread close over it.
        let is_home = |name| view.arcs.iter().any(|e| e.home == name);
        for victim in view.members.iter().filter(|m| m.stays() && is_home(m.node.name)) {
            let left = without(&view, &[victim.node.name.as_str()]);
            if !left.members.iter().any(|m| m.stays()) {
                continue;
            }
            let promoted: Vec<_> = targets(&left).into_iter().map(|t| t.primary).collect();
            for (old, primary) in view.arcs.iter().zip(&promoted) {
                let expected = if old.primary == victim.node { old.in_sync.first().copied() } else { Some(old.primary) };
                prop_assert!(expected.is_none() || *primary == expected, "{:?} went to {:?}", old, primary);
            }
        }
    }

    #[test]
    fn one_by_one_or_all_at_once_no_arc_moves_twice_and_what_is_moved_stays(
        life in any::<Life>(), picks in prop::collection::vec(any::<prop::sample::Index>(), 64),
    ) {
        let start = life.view();
        let pin = start.shape.pin;
        let mut view = start.clone();
        let mut moved = BTreeSet::new();
        let mut picks = picks.iter();
        loop {
            let out: Vec<(usize, NodeId)> = targets(&view).iter().enumerate()
                .filter_map(|(arc, t)| t.primary.filter(|p| *p != view.arcs[arc].primary).map(|p| (arc, p)))
                .collect();
            // A few alone, in any order; then everything at once.
            let now: Vec<_> = match picks.next() {
                Some(pick) if !out.is_empty() => vec![*pick.get(&out)],
                _ => out,
            };
            if now.is_empty() {
                break;
            }
            for (arc, heir) in now {
                prop_assert!(moved.insert(arc), "{} moves arc {} again", pin, arc);
                Arc::make_mut(&mut view.arcs[arc]).primary = heir;
            }
        }
        for (arc, (old, new)) in start.arcs.iter().zip(&view.arcs).enumerate() {
            let gives = start.member(old.primary);
            let claimed = start.named(old.home).is_some_and(|m| m.may_claim());
            let holds = gives.is_some_and(|m| pin.holds(m));
            if holds && !claimed && pin != Pin::OnOverload {
                prop_assert_eq!(old.primary, new.primary, "{} holds arc {}", pin, arc);
            }
            if claimed && view.named(old.home).is_some() {
                prop_assert_eq!(new.primary.name, old.home, "a claim is stronger than {}", pin);
            }
        }
        if pin == Pin::OnOverload {
            judge_overload(&start, &view)?;
        }
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

/// A ring in the middle of its life: any pin, some nodes dead, draining or claiming, and its arcs served by anybody.
#[derive(Clone, Debug)]
struct Life {
    pin: Pin,
    arcs: u16,
    spread: u8,
    weights: Vec<u16>,
    dead: u16,
    drains: u16,
    claims: u16,
    served_by: Vec<prop::sample::Index>,
}

impl Arbitrary for Life {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let some = || prop_oneof![Just(0u16), any::<u16>().prop_map(|bits| bits & 0x1111)];
        let served_by = prop::collection::vec(any::<prop::sample::Index>(), 40);
        let weights = prop::collection::vec(1u16..=4, 1..8);
        (prop::sample::select(&Pin::ALL[..]), 1u16..40, 1u8..4, weights, any::<u16>(), some(), some(), served_by)
            .prop_map(|(pin, arcs, spread, weights, dead, drains, claims, served_by)| Self {
                pin,
                arcs,
                spread,
                weights,
                dead,
                drains,
                claims,
                served_by,
            })
            .boxed()
    }
}

impl Life {
    fn view(&self) -> View {
        let marked = |bits: u16, i: usize| i > 0 && bits >> i & 1 == 1;
        let members = self.weights.iter().enumerate().map(|(i, weight)| {
            let mut host = member(node(&format!("n{i}"), 1));
            host.weight = (*weight).try_into().expect("from 1");
            host.standing = if marked(self.drains, i) { Standing::Draining } else { Standing::Open };
            host.claims = marked(self.claims, i);
            host
        });
        let mut view = kill(&founded_by(members.collect(), self.arcs, 1, self.spread), self.dead);
        Arc::make_mut(&mut view.shape).pin = self.pin;
        let living: Vec<NodeId> = view.members.iter().map(|m| m.node).collect();
        for (entry, server) in view.arcs.iter_mut().zip(&self.served_by) {
            let entry = Arc::make_mut(entry);
            entry.primary = *server.get(&living);
            entry.in_sync.clear();
        }
        view
    }
}

/// Whoever served more than its share gave up what was elsewhere at home, down to its share and not below.
fn judge_overload(start: &View, end: &View) -> Result<(), TestCaseError> {
    let hosts = || start.members.iter().filter(|m| m.stays());
    let all: usize = hosts().map(|m| usize::from(m.weight.get())).sum();
    let mut free = start.clone();
    Arc::make_mut(&mut free.shape).pin = Pin::None;
    let places = targets(&free);
    for member in hosts() {
        let share = (start.arcs.len() * usize::from(member.weight.get())).div_ceil(all);
        let serves = |view: &View| view.arcs.iter().filter(|e| e.primary == member.node).count();
        let is_away = |(arc, entry): &(usize, &Arc<ArcEntry>)| {
            entry.primary == member.node && places[*arc].primary != Some(member.node)
        };
        let away = end.arcs.iter().enumerate().filter(is_away).count();
        prop_assert!(serves(end) <= share || away == 0, "{} keeps {} of {}", member.node, away, serves(end));
        let claimed = |entry: &Arc<ArcEntry>| start.named(entry.home).is_some_and(|m| m.may_claim());
        let given = start
            .arcs
            .iter()
            .zip(&end.arcs)
            .filter(|(old, new)| old.primary == member.node && new.primary != member.node && !claimed(old));
        prop_assert!(given.count() == 0 || serves(end) >= share, "{} was left less than its share", member.node);
    }
    Ok(())
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
