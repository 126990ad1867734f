//! What one step from view to view keeps, in named cases and along random lives of clusters.

use proptest::prelude::*;

use super::*;
use crate::membership::{
    Agreement, ArcState, Pin, Shape, Standing, WEIGHT,
    test_views::{chance, founded, founded_by, member, name, node},
};

fn ids<const N: usize>(names: [&str; N]) -> [NodeId; N] {
    names.map(|n| node(n, 1))
}

/// Everyone in the view has installed it, and nothing speaks for a change.
fn calm(base: &View) -> Knowledge {
    Knowledge { up_to_date: base.members.iter().map(|m| m.node).collect(), ..Knowledge::default() }
}

fn lost(base: &View, unreachable: &[NodeId], dead: &[NodeId]) -> Knowledge {
    Knowledge { unreachable: unreachable.iter().copied().collect(), dead: dead.iter().copied().collect(), ..calm(base) }
}

fn joining(base: &View, newcomer: NodeId) -> Knowledge {
    Knowledge { joins: BTreeMap::from([(newcomer, member(newcomer))]), ..calm(base) }
}

fn wishing(base: &View, wish: Wish) -> Knowledge {
    Knowledge { wishes: vec![wish], ..calm(base) }
}

/// A wish as the arc's primary would make it against this very view.
fn wish(base: &View, arc: u16, change: WishedChange) -> Wish {
    let entry = base.arc(ArcId(arc)).expect("the test names its arcs");
    Wish {
        arc: ArcId(arc),
        from: entry.primary,
        since: entry.since,
        base: base.number,
        expected: entry.in_sync.clone(),
        change,
    }
}

fn step(base: &View, proposer: NodeId, known: &Knowledge) -> View {
    let next = next_view(base, proposer, known).expect("something speaks for a new view");
    assert_sound(base, proposer, known, &next);
    next
}

/// What every step keeps, whatever is known; the invariants of this room.
fn assert_sound(base: &View, proposer: NodeId, known: &Knowledge, next: &View) {
    assert_eq!(next.check(), Ok(()), "{next:?}");
    assert_eq!((next.cluster, next.number), (base.cluster, base.number.next()));
    assert!(next.is_member(proposer));
    for left in base.members.iter().filter(|m| !next.is_member(m.node)) {
        let asked = known.leaving.contains(&left.node);
        assert!(asked || known.unreachable.contains(&left.node), "{} was heard and is gone", left.node);
    }
    if let Some(absent) = next.absent_voter() {
        assert!(base.is_voter(absent), "{absent} got a vote while it is no member");
        assert!(!known.dead.contains(&absent), "a vote was kept for {absent}, which cannot come back");
        // Kept only where it asks for no more votes than there would be without it.
        assert_eq!(next.voters.len() / 2, (next.voters.len() - 1) / 2);
    }
    let new_voters: Vec<_> = next.voters.iter().filter(|v| !base.is_voter(**v)).collect();
    assert!(new_voters.len() <= 1, "{new_voters:?} are new at once");
    assert!(new_voters.iter().all(|v| base.is_member(**v) && known.up_to_date.contains(v)));
    for (arc, old) in base.entries() {
        let new = next.arc(arc).expect("as many arcs as before");
        let wished = known
            .wishes
            .iter()
            .rfind(|w| w.arc == arc && w.base == base.number)
            .filter(|w| w.from == old.primary && w.since == old.since && w.expected == old.in_sync)
            .map(|w| w.change);
        let copies = || old.in_sync.iter().copied().chain([old.primary]);
        if copies().any(|n| next.is_member(n)) {
            assert!(
                new.holds(new.primary) && next.is_member(new.primary),
                "arc {arc} has a live copy and does not serve"
            );
            assert!(old.holds(new.primary), "arc {arc}: only an in-sync backup is promoted");
            assert_eq!(new.lost_at, old.lost_at);
            for copy in copies().filter(|n| next.is_member(*n)) {
                let dropped = match wished {
                    Some(WishedChange::Drop { node, .. }) => node == copy,
                    _ => false,
                };
                assert!(new.holds(copy) || dropped, "arc {arc}: {copy} lives, nobody wished it away, and it is gone");
            }
        } else if copies().all(|n| known.dead.contains(&n)) && new.primary != old.primary {
            assert_eq!((new.lost_at, new.since), (Some(next.number), next.number));
            assert!(next.is_member(new.primary) && new.in_sync.is_empty());
        } else {
            assert_eq!((new.primary, &new.in_sync, new.since), (old.primary, &old.in_sync, old.since));
            assert_eq!(next.state_of(new), ArcState::Recovering);
            assert!(next.members.iter().all(|m| m.role != Role::Host) || !copies().all(|n| known.dead.contains(&n)));
        }
        for added in new.in_sync.iter().filter(|n| !old.holds(**n)) {
            assert_eq!(wished, Some(WishedChange::Add(*added)), "arc {arc}: nobody but its primary adds a copy");
        }
        assert_eq!(new.since == next.number, new.primary != old.primary, "arc {arc}: `since` tells of a new primary");
        let same = ArcEntry { changed: old.changed, ..ArcEntry::clone(new) } == **old;
        assert_eq!(new.changed, if same { old.changed } else { next.number }, "arc {arc}: `changed` tells of a change");
        if let Some(host) = next.member(new.primary).filter(|m| m.role == Role::BackupOnly && m.node != old.primary) {
            let moved = wished == Some(WishedChange::Move(host.node));
            let hosts = old.in_sync.iter().filter(|n| next.member(**n).is_some_and(|m| m.role == Role::Host));
            assert!(moved || hosts.count() == 0, "arc {arc}: {} is a backup only, and a host was in sync", host.node);
        }
    }
}

