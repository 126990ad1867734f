use proptest::prelude::*;

use super::*;
use crate::membership::test_views::{founded, name};

fn weight(weight: u16) -> NonZeroU16 {
    NonZeroU16::new(weight).expect("a weight is not nothing")
}

/// The shape of a ring `n0`, `n1`, ... with these weights.
fn shape(arcs: u16, weights: &[u16]) -> Shape {
    let mut shape = Shape::clone(&founded(&["a"], 1, 0).shape);
    shape.arcs = arcs;
    shape.ring = (0..weights.len()).map(|i| name(&format!("n{i}"))).collect();
    for (name, of) in shape.ring.clone().into_iter().zip(weights) {
        shape.weigh(name, weight(*of));
    }
    shape
}

fn count(homes: &[NodeName], of: NodeName) -> usize {
    homes.iter().filter(|home| **home == of).count()
}

fn changes(before: &[NodeName], after: &[NodeName]) -> usize {
    before.iter().zip(after).filter(|(b, a)| b != a).count()
}

/// Every name's share of so many arcs, and how many it has of them.
fn shares(shape: &Shape, homes: &[NodeName]) -> Vec<(Share, usize)> {
    let all = shape.ring.iter().map(|n| u64::from(shape.weight_of(*n).get())).sum();
    let of = |n: &NodeName| (Share::of(shape.weight_of(*n), all, homes.len()), count(homes, *n));
    shape.ring.iter().map(of).collect()
}

fn text(homes: &[NodeName]) -> String {
    homes.iter().map(|home| home.as_str().trim_start_matches('n')).collect()
}

#[test]
fn equal_weights_are_dealt_by_turns_whatever_they_are() {
    for each in [1, 7, 1000] {
        let shape = shape(10, &[each; 4]);
        assert_eq!(text(&deal_homes(&shape, &shape.ring)), "0123012301");
    }
}

#[test]
fn a_heavy_nodes_arcs_lie_between_the_others_and_one_that_returns_heavier_takes_no_more_than_its_share() {
    let mut shape = shape(8, &[1, 2, 1]);
    let before = deal_homes(&shape, &shape.ring);
    assert_eq!(text(&before), "10121012");
    shape.weigh(name("n2"), weight(2));
    assert_eq!(text(&rehome(&shape, &before, name("n2"))), "10121022");
}

#[test]
fn the_common_weight_is_not_written_down() {
    let mut shape = shape(8, &[1, 2]);
    assert_eq!((shape.weights.len(), shape.weight_of(name("n1")), shape.weight_of(name("n9"))), (1, weight(2), WEIGHT));
    shape.weigh(name("n1"), WEIGHT);
    assert_eq!((shape.weights.len(), shape.weight_of(name("n1"))), (0, WEIGHT));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn wherever_dealing_stops_nobody_is_an_arc_from_its_share(
        weights in prop::collection::vec(1u16..=1000, 1..12), arcs in 1u16..300,
    ) {
        let shape = shape(arcs, &weights);
        let homes = deal_homes(&shape, &shape.ring);
        prop_assert_eq!(homes.len(), usize::from(arcs));
        for dealt in 1..=homes.len() {
            for (share, has) in shares(&shape, &homes[..dealt]) {
                prop_assert!((share.floor..=share.ceil()).contains(&has), "after {} arcs: {:?} has {}", dealt, share, has);
            }
        }
    }

    #[test]
    fn another_weight_changes_no_more_homes_than_the_shares_ask_for(
        weights in prop::collection::vec(1u16..=9, 2..10), arcs in 1u16..300, who in any::<prop::sample::Index>(), now in 1u16..=9,
    ) {
        let mut shape = shape(arcs, &weights);
        let before = deal_homes(&shape, &shape.ring);
        let who = *who.get(&shape.ring);
        shape.weigh(who, weight(now));
        // Of those that hold nothing the view does not know that they are hosts.
        shape.ring.retain(|n| *n == who || count(&before, *n) > 0);
        let after = rehome(&shape, &before, who);
        let too_few: usize = shares(&shape, &before).iter().map(|(share, has)| share.floor.saturating_sub(*has)).sum();
        let too_many: usize = shares(&shape, &before).iter().map(|(share, has)| has.saturating_sub(share.ceil())).sum();
        prop_assert_eq!(changes(&before, &after), too_few.max(too_many));
        for (share, has) in shares(&shape, &after) {
            prop_assert!((share.floor..=share.ceil()).contains(&has), "{:?} has {}", share, has);
        }
        prop_assert_eq!(rehome(&shape, &after, who), after, "once is enough");
    }
}
