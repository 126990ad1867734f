use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    id::{ArcId, Incarnation},
    membership::{
        Knowledge, Wish, WishedChange, next_view,
        test_views::{founded, member, node},
    },
};

fn there_and_back(view: &View) -> View {
    let bytes = rmp_serde::to_vec(view).expect("a view packs");
    rmp_serde::from_slice(&bytes).expect("what was packed unpacks")
}

/// A view some losses, returns and moves after the founding: everything that entries can come to look like.
fn lived(nodes: usize, arcs: u16, backups: u8, steps: &[(usize, u8)]) -> View {
    let names: Vec<String> = (0..nodes).map(|n| format!("node-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut view = founded(&names, arcs, backups);
    for (start, (which, what)) in (2u128..).zip(steps) {
        let name = names[which % names.len()];
        let mut known = Knowledge { up_to_date: view.members.iter().map(|m| m.node).collect(), ..Knowledge::default() };
        match what {
            0 | 1 => {
                let lost: BTreeSet<NodeId> = view.named(test_name(name)).map(|m| m.node).into_iter().collect();
                known.dead.extend(lost.iter().copied().filter(|_| *what == 0));
                known.unreachable = lost;
            }
            2 => {
                let newcomer = member(node(name, start));
                known.joins.insert(newcomer.node, newcomer);
            }
            _ => {
                let wish = |(arc, entry): (ArcId, &Arc<ArcEntry>)| {
                    let change = match entry.catching_up {
                        Some(learner) => WishedChange::Add(learner),
                        None => WishedChange::Move(*entry.in_sync.first()?),
                    };
                    let (from, since, expected) = (entry.primary, entry.since, entry.in_sync.clone());
                    Some(Wish { arc, from, since, base: view.number, expected, change })
                };
                known.wishes = view.entries().filter_map(wish).collect();
            }
        }
        let proposer = view.members.iter().map(|m| m.node).find(|n| !known.unreachable.contains(n));
        if let Some(next) = proposer.and_then(|p| next_view(&view, p, &known)).filter(|v| !v.voters.is_empty()) {
            view = next;
        }
    }
    view
}

fn test_name(text: &str) -> NodeName {
    crate::membership::test_views::name(text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn whatever_a_view_has_lived_through_it_arrives_as_it_left(
        nodes in 1usize..8, arcs in 1u16..70, backups in 0u8..4, steps in prop::collection::vec((0usize..8, 0u8..4), 0..12),
    ) {
        let view = lived(nodes, arcs, backups, &steps);
        prop_assert_eq!(view.check(), Ok(()));
        prop_assert!(there_and_back(&view) == view);
    }

    #[test]
    fn bytes_that_are_bent_anywhere_never_make_a_view_that_contradicts_itself(at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = rmp_serde::to_vec(&lived(4, 16, 1, &[(1, 0), (1, 2), (2, 3)])).expect("a view packs");
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(view) = rmp_serde::from_slice::<View>(&bytes) {
            prop_assert_eq!(view.check(), Ok(()));
        }
    }
}

#[test]
fn a_view_of_1024_arcs_and_four_nodes_takes_less_than_sixteen_kibibytes() {
    let young = founded(&["a", "b", "c", "d"], 1024, 1);
    let old =
        lived(4, 1024, 2, &[(1, 0), (1, 2), (1, 3), (2, 1), (2, 2), (0, 3), (0, 3), (3, 0), (3, 2), (3, 3), (3, 3)]);
    let mut apart = young.clone();
    // As many different entries as arcs, in a cluster with a long life behind it.
    apart.number = ViewNumber(1 << 40);
    for (entry, at) in apart.arcs.iter_mut().zip(0u64..) {
        Arc::make_mut(entry).since = ViewNumber((1 << 33) + at);
        Arc::make_mut(entry).changed = ViewNumber((1 << 34) + at);
    }
    let size = |view: &View| rmp_serde::to_vec(view).expect("a view packs").len();
    println!("founded {} B, after losses {} B, all entries different {} B", size(&young), size(&old), size(&apart));
    assert!(size(&young) < 4 * 1024 && size(&old) < 16 * 1024, "{} {}", size(&young), size(&old));
    assert!(size(&apart) < 40 * 1024, "{}", size(&apart));
    assert!(there_and_back(&apart) == apart);
}

#[test]
fn equal_entries_are_shared_when_they_arrive() {
    let view = there_and_back(&founded(&["a", "b", "c", "d"], 64, 1));
    let distinct: BTreeSet<_> = view.arcs.iter().map(Arc::as_ptr).collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn a_place_in_no_table_and_a_view_that_contradicts_itself_are_refused() {
    let view = founded(&["a", "b", "c"], 8, 1);
    let packed = pack(&view).expect("few nodes");
    let bent = |bend: fn(&mut PackedView)| {
        let mut bent = packed.clone();
        bend(&mut bent);
        unpack(bent).map(|_| ())
    };
    assert_eq!(bent(|_| {}), Ok(()));
    assert_eq!(bent(|p| p.arcs[3] = 99), Err(Unpackable::Place(99)));
    assert_eq!(bent(|p| p.voters[0] = 98), Err(Unpackable::Place(98)));
    assert_eq!(bent(|p| p.entries[0].home = 97), Err(Unpackable::Place(97)));
    assert_eq!(bent(|p| p.entries[0].primary = 96), Err(Unpackable::Place(96)));
    assert_eq!(bent(|p| p.entries[0].in_sync = vec![95]), Err(Unpackable::Place(95)));
    assert_eq!(bent(|p| p.entries[0].catching_up = Some(94)), Err(Unpackable::Place(94)));
    assert_eq!(bent(|p| p.arcs.truncate(7)), Err(Unpackable::Fault(ViewFault::Arcs)));
    let two_strangers_vote = |p: &mut PackedView| {
        p.nodes[0].incarnation = Incarnation(9);
        p.nodes[1].incarnation = Incarnation(9);
    };
    assert_eq!(bent(two_strangers_vote), Err(Unpackable::Fault(ViewFault::Members)));
}

#[test]
fn a_view_of_as_many_arcs_as_can_be_numbered_is_read() {
    let view = founded(&["a", "b"], u16::MAX, 1);
    assert_eq!(there_and_back(&view).entries().map(|(arc, _)| arc).last(), Some(ArcId(u16::MAX - 1)));
}