#[test]
fn a_file_may_lack_names_and_add_new_ones_last_but_not_contradict_the_ring() {
    let ring = (*founded(&["a", "b", "c"], 6, 1).shape).clone();
    let listing = |names: &[&str]| Shape { ring: names.iter().map(|n| name(n)).collect(), ..ring.clone() };
    for admitted in [&["a", "b", "c"][..], &["a", "b", "c", "d"], &["a", "c"], &["b", "d"], &["d"]] {
        assert_eq!(listing(admitted).differs_from(&ring), None, "{admitted:?}");
    }
    for contradicts in [&["b", "a", "c"][..], &["a", "d", "b", "c"], &["d", "a", "b", "c"]] {
        assert_eq!(listing(contradicts).differs_from(&ring), Some("node"), "{contradicts:?}");
    }
    let others = [
        ("arcs", Shape { arcs: 12, ..ring.clone() }),
        ("backups", Shape { backups: 2, ..ring.clone() }),
        ("spread", Shape { spread: 2, ..ring.clone() }),
        ("pin", Shape { pin: Pin::OnDrain, ..ring.clone() }),
        ("agreement", Shape { agreement: Agreement::MajorityOrProof, ..ring.clone() }),
        ("voters_max", Shape { voters_max: 1, ..ring.clone() }),
        ("lease", Shape { lease: ring.lease * 2, ..ring.clone() }),
        ("reply_keep", Shape { reply_keep: ring.reply_keep * 2, ..ring.clone() }),
    ];
    for (key, other) in others {
        assert_eq!(other.differs_from(&ring), Some(key));
    }
}

#[test]
fn a_ring_whose_newest_member_has_no_vote_yet_is_not_fully_protected() {
    let mut view = founded(&["a", "b", "c"], 6, 1);
    assert!(view.fully_protected());
    let without_vote = view.voters.pop().expect("three");
    assert!(!view.fully_protected(), "of two voters the loss of one stops the ring");
    Arc::make_mut(&mut view.shape).voters_max = 2;
    assert!(view.fully_protected(), "there is no room for a third");
    view.voters = vec![without_vote];
    assert!(!view.fully_protected());
}

#[test]
fn nothing_speaks_for_a_view_after_a_calm_one() {
    let base = founded(&["a", "b", "c"], 6, 1);
    assert_eq!(next_view(&base, node("a", 1), &calm(&base)), None);
}

#[test]
fn a_founded_cluster_is_protected_and_names_exactly_its_members() {
    let members: Vec<Member> = ids(["c", "a", "b"]).map(member).to_vec();
    let shape = Shape { voters_max: 2, ..Arc::unwrap_or_clone(founded(&["a", "b", "c"], 8, 1).shape) };
    let voters = [name("a"), name("b")];
    let view = founding_view(ClusterId(3), shape, members, &voters);
    assert_eq!(view.check(), Ok(()));
    assert!(view.fully_protected());
    assert_eq!(view.members.iter().map(|m| m.node).collect::<Vec<_>>(), ids(["a", "b", "c"]), "in ring order");
    assert_eq!(view.voters, ids(["a", "b"]));
}

