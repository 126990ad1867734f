//! Pins, claims and weights: what stays where it is, what moves all the same, and that it moves once.

use super::*;

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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

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
}

/// A ring in the middle of its life: any pin, some nodes dead, draining or claiming, and its arcs served by anybody.
#[derive(Clone, Debug)]
pub(super) struct Life {
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
    pub(super) fn view(&self) -> View {
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