#[test]
fn any_one_lost_member_of_a_protected_cluster_is_followed_by_its_in_sync_backups() {
    for (backups, spread) in [(1, 1), (1, 3), (2, 1), (2, 2)] {
        let base = founded_by(ids(["a", "b", "c", "d", "e"]).map(member).to_vec(), 40, backups, spread);
        for gone in ids(["a", "b", "c", "d", "e"]) {
            let proposer = base.members.iter().map(|m| m.node).find(|n| *n != gone).expect("five");
            let next = step(&base, proposer, &lost(&base, &[gone], &[]));
            assert_eq!(
                (next.is_member(gone), next.absent_voter()),
                (false, Some(gone)),
                "four ask for three votes, as five do"
            );
            for (old, new) in base.arcs.iter().zip(&next.arcs) {
                assert!(next.is_member(new.primary) && !new.holds(gone));
                if old.primary == gone {
                    assert!(old.in_sync.contains(&new.primary));
                    assert_eq!((new.since, new.changed), (ViewNumber(2), ViewNumber(2)));
                } else {
                    assert_eq!((new.primary, new.since), (old.primary, old.since));
                }
                assert_eq!(new.catching_up.is_some(), old.holds(gone), "the missing copy is made again, and no other");
            }
        }
    }
}

#[test]
fn several_lost_at_once_are_one_view() {
    let base = founded(&["a", "b", "c", "d", "e"], 10, 1);
    let [a, c, b] = ids(["a", "c", "b"]);
    let next = step(&base, b, &lost(&base, &[a, c], &[]));
    assert_eq!(next.members.len(), 3);
    assert!(next.arcs.iter().all(|e| next.state_of(e) != ArcState::Recovering));
}

#[test]
fn the_last_copies_are_kept_while_their_holders_may_live() {
    let base = founded(&["a", "b", "c", "d"], 4, 1);
    let [a, b, c] = ids(["a", "b", "c"]);
    let unproved = step(&base, c, &lost(&base, &[a, b], &[]));
    let entry = &unproved.arcs[0];
    assert_eq!((entry.primary, &entry.in_sync[..]), (a, &[b][..]));
    assert_eq!((unproved.state_of(entry), entry.lost_at), (ArcState::Recovering, None));
    let one_proved = step(&base, c, &lost(&base, &[a, b], &[a]));
    assert_eq!(one_proved.state_of(&one_proved.arcs[0]), ArcState::Recovering, "b may live");
    let both = step(&unproved, c, &lost(&unproved, &[], &[a, b]));
    let entry = &both.arcs[0];
    assert_eq!((entry.lost_at, entry.since), (Some(both.number), both.number));
    assert!(both.is_member(entry.primary) && entry.in_sync.is_empty());
}

#[test]
fn a_process_that_held_a_last_copy_and_is_heard_again_serves_it_again() {
    let base = founded(&["a", "b", "c", "d"], 4, 1);
    let [a, b, c] = ids(["a", "b", "c"]);
    let parted = step(&base, c, &lost(&base, &[a, b], &[]));
    let healed = step(&parted, c, &joining(&parted, b));
    assert_eq!((healed.arcs[0].primary, healed.arcs[0].since), (b, healed.number), "b was in sync, so it is promoted");
    let healed = step(&parted, c, &joining(&parted, a));
    assert_eq!((healed.arcs[0].primary, healed.arcs[0].since), (a, ViewNumber(1)), "a goes on as before");
    assert!(healed.arcs[0].in_sync.is_empty(), "b is out and a serves: b holds this no more");
}

#[test]
fn the_proposer_is_never_removed() {
    let base = founded(&["a", "b"], 2, 1);
    let [a, b] = ids(["a", "b"]);
    let next = step(&base, a, &lost(&base, &[a, b], &[]));
    assert_eq!((next.voters.clone(), next.members.len()), (vec![a], 1));
}

#[test]
fn a_primary_adds_drops_and_moves_as_it_wishes() {
    let base = founded(&["a", "b", "c"], 3, 1);
    let [a, b, c] = ids(["a", "b", "c"]);
    let added = step(&base, a, &wishing(&base, wish(&base, 0, WishedChange::Add(c))));
    assert_eq!((added.arcs[0].primary, &added.arcs[0].in_sync[..]), (a, &[b, c][..]));
    let drop = WishedChange::Drop { node: b, instead: Some(c) };
    let dropped = step(&base, a, &wishing(&base, wish(&base, 0, drop)));
    assert_eq!((&dropped.arcs[0].in_sync[..], dropped.arcs[0].catching_up), (&[][..], Some(c)));
    let moved = step(&base, a, &wishing(&base, wish(&base, 0, WishedChange::Move(b))));
    assert_eq!((moved.arcs[0].primary, moved.arcs[0].since), (b, ViewNumber(2)));
    assert_eq!(
        (&moved.arcs[0].in_sync[..], moved.arcs[0].catching_up),
        (&[a][..], None),
        "who hands over stays in sync"
    );
}

#[test]
fn a_wish_made_under_other_circumstances_changes_nothing() {
    let base = founded(&["a", "b", "c"], 3, 1);
    let [b, c] = ids(["b", "c"]);
    let changes = [WishedChange::Add(c), WishedChange::Move(b), WishedChange::Drop { node: b, instead: Some(c) }];
    for change in changes {
        let right = wish(&base, 0, change);
        assert!(next_view(&base, b, &wishing(&base, right.clone())).is_some(), "the control: this one is granted");
        let wrong = [
            Wish { base: ViewNumber(2), ..right.clone() },
            Wish { base: ViewNumber(0), ..right.clone() },
            Wish { since: ViewNumber(0), ..right.clone() },
            Wish { expected: vec![c], ..right.clone() },
            Wish { expected: vec![], ..right.clone() },
            Wish { from: b, ..right.clone() },
            Wish { from: node("a", 2), ..right },
        ];
        for wish in wrong {
            assert_eq!(next_view(&base, b, &wishing(&base, wish.clone())), None, "{wish:?}");
        }
    }
    let absent = wish(&base, 0, WishedChange::Add(node("x", 1)));
    assert_eq!(next_view(&base, b, &wishing(&base, absent)), None, "who is no member holds nothing");
    let already = wish(&base, 0, WishedChange::Add(b));
    assert_eq!(next_view(&base, b, &wishing(&base, already)), None);
}

#[test]
fn a_wish_of_a_primary_that_is_lost_in_the_same_view_is_not_granted() {
    let base = founded(&["a", "b", "c"], 3, 1);
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut known = wishing(&base, wish(&base, 0, WishedChange::Drop { node: b, instead: None }));
    known.unreachable.insert(a);
    let next = step(&base, c, &known);
    assert_eq!(next.arcs[0].primary, b, "b is the last copy");
}

/// Every arc's primary wishes for what a diligent one would: a caught-up node added, the arc moved home, the surplus dropped.
fn diligent(view: &View) -> Knowledge {
    let targets = placement::targets(view);
    let wished = view.entries().zip(targets).filter_map(|((arc, entry), target)| {
        let home = target.primary.filter(|p| entry.in_sync.contains(p));
        let surplus = entry.in_sync.iter().copied().find(|b| !target.backups.contains(b));
        let change = match (entry.catching_up, home, surplus) {
            (Some(node), ..) => WishedChange::Add(node),
            (None, Some(home), _) => WishedChange::Move(home),
            (None, None, Some(node)) => WishedChange::Drop { node, instead: None },
            (None, None, None) => return None,
        };
        Some(wish(view, arc.0, change))
    });
    Knowledge { wishes: wished.collect(), ..calm(view) }
}

#[test]
fn a_returned_name_catches_up_at_home_and_gets_its_arcs_back_without_a_solo_moment() {
    let base = founded(&["a", "b", "c"], 6, 1);
    let [a, b] = ids(["a", "b"]);
    let mut view = step(&base, b, &lost(&base, &[a], &[a]));
    view = step(&view, b, &diligent(&view));
    assert!(view.fully_protected(), "c and b are each other's backups now");
    let again = node("a", 2);
    let without = view.clone();
    view = step(&view, b, &joining(&view, again));
    assert_eq!(view.members[0].node, again, "its old place in ring order");
    assert!(!view.is_voter(again), "it has yet to install a view in which it is");
    for (old, new) in without.arcs.iter().zip(&view.arcs) {
        assert_eq!((new.primary, &new.in_sync, new.home), (old.primary, &old.in_sync, old.home));
        assert!(new.home != name("a") || new.catching_up == Some(again));
    }
    while let Some(next) = next_view(&view, b, &diligent(&view)) {
        assert_sound(&view, b, &diligent(&view), &next);
        assert!(next.fully_protected());
        assert!(next.number < ViewNumber(20), "it comes to rest");
        view = next;
    }
    assert!(view.is_voter(again));
    for (first, last) in base.arcs.iter().zip(&view.arcs) {
        let renamed = |n: NodeId| if n == a { again } else { n };
        let in_sync: Vec<NodeId> = first.in_sync.iter().copied().map(renamed).collect();
        assert_eq!((last.primary, &last.in_sync), (renamed(first.primary), &in_sync));
    }
}

#[test]
fn a_copy_under_way_is_finished_before_the_returned_home_is_fed() {
    let base = founded(&["a", "b", "c"], 3, 1);
    let [a, b, c] = ids(["a", "b", "c"]);
    let solo = step(&base, b, &lost(&base, &[a], &[]));
    assert_eq!((solo.arcs[0].primary, solo.arcs[0].catching_up), (b, Some(c)));
    let back = step(&solo, b, &joining(&solo, node("a", 2)));
    assert_eq!(back.arcs[0].catching_up, Some(c), "nobody is in sync yet, and c is nearer to it");
}

#[test]
fn a_name_never_seen_comes_last_and_becomes_home_of_its_share() {
    let base = founded(&["a", "b", "c"], 12, 1);
    let newcomer = node("n", 1);
    let next = step(&base, node("a", 1), &joining(&base, newcomer));
    assert_eq!(next.shape.ring.last(), Some(&name("n")));
    let homes = next.arcs.iter().filter(|e| e.home == name("n")).count();
    assert_eq!(homes, 3);
    assert!(next.arcs.iter().filter(|e| e.home == name("n")).all(|e| e.catching_up == Some(newcomer)));
    assert_eq!(base.shape.ring.len(), 3, "the view before is as it was");
}

/// The same view where this member has that standing.
fn standing(base: &View, node: NodeId, standing: Standing) -> View {
    let described = Member { standing, ..member(node) };
    step(base, node, &Knowledge { joins: BTreeMap::from([(node, described)]), ..calm(base) })
}

#[test]
fn a_name_that_returns_with_another_weight_takes_its_new_share_and_one_with_the_same_changes_nothing() {
    let base = founded(&["a", "b", "c"], 12, 1);
    let [a, b] = ids(["a", "b"]);
    let homes = |view: &View| view.arcs.iter().map(|e| e.home).collect::<Vec<_>>();
    let alone = next_view(&base, a, &lost(&base, &[b], &[b])).expect("b is gone");
    let back = |view: &View, start: u128, weight: u16| {
        let newcomer = Member { weight: weight.try_into().expect("not nothing"), ..member(node("b", start)) };
        let joins = [(newcomer.node, newcomer)].into();
        next_view(view, a, &Knowledge { joins, ..calm(view) }).expect("b is back")
    };
    assert_eq!(homes(&back(&alone, 2, 1)), homes(&base));
    let heavy = back(&alone, 2, 4);
    let of_b = |view: &View| homes(view).iter().filter(|home| **home == b.name).count();
    let changed = homes(&base).iter().zip(homes(&heavy)).filter(|(old, new)| **old != *new).count();
    assert_eq!((of_b(&heavy), changed, heavy.shape.weight_of(b.name).get()), (8, 4, 4));
    // The view remembers what it dealt, so that the next return is compared with that.
    let gone = next_view(&heavy, a, &lost(&heavy, &[node("b", 2)], &[node("b", 2)])).expect("b is gone again");
    assert_eq!(homes(&back(&gone, 3, 4)), homes(&heavy));
    assert_eq!(of_b(&back(&gone, 3, 1)), 4);
}

#[test]
fn a_node_that_drains_gives_everything_away_by_live_steps_and_leaves_when_nothing_names_it() {
    let base = founded(&["a", "b", "c", "d"], 8, 1);
    let [a, b] = ids(["a", "b"]);
    let mut view = standing(&base, a, Standing::Draining);
    let leaving = |view: &View| Knowledge { leaving: BTreeSet::from([a]), ..diligent(view) };
    while view.needs(a) {
        let next = next_view(&view, b, &leaving(&view)).expect("something is left to move");
        assert_sound(&view, b, &leaving(&view), &next);
        assert!(next.is_member(a), "it goes only when nothing names it");
        assert!(next.fully_protected(), "at no moment is a session without its backup: {next:?}");
        assert!(next.number < ViewNumber(20), "it comes to rest");
        view = next;
    }
    let gone = step(&view, b, &leaving(&view));
    assert!(
        !gone.is_member(a) && gone.absent_voter().is_none(),
        "a process that is about to end keeps no vote: {gone:?}"
    );
    assert!(gone.fully_protected());
}

#[test]
fn a_cordoned_node_keeps_what_it_holds_and_is_given_no_more() {
    let base = founded(&["a", "b", "c", "d"], 8, 1);
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut view = standing(&base, c, Standing::Cordoned);
    assert_eq!(view.arcs, base.arcs, "nothing moves for it");
    view = step(&view, a, &lost(&view, &[b], &[b]));
    while let Some(next) = next_view(&view, a, &diligent(&view)) {
        assert_sound(&view, a, &diligent(&view), &next);
        view = next;
    }
    assert!(view.fully_protected(), "{view:?}");
    for (old, new) in base.arcs.iter().zip(&view.arcs) {
        assert_eq!(new.holds(c), old.holds(c), "{new:?} was {old:?}");
    }
}

#[test]
fn a_living_name_is_not_let_in_twice_but_replaces_its_old_process_in_one_view() {
    let base = founded(&["a", "b", "c"], 3, 1);
    let [a, b] = ids(["a", "b"]);
    let again = node("a", 2);
    assert_eq!(next_view(&base, b, &joining(&base, again)), None);
    let mut known = joining(&base, again);
    known.unreachable.insert(a);
    let next = step(&base, b, &known);
    assert!(next.is_member(again) && !next.is_member(a));
    assert_eq!(next.arcs[0].primary, b, "the old process's copy died with it");
}

#[test]
fn two_processes_of_one_new_name_are_not_both_let_in() {
    let base = founded(&["a", "b"], 2, 1);
    let mut known = joining(&base, node("n", 1));
    known.joins.insert(node("n", 2), member(node("n", 2)));
    let next = step(&base, node("a", 1), &known);
    assert_eq!(next.members.iter().filter(|m| m.node.name == name("n")).count(), 1);
}

#[test]
fn who_is_unreachable_or_proved_dead_is_not_let_in() {
    let base = founded(&["a", "b"], 2, 1);
    let newcomer = node("n", 1);
    let mut unheard = joining(&base, newcomer);
    unheard.unreachable.insert(newcomer);
    assert_eq!(next_view(&base, node("a", 1), &unheard), None);
    let mut dead = joining(&base, newcomer);
    dead.dead.insert(newcomer);
    assert_eq!(next_view(&base, node("a", 1), &dead), None);
}

#[test]
fn a_new_description_of_a_member_makes_a_view_and_moves_nothing() {
    let base = founded(&["a", "b"], 2, 1);
    let b = node("b", 1);
    let described = Member { http_address: Some("b:8080".into()), ..member(b) };
    let known = Knowledge { joins: BTreeMap::from([(b, described.clone())]), ..calm(&base) };
    let next = step(&base, node("a", 1), &known);
    assert_eq!(next.member(b).map(|m| &**m), Some(&described));
    assert_eq!(next.arcs, base.arcs);
}

#[test]
fn at_most_one_new_voter_a_view_and_witnesses_first() {
    let hosts = ids(["a", "b", "c", "d"]).map(member);
    let witness = Member { role: Role::Witness, ..member(node("w", 1)) };
    let mut base = founded_by(hosts.into_iter().chain([witness]).collect(), 4, 1, 1);
    base.voters = vec![node("a", 1)];
    Arc::make_mut(&mut base.shape).voters_max = 3;
    let two = step(&base, node("a", 1), &calm(&base));
    assert_eq!(two.voters, ids(["a", "w"]));
    let three = step(&two, node("a", 1), &calm(&two));
    assert_eq!(three.voters, ids(["a", "b", "w"]));
    assert_eq!(next_view(&three, node("a", 1), &calm(&three)), None, "voters_max is reached");
}

#[test]
fn a_voter_that_fell_silent_keeps_its_vote_where_that_asks_no_more_of_the_others() {
    let [a, b, c, d] = ids(["a", "b", "c", "d"]);
    let base = founded(&["a", "b", "c"], 6, 1);
    let without_c = step(&base, a, &lost(&base, &[c], &[]));
    assert_eq!((without_c.members.len(), without_c.absent_voter()), (2, Some(c)), "two of three, or two of two");
    let nobody = BTreeSet::new();
    assert!(without_c.is_quorum(&BTreeSet::from([a, c]), a, &nobody), "c makes up for the loss of b");
    assert!(!without_c.is_quorum(&BTreeSet::from([a]), a, &nobody));

    // It comes back, and is let in and b voted out in one view; now b may come back.
    let back = Knowledge { unreachable: BTreeSet::from([b]), ..joining(&without_c, c) };
    let without_b = step(&without_c, a, &back);
    assert_eq!((without_b.voters.clone(), without_b.absent_voter()), (vec![a, b, c], Some(b)));

    let four = founded(&["a", "b", "c", "d"], 4, 1);
    assert_eq!(step(&four, a, &lost(&four, &[d], &[])).voters, [a, b, c], "three ask for two votes, four for three");
}

#[test]
fn a_vote_is_not_kept_for_a_process_that_cannot_come_back_or_is_replaced() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let base = founded(&["a", "b", "c"], 6, 1);
    assert_eq!(step(&base, a, &lost(&base, &[c], &[c])).voters, [a, b], "proved dead");

    let away = step(&base, a, &lost(&base, &[c], &[]));
    let proved = Knowledge { dead: BTreeSet::from([c]), ..calm(&away) };
    assert_eq!(step(&away, a, &proved).voters, [a, b], "proved dead later");
    let anew = node("c", 2);
    let joined = step(&away, a, &joining(&away, anew));
    assert_eq!(joined.voters, [a, b, c], "the new process has not installed a view yet");
    assert_eq!(step(&joined, a, &calm(&joined)).voters, [a, b, anew]);

    let mut by_proof = base;
    Arc::make_mut(&mut by_proof.shape).agreement = Agreement::MajorityOrProof;
    let left = step(&by_proof, a, &lost(&by_proof, &[c], &[]));
    assert_eq!(left.voters, [a, b], "with a vote for c, a could not go on alone once b is proved dead");
}

#[test]
fn a_member_that_has_not_installed_the_view_gets_no_vote() {
    let mut base = founded(&["a", "b"], 2, 1);
    base.voters = vec![node("a", 1)];
    let mut known = calm(&base);
    known.up_to_date.remove(&node("b", 1));
    assert_eq!(next_view(&base, node("a", 1), &known), None);
}

#[test]
fn a_backup_only_node_is_not_promoted_while_a_host_is_in_sync() {
    // d is at home and has yet to catch up; b stands before a on the ring after d, and would be the next.
    let [d, b, a, c] = ids(["d", "b", "a", "c"]);
    let backup_only = Member { role: Role::BackupOnly, ..member(b) };
    let mut base = founded_by(vec![member(d), backup_only, member(a), member(c)], 3, 2, 1);
    assert_eq!(base.arcs[0].home, d.name);
    for in_sync in [vec![b, a], vec![a, b]] {
        let entry = Arc::make_mut(&mut base.arcs[0]);
        (entry.primary, entry.in_sync) = (c, in_sync);
        let next = step(&base, d, &lost(&base, &[c], &[]));
        assert_eq!(next.arcs[0].primary, a);
        let only = step(&base, d, &lost(&base, &[c, a], &[]));
        assert_eq!(only.arcs[0].primary, b, "rather a backup-only node than nobody");
    }
}

/// One random thing after another happens to a cluster, each followed by the view it leads to.
fn live_through(mut seed: u64, steps: usize) {
    let draw = &mut seed;
    let pick = |draw: &mut u64, len: usize| usize::try_from(chance(draw, len as u64)).expect("below a length");
    let names = ["a", "b", "c", "d", "e", "f"];
    let founders = 2 + pick(draw, 4);
    let role = |draw: &mut u64| match chance(draw, 8) {
        0 => Role::BackupOnly,
        1 => Role::Witness,
        2 => Role::Edge,
        _ => Role::Host,
    };
    let weight = |draw: &mut u64| WEIGHT.saturating_add(u16::try_from(chance(draw, 3)).expect("small"));
    let mut members = vec![member(node("a", 1))];
    for text in &names[1..founders] {
        members.push(Member { role: role(draw), weight: weight(draw), ..member(node(text, 1)) });
    }
    let backups = 1 + u8::try_from(chance(draw, 2)).expect("0 or 1");
    let spread = 1 + u8::try_from(chance(draw, 3)).expect("0 to 2");
    let mut view = founded_by(members, 12, backups, spread);
    Arc::make_mut(&mut view.shape).pin = Pin::ALL[pick(draw, Pin::ALL.len())];
    let mut start = 1;
    let mut parted: Vec<NodeId> = Vec::new();
    for _ in 0..steps {
        let mut known = calm(&view);
        let here: Vec<NodeId> = view.voters.iter().copied().filter(|v| view.is_member(*v)).collect();
        let proposer = here[pick(draw, here.len())];
        for member in &view.members {
            if member.node != proposer && chance(draw, 6) == 0 {
                known.unreachable.insert(member.node);
                parted.push(member.node);
            }
            if chance(draw, 5) == 0 {
                known.up_to_date.remove(&member.node);
            }
        }
        known.dead.extend(parted.iter().filter(|_| chance(draw, 2) == 0));
        parted.retain(|n| !known.dead.contains(n));
        if chance(draw, 2) == 0 {
            start += 1;
            let newcomer = member(node(names[pick(draw, names.len())], start));
            let newcomer = Member { role: role(draw), weight: weight(draw), ..newcomer };
            known.joins.insert(newcomer.node, newcomer);
        }
        if chance(draw, 4) == 0 {
            let told = Member::clone(&view.members[pick(draw, view.members.len())]);
            known.joins.insert(told.node, Member { claims: !told.claims, ..told });
        }
        if let Some(back) = parted.pop().filter(|n| !view.is_member(*n) && chance(draw, 2) == 0) {
            known.joins.insert(back, member(back));
        }
        for (arc, _) in view.entries() {
            if chance(draw, 3) > 0 {
                continue;
            }
            let someone = view.members[pick(draw, view.members.len())].node;
            let other = view.members[pick(draw, view.members.len())].node;
            let change = match chance(draw, 3) {
                0 => WishedChange::Add(someone),
                1 => WishedChange::Drop { node: someone, instead: (chance(draw, 2) == 0).then_some(other) },
                _ => WishedChange::Move(someone),
            };
            let mut wish = wish(&view, arc.0, change);
            match chance(draw, 8) {
                0 => wish.from = someone,
                1 => wish.since = ViewNumber(0),
                2 => wish.base = ViewNumber(view.number.0 - 1),
                3 => wish.expected = vec![other],
                _ => {}
            }
            known.wishes.push(wish);
        }
        if let Some(next) = next_view(&view, proposer, &known) {
            assert_sound(&view, proposer, &known, &next);
            view = next;
        }
    }
    // Left alone, it settles: each further view is for one more voter, or for whom somebody should catch up.
    let proposer = view.voters.iter().copied().find(|v| view.is_member(*v)).expect("a voter proposed the last view");
    for _ in 0..8 {
        let known = calm(&view);
        match next_view(&view, proposer, &known) {
            Some(next) => {
                assert_sound(&view, proposer, &known, &next);
                view = next;
            }
            None => return,
        }
    }
    panic!("views follow one another without end: {view:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn every_step_of_a_random_life_is_sound(seed: u64) {
        live_through(seed, 12);
    }
}

#[test]
fn a_loss_is_cleared_by_the_word_that_was_meant_for_it_and_by_no_other() {
    let base = founded(&["a", "b", "c", "d"], 4, 1);
    let gone = ids(["a", "b"]);
    let me = node("c", 1);
    let before = step(&base, me, &lost(&base, &gone, &gone));
    let losses = before.open_losses();
    assert!(!losses.is_empty(), "both copies of some arc were there");
    let clearing = |view: &View, cleared| Knowledge { cleared, ..calm(view) };
    let other = losses.keys().map(|arc| (*arc, ViewNumber(77))).collect();
    let changed = next_view(&before, me, &clearing(&before, other));
    assert!(changed.is_none_or(|view| view.open_losses() == losses), "another loss of those arcs was meant");
    let after = step(&before, me, &clearing(&before, losses.clone()));
    assert!(after.open_losses().is_empty());
    for (arc, at) in &losses {
        let [old, new] = [&before, &after].map(|view| view.arc(*arc).expect("it is there"));
        assert_eq!((new.lost_at, new.since, new.primary), (Some(*at), old.since, old.primary));
    }
    // What is lost after that is another loss.
    let again = [after.arc(*losses.keys().next().expect("one")).expect("it is there").primary];
    if !again.contains(&me) {
        let known = Knowledge { unreachable: again.into(), dead: again.into(), ..clearing(&after, losses) };
        let later = step(&after, me, &known);
        assert!(later.entries().all(|(_, e)| e.lost_at != Some(later.number) || !e.loss_cleared));
    }
}
